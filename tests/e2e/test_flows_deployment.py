# SPDX-License-Identifier: Apache-2.0
"""prefect.yaml against the flows that it names."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
STAGES = ("begin", "observe", "plan", "execute", "learn", "tune", "campaign", "nights")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_every_deployment_names_a_flow_and_parameters_it_takes(deployment: dict[str, Any]) -> None:
    from prefect.cli.deploy._models import DeploymentConfig
    from prefect.flows import load_flow_from_entrypoint

    assert ":" not in deployment["entrypoint"]
    loaded = load_flow_from_entrypoint(deployment["entrypoint"])
    loaded.validate_parameters(deployment["parameters"])
    with pytest.raises(Exception, match="nonsense"):
        loaded.validate_parameters({**deployment["parameters"], "nonsense": 1})
    assert set(deployment) <= set(DeploymentConfig.model_fields)


def test_one_deployment_runs_at_night() -> None:
    (schedule,) = [schedule for one in DEPLOYMENTS for schedule in one["schedules"]]
    assert len(schedule["cron"].split()) == 5
    assert schedule["timezone"]


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_an_async_flow(stage: str) -> None:
    """A flow that is not async costs a second more: Prefect 3.8 joins a heartbeat thread that sleeps."""
    from prefect import Flow
    from prefect.flows import load_flow_from_entrypoint

    loaded = load_flow_from_entrypoint(f"flows.{stage}.{stage}")
    assert isinstance(loaded, Flow)
    assert inspect.iscoroutinefunction(loaded.fn)


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("*.py")), ids=lambda path: path.name)
def test_flows_define_no_class_and_build_no_command(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert "subprocess" not in path.read_text()

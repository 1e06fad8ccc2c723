# SPDX-License-Identifier: Apache-2.0
"""prefect.yaml on a real server: deployed, picked up by a process worker, run with its parameters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def prefect(url: str, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(home), "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO", "PYTHONPATH": str(ROOT), "SCHEDCP_DATA_DIR": str(home / "data"),
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT, env=environment, check=False)


@pytest.mark.timeout(240)
def test_the_nightly_deployment_is_run_by_a_process_worker(prefect_url: str, tmp_path: Path) -> None:
    """With a workload that does not exist: the run ends in our own line, which only the flow itself can say."""
    from prefect.client.orchestration import get_client

    assert prefect(prefect_url, tmp_path, "work-pool", "create", "schedcp", "--type", "process").returncode == 0
    deployed = prefect(prefect_url, tmp_path, "deploy", "--all")
    assert deployed.returncode == 0, deployed.stderr
    asked = prefect(prefect_url, tmp_path, "deployment", "run", "tune/nightly", "--param", "workload=nothing")
    assert asked.returncode == 0, asked.stderr
    worked = prefect(prefect_url, tmp_path, "worker", "start", "--pool", "schedcp", "--run-once")
    with get_client(sync_client=True) as client:
        (run,) = [one for one in client.read_flow_runs() if one.parameters.get("workload") == "nothing"]
        (deployment,) = client.read_deployments()
    assert run.parameters["iterations"] == 3
    assert run.state is not None
    assert run.state.is_failed()
    assert "no workload 'nothing'" in str(run.state.message), worked.stdout + worked.stderr
    (schedule,) = deployment.schedules
    assert schedule.active

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
        **os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO", "SCHEDCP_DATA_DIR": str(home / "data"),
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT, env=environment, check=False)


@pytest.mark.timeout(240)
def test_the_nightly_deployment_is_run_by_a_process_worker(prefect_url: str, tmp_path: Path) -> None:
    """With a workload that does not exist: the run ends in our own line, which only the flow itself can say."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="schedcp", type="process"))
        deployed = prefect(prefect_url, tmp_path, "deploy", "--all")
        assert deployed.returncode == 0, deployed.stderr
        (deployment,) = client.read_deployments()
        asked = {**deployment.parameters, "workloads": ["nothing"], "services": False}
        made = client.create_flow_run_from_deployment(deployment.id, parameters=asked)
        worked = prefect(prefect_url, tmp_path, "worker", "start", "--pool", "schedcp", "--run-once")
        run = client.read_flow_run(made.id)
    assert run.state is not None
    assert run.state.is_failed()
    assert "no workload 'nothing'" in str(run.state.message), worked.stdout + worked.stderr
    (schedule,) = deployment.schedules
    assert schedule.active

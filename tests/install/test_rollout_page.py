# SPDX-License-Identifier: Apache-2.0
"""docs/rollout.md: what it tells a user to type brings a policy onto a fresh host, or says why it does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_commands import as_canary, fenced, for_one_host
from skipping import skip_or_fail

from policy_lake.rollout import End
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "bpf/library/fifo.bpf.c"
STATUSES = {End.PROMOTED: 0, End.STOPPED: 1, End.ROLLED_BACK: 3}  # decisions; a host that is lost is none


@pytest.mark.vm
@pytest.mark.timeout(5400)
def test_the_commands_of_the_page_end_in_a_decision_that_is_in_the_lake(tmp_path: Path) -> None:
    if not os.environ.get("FLEET_DOCS"):
        pytest.skip("it takes a fleet of its own and many minutes: make fleet-docs")
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        skip_or_fail("a host's disk is built by root, with mmdebstrap (`apt-get install mmdebstrap`)")
    script, plan = for_one_host(fenced("sh")), fenced("toml")
    plan = plan.replace("pause = true", "pause = false")  # nobody is there who could be asked
    if os.environ.get("DOCS_QUICK"):
        script, plan = as_canary(script, plan)
    (tmp_path / "plan.toml").write_text(plan)
    shutil.copy(POLICY, tmp_path / "mine.bpf.c")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "SCHEDCP_DATA_DIR": str(tmp_path / "data"), "PYTHONUNBUFFERED": "1"}
    lines = re.sub(r"^schedcp rollout ", "schedcp rollout --on-doubt stop ", script, flags=re.MULTILINE)
    try:
        ended = subprocess.run(["bash", "-exo", "pipefail", "-c", lines], cwd=tmp_path, env=env, check=False)
    finally:
        subprocess.run(["schedcp", "fleet", "down", "--name", "fleet"], env=env, cwd=tmp_path, check=False)
    (kept,) = open_lake(load_settings(data_dir=tmp_path / "data")).rollouts()
    assert kept.done is not None and kept.done.end in STATUSES, kept.done
    assert ended.returncode == STATUSES[kept.done.end] and [audit.host for audit in kept.audits] == ["fleet-1"]
    sys.stdout.write(f"{kept.done.end}: {kept.done.why} {[step.judgement for step in kept.done.steps]}\n")

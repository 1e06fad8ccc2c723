# SPDX-License-Identifier: Apache-2.0
"""The command that a newcomer runs, with real guests; and what Ctrl-C leaves of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_lake.embed import HashEmbedder
from policy_lake.lake import Lake

pytestmark = [pytest.mark.vm, pytest.mark.timeout(400), pytest.mark.usefixtures("guest")]
ROOT = Path(__file__).parents[2]
MAIN = "from control_plane.cli import main; main()"
SMALL = ("tune", "batch", "--iterations", "1", "--per-iteration", "1", "--pairs", "2", "--json")


@pytest.fixture
def home() -> Iterator[Path]:
    """Data of its own; in /tmp, as pytest's own directory has too long a path for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="tune-", dir="/tmp") as name:
        yield Path(name)


def start(home: Path) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PREFECT_"))}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *SMALL], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, cwd=ROOT, env={
            **kept, "SCHEDCP_DATA_DIR": str(home / "data"), "SCHEDCP_EMBEDDER": "hash", "TMPDIR": str(home),
            "PREFECT_HOME": str(home / "prefect"), "TUNE_TEST": str(home),
        },
    )  # fmt: skip


def lake(home: Path) -> Lake:
    return Lake(home / "data/lake", embedder=HashEmbedder())


def test_one_command_tunes_a_real_workload(home: Path) -> None:
    out, err = (process := start(home)).communicate(timeout=380)
    assert process.returncode == 0, err
    result: dict[str, Any] = json.loads(out)
    assert {"run_id", "workload", "iterations", "best", "candidates_tried", "rejected", "seconds"} <= set(result)
    assert (result["workload"], result["candidates_tried"], result["failed"]) == ("batch", 1, 0)
    assert result["seconds"]["vm"] > 1
    assert (result["best"] is None) == (result["rejected"] == 1)
    assert [run.status for run in lake(home).runs()] == ["done"]
    assert _left(home) == []


def test_ctrl_c_in_the_middle_ends_everything_and_loses_nothing(home: Path) -> None:
    process = start(home)
    assert process.stderr is not None
    said = next((line for line in iter(process.stderr.readline, "") if "plan: " in line), "no plan")
    _until(lambda: any(_guests_of(process.pid)))
    interrupted = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    rest = process.communicate(timeout=60)[1]
    assert time.monotonic() - interrupted < 45
    assert process.returncode == 130, said
    assert "Traceback" not in rest
    assert [run.status for run in lake(home).runs()] == ["cancelled"]
    assert [candidate.iteration for candidate in lake(home).candidates()] == [1]
    assert _left(home) == []


def _guests_of(pid: int) -> list[int]:
    """QEMU processes that were started, at whatever distance, by the process."""
    everyone = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [one for one in everyone if _command(one).startswith("qemu-system") and pid in _ancestors(one)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.add(pid)
    return found


def _left(home: Path) -> list[str]:
    """What still runs in the environment of that run, and its directories; a moment is given to Ray's agents."""
    ends = time.monotonic() + 10
    while (found := _running(home)) and time.monotonic() < ends:
        time.sleep(0.2)
    return found + [path.name for path in home.iterdir() if path.name not in ("data", "prefect")]


def _running(home: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"TUNE_TEST={home}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(_command(int(entry.name))[:80])
        except OSError:
            continue
    return found


def _until(true: Any, limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.1)

# SPDX-License-Identifier: Apache-2.0
"""A shell that leaves too little (`ulimit`) is named before anything is done; what is enough is not complained of."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections import defaultdict

import pytest

from control_plane.commands import NEEDS
from control_plane.ending import run
from policy_lake import process_limits
from policy_lake.process_limits import GUEST, LAKE, RUN, shortage
from policy_lake.secrets import child_environment

WORDS = {"tune": ["tune", "batch"], "lake": ["lake", "search", "x"], "verify": ["verify", "none.bpf.c"]}


def schedcp(limit: int, most: int, words: list[str]) -> subprocess.CompletedProcess[str]:
    """The command line in a process with this limit; Python itself needs some 100 MB and 8 files."""
    return subprocess.run(
        [sys.executable, "-c", "from control_plane.cli import main; main()", *words],
        capture_output=True, text=True, timeout=60, check=False, env=child_environment(),
        preexec_fn=lambda: resource.setrlimit(limit, (most, most)),
    )  # fmt: skip


@pytest.mark.parametrize(("limit", "letter", "most"), [
    (resource.RLIMIT_AS, "v", 2 << 30), (resource.RLIMIT_AS, "v", 250 << 20),
    (resource.RLIMIT_NOFILE, "n", 16), (resource.RLIMIT_FSIZE, "f", 8 << 10),
])  # fmt: skip
@pytest.mark.parametrize("command", WORDS)
def test_a_limit_that_is_too_low_is_one_line_and_nothing_is_begun(command: str, limit: int, letter: str, most: int):
    done = schedcp(limit, most, WORDS[command])
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"schedcp: `ulimit -{letter}` leaves a process ")
    assert done.stderr.count("\n") == 1


def test_help_is_shown_whatever_the_limits():
    done = schedcp(resource.RLIMIT_NOFILE, 16, ["tune", "--help"])
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize("kind", ["address_space", "files", "file_bytes"])
@pytest.mark.parametrize("needs", [LAKE, GUEST, RUN])
def test_just_enough_is_enough_and_a_little_less_is_not(needs, kind: str, monkeypatch: pytest.MonkeyPatch):
    which = {"address_space": resource.RLIMIT_AS, "files": resource.RLIMIT_NOFILE, "file_bytes": resource.RLIMIT_FSIZE}
    wanted = getattr(needs, kind)
    for most, short in ((wanted, False), (wanted - 1, True), (resource.RLIM_INFINITY, False)):
        limits = defaultdict(lambda: resource.RLIM_INFINITY, {which[kind]: most})
        monkeypatch.setattr(process_limits.resource, "getrlimit", lambda what, limits=limits: (limits[what],) * 2)
        assert bool(shortage(needs)) is short, most


def test_every_command_that_starts_guests_or_opens_the_lake_is_listed():
    assert {"tune", "up", "campaign", "verify", "score", "record", "fidelity", "setup", "lake", "runs", "compare",
            "bench-suite", "explain", "lessons", "calls", "fleet", "audit", "mcp", "nights",
            "report"} == set(NEEDS)  # fmt: skip


def test_a_command_that_runs_out_of_memory_ends_in_one_line(capsys: pytest.CaptureFixture[str]):
    def starved(**_: object) -> None:
        raise MemoryError

    with pytest.raises(SystemExit) as ending:
        run(starved, "schedcp")
    assert ending.value.code == 4
    assert capsys.readouterr().err == "schedcp: the system: out of memory\n"

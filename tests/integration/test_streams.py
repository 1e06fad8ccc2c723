# SPDX-License-Identifier: Apache-2.0
"""Standard output that is full, closed, or has nobody at the other end: as well-behaved tools take it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCHEDCP = Path(sys.executable).parent / "schedcp"
FULL = Path("/dev/full")
LISTS = [("policies",), ("policies", "--json"), ("--help",), ("workloads", "--json")]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    command = line.replace("schedcp", str(SCHEDCP))
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_full_device_is_one_line_and_exit_4(words: tuple[str, ...]) -> None:
    done = shell(f"schedcp {' '.join(words)} >/dev/full")
    assert (done.returncode, done.stderr) == (4, "schedcp: standard output: No space left on device\n")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_verdict_that_is_lost_is_told_and_not_returned() -> None:
    rejects = "from control_plane.ending import run; run(lambda **_: print('rejected') or 3, 'schedcp')"
    for target, status, told in (("/dev/full", 4, "standard output: No space left"), ("/dev/null", 3, "")):
        with Path(target).open("w") as stdout:
            done = subprocess.run(
                [sys.executable, "-c", rejects],
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == status and told in done.stderr


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_reader_that_is_gone_ends_it_quietly(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([SCHEDCP, *words], stdout=writing, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_no_standard_output_at_all_is_told_before_anything_is_done() -> None:
    done = shell("schedcp policies >&-")
    assert (done.returncode, done.stderr) == (4, "schedcp: standard output: it is closed\n")


def test_nobody_has_to_hear_the_complaints() -> None:
    for target in ("2>&-", "2>/dev/full"):
        assert shell(f"schedcp policies {target}").returncode == 0
        assert shell(f"schedcp nonsense {target}").returncode == 2
    assert shell("schedcp nonsense --json >/dev/full 2>/dev/full").returncode == 2

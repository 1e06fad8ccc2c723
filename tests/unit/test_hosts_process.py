# SPDX-License-Identifier: Apache-2.0
"""A host's process: started so that it outlives its starter, told from any other by its boot and its start, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policy_lake.errors import InfraError
from policy_lake.state import boot_id
from tasks.hosts import process
from tasks.hosts.process import PID_FILE, Running, find, start


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A host's directory; whatever runs in it at the end is ended."""
    yield tmp_path
    if found := find(tmp_path):
        process.end(found)
    assert find(tmp_path) is None


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_it_runs_in_its_directory_as_a_session_of_its_own_and_is_found(place: Path) -> None:
    running = start(place, ["sleep", "60"])
    assert find(place) == running
    assert os.getsid(running.pid) == running.pid != os.getsid(0)
    assert Path(f"/proc/{running.pid}/cwd").resolve() == place
    assert Path(f"/proc/{running.pid}/fd/0").readlink() == Path("/dev/null")
    process.end(running)
    assert find(place) is None and not alive(running.pid)


def test_it_outlives_a_starter_that_is_killed_at_once(place: Path) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from tasks.hosts.process import start
        start(Path({str(place)!r}), ["sleep", "60"])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    found = find(place)
    assert found and alive(found.pid)


def test_nothing_of_the_starter_is_left_with_it_but_what_is_passed(place: Path) -> None:
    with (place / "held").open("w") as held, (place / "passed").open("w") as passed:
        os.set_inheritable(held.fileno(), True)
        running = start(place, ["sleep", "60"], pass_fds=[passed.fileno()])
        names = {fd.readlink().name for fd in Path(f"/proc/{running.pid}/fd").iterdir()}
    assert "passed" in names and "held" not in names


def test_one_that_cannot_even_say_who_it_is_is_not_started(place: Path) -> None:
    (place / f"{PID_FILE}.new").mkdir()
    with pytest.raises(InfraError, match=r"QEMU did not start: .*pid.new"):
        start(place, ["touch", "ran"])
    assert find(place) is None and not (place / "ran").exists()


def test_a_command_that_ends_at_once_is_found_no_more_and_has_its_last_words(place: Path) -> None:
    with contextlib.suppress(InfraError):  # whether it had ended when it was first looked for is up to this machine
        start(place, ["no-such-program-of-any-kind"])
    limit = time.monotonic() + 10
    while find(place) and time.monotonic() < limit:
        time.sleep(0.02)
    assert find(place) is None and "no-such-program" in process.last_words(place)


@pytest.mark.parametrize("change", ["started", "boot", "pid"])
def test_another_process_of_that_id_is_not_it_and_is_not_touched(place: Path, change: str) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        stat = Path(f"/proc/{other.pid}/stat").read_text().split()
        boot = boot_id()
        if change == "started":
            stat[21] = str(int(stat[21]) - 1)
        elif change == "boot":
            boot = "00000000-0000-0000-0000-000000000000"
        else:
            stat[0] = str(2**22 - 1)  # no such process
        (place / PID_FILE).write_text(f"{boot}\n{' '.join(stat)}\n")
        assert find(place) is None
        process.end(Running(other.pid, int(stat[21]) - 1))
        time.sleep(0.1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_the_same_process_is_found_whatever_its_name_is(place: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        stat = Path(f"/proc/{other.pid}/stat").read_text()
        (place / PID_FILE).write_text(f"{boot_id()}\n{stat.replace('(sleep)', '(a) b) S 1)')}")
        found = find(place)
        assert found is not None and found.pid == other.pid
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"boot\nno stat line", b"boot\n1 (x) S 0", b"9" * 70_000])
def test_a_damaged_record_is_made_up_for_by_the_place_and_only_for_qemu(
    place: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(place, ["sleep", "60"])
    (place / PID_FILE).write_bytes(content)
    assert find(place) is None  # `sleep` is no QEMU
    monkeypatch.setattr(process, "QEMU", "sleep")
    assert find(place) == running
    (place / "elsewhere").mkdir()
    assert find(place / "elsewhere") is None


def test_one_that_does_not_hear_sigterm_is_killed(place: Path) -> None:
    running = start(place, ["sh", "-c", "trap '' TERM; touch deaf; while :; do sleep 0.05; done"])
    while not (place / "deaf").exists():
        time.sleep(0.01)
    process.end(running, term_s=0.2)
    assert not alive(running.pid)


def test_a_dead_one_whose_parent_has_not_heard_of_it_does_not_live(place: Path) -> None:
    running = start(place, ["sleep", "60"])
    os.kill(running.pid, signal.SIGKILL)  # a child of this process, which waits for it nowhere
    assert process.await_end(running, 5.0)
    assert find(place) is None
    assert process.resident_mib(Running(2**22 - 1, 1)) == 0


def test_its_last_words_are_the_last_line_that_is_not_blank(place: Path) -> None:
    assert process.last_words(place) == "it said nothing"
    (place / process.LOG_FILE).write_bytes(b"x" * 10_000 + b"\nfirst\nqemu: " + b"y" * 400 + b"\n\n  \n")
    assert process.last_words(place) == ("qemu: " + "y" * 400)[:300]

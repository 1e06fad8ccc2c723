# SPDX-License-Identifier: Apache-2.0
"""The command that is recorded ends with what it started when the recording is ended, and not otherwise."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tasks.host.interrupts import interruptible
from tasks.traces import command
from tasks.traces.command import run_command

BEGUN = 10.0
PR_GET_CHILD_SUBREAPER = 37


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A word in the environment of all that the test starts."""
    yield f"RECORDED_BY={tmp_path}"
    for pid in marked(f"RECORDED_BY={tmp_path}"):
        os.kill(pid, signal.SIGKILL)


def marked(word: str) -> set[int]:
    """The live processes with this in their environment, but for this one."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            ours = word.encode() in (place / "environ").read_bytes().split(b"\0")
            if ours and b") Z" not in (place / "stat").read_bytes():
                found.add(int(place.name))
        except OSError:
            continue
    return found - {os.getpid()}


def zombies() -> set[int]:
    """Children of this process that nobody has waited for."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = place.read_bytes().rpartition(b") ")[2].split()[:2]
            if state == b"Z" and int(parent) == os.getpid():
                found.add(int(place.parent.name))
    return found


def interrupt_when(ready: Callable[[], bool], number: int) -> None:
    """Sends the signal to this process as soon as that is so."""

    def wait() -> None:
        deadline = time.monotonic() + BEGUN
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize(
    ("script", "processes"),
    [
        ("sleep 39 & exec sleep 35", 2),
        ("trap 'echo $$ >>$HEARD' TERM; sleep 39 & sleep 35; sleep 36; sleep 37", 3),
        ("trap '' TERM; (sleep 39; sleep 40) & sleep 35", 4),
        ("setsid sh -c 'sleep 39; sleep 40' & sleep 35", 4),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_ends_all_that_the_command_started(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, processes: int, number: int
) -> None:
    monkeypatch.setenv(*mark.split("=", 1))
    monkeypatch.setenv("HEARD", str(tmp_path / "heard"))
    monkeypatch.setattr(command, "END_S", 0.5)
    monkeypatch.setattr(command, "KILLED_S", 5.0)
    before = zombies()
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            interrupt_when(lambda: len(marked(mark)) == processes + 1, number)
            with pytest.raises((SystemExit, KeyboardInterrupt)), interruptible():
                run_command(["sh", "-c", script], "/bin/sh")
            assert marked(mark) == {other.pid}, "what was there before is left alone"
        finally:
            other.kill()
    assert zombies() == before
    if "HEARD" in script:
        assert (tmp_path / "heard").read_text().count("\n") == 1, "each is asked once to end"


def test_what_its_parent_leaves_behind_is_ended_too(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only so long is this process in init's place for it."""
    monkeypatch.setenv(*mark.split("=", 1))
    monkeypatch.setattr(command, "END_S", 0.1)
    monkeypatch.setattr(command, "KILLED_S", 5.0)
    interrupt_when(lambda: len(marked(mark)) == 3, signal.SIGTERM)
    with pytest.raises(SystemExit), interruptible():
        run_command(["sh", "-c", "(trap '' TERM; sleep 39; sleep 40) & exec sleep 35"], "/bin/sh")
    assert marked(mark) == set()
    subreaper = ctypes.c_int(7)
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(subreaper))
    assert subreaper.value == 0


def test_what_cannot_be_ended_holds_nobody_up(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where sudo has made it another user's, or a disk holds it."""
    monkeypatch.setenv(*mark.split("=", 1))
    monkeypatch.setattr(command, "END_S", 0.1)
    monkeypatch.setattr(command, "KILLED_S", 0.1)
    sent: list[int] = []

    def kill(pid: int, number: int) -> None:
        sent.append(number)
        raise PermissionError

    others = command._children_of(os.getpid(), ())
    with monkeypatch.context() as patched, subprocess.Popen(["sleep", "60"]) as process:
        patched.setattr(command.os, "kill", kill)
        begun = time.monotonic()
        command._end_all(process, others)
        took = time.monotonic() - begun
        patched.undo()
        process.kill()
    assert 0.2 <= took < 2 and sent[0] == signal.SIGTERM and set(sent[1:]) == {signal.SIGKILL}


def test_what_a_command_leaves_when_it_ends_by_itself_lives_on(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*mark.split("=", 1))
    assert run_command(["sh", "-c", "sleep 41 & exit 7"], "/bin/sh")[1] == 7
    assert len(marked(mark)) == 1

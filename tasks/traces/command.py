# SPDX-License-Identifier: Apache-2.0
"""The command that is recorded: run to its end, and ended with all that it started where the recording is."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from policy_lake.errors import InputError

PR_SET_CHILD_SUBREAPER = 36
END_S, KILLED_S, LOOK_S = 4.0, 2.0, 0.02


def run_command(command: Sequence[str], program: str) -> tuple[int, int]:
    """The command's process id and its exit status; InputError if it cannot be started.

    An interrupt ends it with its descendants, but for those that had left it to init by then. A command that ends by
    itself leaves what it started, as it would without us.
    """
    others = _children_of(os.getpid(), ())
    try:
        process = subprocess.Popen(list(command), executable=program, env=dict(os.environ))  # the user's own
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be started: {error.strerror}") from None
    try:
        return process.pid, process.wait()
    except BaseException:
        _end_all(process, others)
        raise


def end_process(process: subprocess.Popen[str] | subprocess.Popen[bytes], within_s: float) -> None:
    """End one process and reap it; it is killed if it is not gone within so many seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_all(process: subprocess.Popen[bytes], others: Collection[int]) -> None:
    """End the command and all below it: our descendants but for `others` and theirs."""
    # From now on what loses its parent is a child of ours, and so still found; before, that is init's.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    terminated: set[int] = set()
    begun = time.monotonic()
    while (left := _children_of(os.getpid(), others)) and (passed := time.monotonic() - begun) < END_S + KILLED_S:
        killing = passed >= END_S
        for pid in left if killing else left - terminated:
            with suppress(ProcessLookupError, PermissionError):  # of another user, as sudo makes one
                os.kill(pid, signal.SIGKILL if killing else signal.SIGTERM)
        terminated |= left
        time.sleep(LOOK_S)
        process.poll()
        for pid in left - {process.pid}:
            with suppress(ChildProcessError):  # not yet ours
                os.waitpid(pid, os.WNOHANG)
    process.poll()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)


def _children_of(root: int, others: Collection[int]) -> set[int]:
    """The processes below `root`, but for `others` and what is below them (proc(5))."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                words = (place / "stat").read_bytes().rpartition(b") ")[2].split()
                children.setdefault(int(words[1]), []).append(int(place.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = set(children.get(waiting.pop(), ())) - set(others) - found
        found |= new
        waiting += new
    return found

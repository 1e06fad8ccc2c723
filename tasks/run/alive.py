# SPDX-License-Identifier: Apache-2.0
"""Whether the process of a run still lives: it holds a lock that the kernel drops with it, however it ends.

A process id would not do: in a container it is another's, and after a reboot somebody else's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from policy_lake.errors import SchedcpError
from policy_lake.lake import Lake
from policy_lake.records import Run
from policy_lake.tuned import RunError
from tasks.host.settings import Settings
from tasks.run.spec import RUN_ID, RunSpec

LOCK = "alive"
WHY = "its process ended without a word: it was killed, or the machine went down"


@contextmanager
def alive(run: RunSpec) -> Iterator[None]:
    """Mark the run as alive for the length of a `with`, which begins before its row and ends after its last one."""
    fd = -1
    with contextlib.suppress(OSError):  # a file system without locks: then it is not known, and nothing is said
        run.directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(run.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def is_dead(run_id: str, settings: Settings) -> bool:
    """Whether it is the id of a run of this data directory whose process has ended; False where that is not known."""
    if not RUN_ID.fullmatch(run_id):
        return False
    with _dead(settings.run_dir / run_id / LOCK) as dead:
        return dead


def past_runs(lake: Lake, settings: Settings) -> list[Run]:
    """The lake's runs, the latest first; one that says `running` and whose process has ended becomes `killed`.

    That is written back, where the lake can be written. A run of which nobody keeps a lock stays what it says: stages
    that are started by themselves are no process's.
    """
    runs = lake.runs()
    return [_settled(run, lake, settings) if run.status == "running" else run for run in runs]


def _settled(run: Run, lake: Lake, settings: Settings) -> Run:
    if not RUN_ID.fullmatch(run.id):
        return run
    with _dead(settings.run_dir / run.id / LOCK) as dead:
        if not dead:
            return run
        # Under the lock: it may have ended well since its row was read.
        now = next((row for row in lake.runs(run.workload) if row.id == run.id), run)
        if now.status != "running":
            return now
        killed = replace(now, status="killed", summary=RunError(WHY))
        with contextlib.suppress(SchedcpError, OSError):
            lake.put(killed)
        return killed


@contextmanager
def _dead(path: Path) -> Iterator[bool]:
    """Whether nobody holds the lock; who was told so holds it meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        dead = False
    else:
        dead = True
    try:
        yield dead
    finally:
        os.close(fd)

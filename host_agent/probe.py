# SPDX-License-Identifier: Apache-2.0
"""Two invariants looked at while a policy runs: no task waits beyond its limit, no CPU idles beside waiting tasks.

A runnable task waits if it is in state R, its CPU time has not grown since the last look, and it is not the one that
its CPU runs (whose time grows). Tasks are looked at only where more of them are runnable than there are CPUs, or a CPU
idled; and never more than MOST_TASKS.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from policy_lake.proc import CpuTimes

MOST_TASKS = 2000
IDLE_SHARE = 0.5  # of the time between two looks


@dataclass(slots=True)
class Probe:
    """Looks at `proc`; keeps what it saw last. Times in s of the clock that `look` is given."""

    proc: Path
    _before: CpuTimes | None = None
    _at: float = 0.0
    _waiting: dict[int, tuple[int, float]] = field(default_factory=dict)
    _idle_since: float | None = None

    def look(self, times: CpuTimes, now: float) -> tuple[float, float]:
        """(longest wait of a runnable task, for how long a CPU has idled beside one that may run there)."""
        before, since = self._before, self._at
        self._before, self._at = times, now
        if before is None or now <= since:
            return 0.0, 0.0
        idle = {int(name[3:]) for name, at in times.idle_s.items()
                if at - before.idle_s.get(name, at) >= IDLE_SHARE * (now - since)}  # fmt: skip
        busy = len(times.idle_s) - len(idle)
        if times.running <= busy + 1 or before.running <= 1:  # one is ourselves, looking
            self._waiting, self._idle_since = {}, None
            return 0.0, 0.0
        waits = self._waits(now)
        longest = max((now - start for start in waits.values()), default=0.0)
        beside = [task for task in waits if idle and self._may_run(task, idle)]
        if not beside:
            self._idle_since = None
            return longest, 0.0
        self._idle_since = since if self._idle_since is None else self._idle_since
        return longest, now - self._idle_since

    def _waits(self, now: float) -> dict[int, float]:
        """Tasks that were runnable at the last look, too, and have not run since: since when."""
        seen: dict[int, tuple[int, float]] = {}
        waits: dict[int, float] = {}
        for task in self._tasks():
            ran = self._runnable(task)
            if ran is None:
                continue
            known = self._waiting.get(task)
            since = known[1] if known is not None and known[0] == ran else now
            seen[task] = (ran, since)
            if since < now:
                waits[task] = since
        self._waiting = seen
        return waits

    def _tasks(self) -> list[int]:
        found: list[int] = []
        for entry in os.scandir(self.proc):
            if not entry.name.isdigit():
                continue
            try:
                found += [int(name) for name in os.listdir(f"{entry.path}/task")]  # noqa: PTH208 (no objects for thousands)
            except OSError:
                continue
            if len(found) >= MOST_TASKS:
                break
        return found[:MOST_TASKS]

    def _runnable(self, task: int) -> int | None:
        """Its CPU time in ns if it is in state R, else None."""
        try:
            fd = os.open(f"{self.proc}/{task}/stat", os.O_RDONLY | os.O_CLOEXEC)
            try:
                stat = os.read(fd, 1024)
            finally:
                os.close(fd)
            if stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] != b"R" or task == os.getpid():
                return None
            with open(f"{self.proc}/{task}/schedstat", "rb") as file:  # noqa: PTH123 (thousands a second)
                return int(file.read(128).split()[0])
        except (OSError, ValueError, IndexError):  # it ended
            return None

    def _may_run(self, task: int, cpus: set[int]) -> bool:
        try:
            return bool(os.sched_getaffinity(task) & cpus)
        except OSError:
            return False

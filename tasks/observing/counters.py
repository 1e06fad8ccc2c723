# SPDX-License-Identifier: Apache-2.0
"""Tier `counters`: what the kernel counts anyway, as differences between looks. No probe, mostly no privilege."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.observed import CgroupLoad, Counters, HostLoad, Missing
from policy_lake.proc import RunDelay, pressure, read_text, run_delay
from tasks.observing.cgroups import CpuStat, growth, read_cpu_stat
from tasks.observing.scope import Scope
from tasks.observing.task_stat import TaskStats

PROC = Path("/proc")
PSI_MEND = "boot with psi=1, on a kernel with CONFIG_PSI"
SCHEDSTAT_MEND = "a kernel with CONFIG_SCHEDSTATS, and `sysctl kernel.sched_schedstats=1`"
QUOTA_MEND = "turn the controller on: `echo +cpu > …/cgroup.subtree_control` of its parent"


@dataclass(frozen=True, slots=True)
class _Host:
    """The host's counters at one time, each None where they cannot be read. Ticks: all, idle, stolen."""

    at: float
    ticks: tuple[int, int, int]
    switches: int
    some_s: float | None
    full_s: float | None
    delay: RunDelay | None


class CounterTier:
    """Looks at a scope and its host again and again; `counters()` is what happened since the first look."""

    def __init__(self, scope: Scope, *, proc: Path = PROC) -> None:
        self._scope, self._proc = scope, proc
        self._missing: dict[str, Missing] = {}
        self._tasks = TaskStats(proc)
        self._tasks.look(scope.processes())
        self._stat = self._cpu_stat()
        self._first = self._last = self._host()
        self._last_stat = self._stat

    def look(self) -> None:
        """Read everything again. Costs a read for every task of the scope."""
        self._tasks.look(self._scope.processes())
        self._last_stat = self._cpu_stat() or self._last_stat
        self._last = self._host()

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What this host does not tell."""
        return tuple(self._missing.values())

    def counters(self) -> Counters:
        load = self._tasks.load()
        if load is None:
            self._lack(
                "tasks' schedstat", InfraError("/proc/PID/schedstat is not there"), "a kernel with CONFIG_SCHED_INFO"
            )
        return Counters(self._last.at - self._first.at, _host_load(self._first, self._last), load, self._cgroups())

    def _cgroups(self) -> tuple[CgroupLoad, ...]:
        group, before, after = self._scope.cgroup, self._stat, self._last_stat
        return (growth(group, before, after),) if group and before and after else ()

    def _cpu_stat(self) -> CpuStat | None:
        if self._scope.cgroup is None:
            return None
        found = read_cpu_stat(self._scope.cgroup)
        if found is None:
            self._lack("cgroup cpu.stat", InfraError(f"{self._scope.cgroup.path} has none"), QUOTA_MEND)
        return found

    def _host(self) -> _Host:
        some = full = None
        delay: RunDelay | None = None
        try:
            psi = pressure(self._proc, "cpu")
            some, full = psi.get("some_total_s"), psi.get("full_total_s")
        except InfraError as error:
            self._lack("PSI", error, PSI_MEND)
        try:
            delay = run_delay(self._proc)
        except InfraError as error:
            self._lack("/proc/schedstat", error, SCHEDSTAT_MEND)
        except ValueError:
            self._lack("/proc/schedstat", InfraError("a column of it is no number"), "")
        return _Host(time.monotonic(), *_ticks(self._proc), some, full, delay)

    def _lack(self, what: str, error: InfraError, mend: str) -> None:
        self._missing.setdefault(what, Missing(what, str(error)[:200], mend))


def _ticks(proc: Path) -> tuple[tuple[int, int, int], int]:
    """(all, idle, stolen) ticks of all CPUs since boot, and context switches. InfraError if /proc/stat is odd."""
    words = {line.partition(" ")[0]: line.split()[1:] for line in read_text(proc / "stat").splitlines() if line}
    try:
        cpu, switches = [int(word) for word in words["cpu"][:8]], int(words["ctxt"][0])
        return (sum(cpu), cpu[3] + cpu[4], cpu[7]), switches
    except (KeyError, IndexError, ValueError):
        raise InfraError(f"{proc}/stat: does not tell of CPUs and ctxt") from None


def _host_load(before: _Host, after: _Host) -> HostLoad:
    seconds = max(1e-9, after.at - before.at)
    passed, idle, stolen = (now - then for now, then in zip(after.ticks, before.ticks, strict=True))
    turn = local = None
    if before.delay and after.delay:
        turns, wakes = after.delay.turns - before.delay.turns, after.delay.wakes - before.delay.wakes
        turn = (after.delay.waited_s - before.delay.waited_s) * 1e6 / turns if turns else None
        local = (after.delay.local_wakes - before.delay.local_wakes) / wakes if wakes else None
    return HostLoad(
        os.cpu_count() or 1, (passed - idle - stolen) / passed if passed else 0.0, stolen / passed if passed else 0.0,
        (after.switches - before.switches) / seconds, _share(before.some_s, after.some_s, seconds),
        _share(before.full_s, after.full_s, seconds), turn, local,
    )  # fmt: skip


def _share(before_s: float | None, after_s: float | None, seconds: float) -> float | None:
    return None if before_s is None or after_s is None else (after_s - before_s) / seconds

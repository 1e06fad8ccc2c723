# SPDX-License-Identifier: Apache-2.0
"""What `adversary` printed, as data: one reading a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy_lake.errors import LostVMError
from policy_lake.events import Counters, ProgramEvent
from policy_lake.printed import last_object, number, take

STORM_PER_S = 10_000.0  # of hogs, which leaves each turn 100 us: EEVDF's are switched some 500 times


@dataclass(frozen=True, slots=True)
class Group:
    """Threads that did the same: times in ms, summed over them, but for the least, the most and the gap of one.

    `run_ms` is CPU time, `work_ms` the bursts that they got done, `delay_ms` the time runnable but not running.
    """

    n: int
    run_ms: float
    square_ms2: float
    least_ms: float
    most_ms: float
    work_ms: float
    delay_ms: float
    gap_ms: float
    switches: int

    @property
    def jain(self) -> float:
        """Jain's index of the CPU times (Jain, Chiu and Hawe, 1984): 1 for equal shares, 1/n where one has all."""
        return self.run_ms**2 / (self.n * self.square_ms2) if self.square_ms2 else 1.0

    @property
    def switches_per_s(self) -> float:
        """How often they were switched for each second that they ran."""
        return self.switches / self.run_ms * 1000 if self.run_ms else 0.0

    @property
    def least_share(self) -> float:
        """The least of the CPU times over their mean."""
        return self.least_ms * self.n / self.run_ms if self.run_ms else 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of `adversary`: its groups by name ("W6-pinned"), its own figures, and what the kernel counted."""

    name: str
    cpus: int
    wall_ms: float
    groups: Mapping[str, Group]
    figures: Mapping[str, float]
    counted: Mapping[str, int]

    def __getitem__(self, group: str) -> Group:
        try:
            return self.groups[group]
        except KeyError as error:
            raise LostVMError(f"{self.name}: the workload reported no group {group}") from error

    @property
    def capacity_ms(self) -> float:
        """CPU time there was."""
        return self.cpus * self.wall_ms

    @property
    def one_idled(self) -> bool:
        """Whether its threads left half of a CPU's time and more."""
        return sum(group.run_ms for group in self.groups.values()) <= self.capacity_ms - self.wall_ms / 2

    def figure(self, name: str) -> float:
        return self.figures.get(name, 0.0)

    def storm(self) -> str:
        """What hogs, who never wait, were switched, in words; empty where that is no storm."""
        hogs = [group for name, group in self.groups.items() if name.endswith("-hog")]
        most = max((group.switches_per_s for group in hogs), default=0.0)
        return f"hogs were switched {most:,.0f} times in each second that they ran" if most > STORM_PER_S else ""

    def longest_gap(self) -> tuple[str, float]:
        """Which group's thread went longest without progress, and for how many ms."""
        name, group = max(self.groups.items(), key=lambda item: item[1].gap_ms)
        return name, group.gap_ms


def read_run(event: ProgramEvent) -> Reading:
    """The reading of one run of `adversary`; LostVMError when it printed something else."""
    where = f"{event.label}: the workload's report"
    report = last_object(event.out, where=where, error=LostVMError)
    groups = take(report, "groups", dict, where=where, error=LostVMError)
    figures = take(report, "figures", dict, where=where, error=LostVMError)
    if not groups:
        raise LostVMError(f"{where}: field 'groups' is empty")
    return Reading(
        event.exercise,
        int(_number(report, "cpus", where)),
        _number(report, "wall_ms", where),
        {name: _group(group, f"{where}: group {name!r:.42}") for name, group in groups.items()},
        {name: _number({"value": value}, "value", f"{where}: figure {name!r:.42}") for name, value in figures.items()},
        dict(_counted(event.counters)),
    )


def _group(report: Mapping[str, Any], where: str) -> Group:
    times = [_number(report, f"{name}_ms", where) for name in ("run", "least", "most", "work", "delay", "gap")]
    run, least, most, work, delay, gap = times
    n, square, switches = (_number(report, name, where) for name in ("n", "square_ms2", "switches"))
    return Group(int(n), run, square, least, most, work, delay, gap, int(switches))


def _number(report: Mapping[str, Any], name: str, where: str) -> float:
    """No comparison with a number that is not finite would find anything wrong."""
    return number(report, name, where=where, error=LostVMError)


def _counted(counters: Counters) -> Iterator[tuple[str, int]]:
    """How much each of sched_ext's event counters grew, without their common prefix."""
    for name, value in counters.after.items():
        if value > counters.before.get(name, 0):
            yield name.removeprefix("SCX_EV_"), value - counters.before.get(name, 0)

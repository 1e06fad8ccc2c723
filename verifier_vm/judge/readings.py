# SPDX-License-Identifier: Apache-2.0
"""What `adversary` printed, as data: one reading a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy_lake.errors import LostVMError
from policy_lake.events import Counters, ProgramEvent

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
    try:
        report = json.loads(event.out.strip().splitlines()[-1])
        groups = {name: _group(group) for name, group in report["groups"].items()}
        figures = {name: _finite(value) for name, value in report["figures"].items()}
        if not groups:
            raise ValueError("no groups")
        wall_ms, counted = _finite(report["wall_ms"]), dict(_counted(event.counters))
        return Reading(event.exercise, int(_finite(report["cpus"])), wall_ms, groups, figures, counted)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise LostVMError(f"{event.label}: the workload's report cannot be read: {error!r:.200}") from error


def _group(report: Mapping[str, Any]) -> Group:
    times = [_finite(report[f"{name}_ms"]) for name in ("run", "least", "most", "work", "delay", "gap")]
    run, least, most, work, delay, gap = times
    n, square, switches = (_finite(report[name]) for name in ("n", "square_ms2", "switches"))
    return Group(int(n), run, square, least, most, work, delay, gap, int(switches))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):  # no comparison with such a number finds anything wrong
        raise ValueError(f"{value!r:.60} is not finite")
    return number


def _counted(counters: Counters) -> Iterator[tuple[str, int]]:
    """How much each of sched_ext's event counters grew, without their common prefix."""
    for name, value in counters.after.items():
        if value > counters.before.get(name, 0):
            yield name.removeprefix("SCX_EV_"), value - counters.before.get(name, 0)

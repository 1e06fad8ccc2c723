# SPDX-License-Identifier: Apache-2.0
"""What `adversary` printed, as data: one reading a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy_lake.model import LostVMError


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

    def longest_gap(self) -> tuple[str, float]:
        """Which group's thread went longest without progress, and for how many ms."""
        name, group = max(self.groups.items(), key=lambda item: item[1].gap_ms)
        return name, group.gap_ms


def read_run(event: Mapping[str, Any]) -> Reading:
    """The reading of one `run adversary` event; LostVMError when it printed something else."""
    try:
        told = json.loads(str(event["out"]).strip().splitlines()[-1])
        groups = {name: _group(group) for name, group in told["groups"].items()}
        figures = {name: float(value) for name, value in told["figures"].items()}
        if not groups:
            raise ValueError("no groups")
        name = str(event.get("label", "")).partition(":")[2]
        return Reading(name, int(told["cpus"]), float(told["wall_ms"]), groups, figures, dict(_counted(event)))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise LostVMError(f"{event.get('label')}: the workload's report cannot be read: {error!r}") from error


def _group(told: Mapping[str, Any]) -> Group:
    times = [float(told[f"{name}_ms"]) for name in ("run", "least", "most", "work", "delay", "gap")]
    run, least, most, work, delay, gap = times
    return Group(int(told["n"]), run, float(told["square_ms2"]), least, most, work, delay, gap, int(told["switches"]))


def _counted(event: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """How much each of sched_ext's event counters grew, without their common prefix."""
    events = event.get("events") or {}
    before, after = events.get("before", {}), events.get("after", {})
    for name, value in after.items():
        if value > before.get(name, 0):
            yield str(name).removeprefix("SCX_EV_"), int(value) - int(before.get(name, 0))

# SPDX-License-Identifier: Apache-2.0
"""What a workload does to the scheduler, as records: a leaf beside model.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lake.model import Clock

# What a workload's metric asks for: the end of the last job, the slowest answers, or as much done as possible.
Aim = Literal["", "makespan", "latency", "throughput"]
JobPart = Literal["name", "arguments", "executable", "parent", "cgroup", "position"]


@dataclass(frozen=True, slots=True)
class CommandProfile:
    """What the tasks of one command name did while a workload ran once under the baseline."""

    comm: str
    tasks: int
    cpu_ms: float
    cpu_ms_max_task: float
    wait_ms: float
    sleep_ms: float
    wakeups: int
    switches: int
    burst_us_p50: float
    burst_us_p99: float
    wait_us_p50: float
    wait_us_p99: float


@dataclass(frozen=True, slots=True)
class JobProfile:
    """CPU time of the tasks that are alike in one part of what tells jobs apart (bpf/primitives/jobkey.h).

    `key` is the part's number in decimal, as a policy takes it for a hint; "0" is all the tasks of that part that have
    no row of their own. `cpu_ms_sd` is the standard deviation of their CPU times, 0 of one task.
    """

    by: JobPart
    key: str
    tasks: int
    cpu_ms: float
    cpu_ms_max_task: float
    cpu_ms_sd: float


@dataclass(frozen=True, slots=True)
class Reached:
    """What the baseline reached in the observed run: its metric, and the bound that arithmetic sets it, if any.

    Of a recording's replay also its makespan, and the least and the most that the original may have taken for that.
    """

    metric: str
    unit: str
    value: float
    bound: float | None = None
    replayed_ms: float | None = None
    recorded_ms: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class WorkloadProfile:
    """What a workload does to the scheduler: numbers per command, and `text`, the same in plain words with goals.

    `inputs` is a digest of all that it is a function of; empty by the wall clock. `aim` is what its metric asks for,
    empty where an older schedcp did not say. `jobs` has the same CPU time once for each part of a job's key; none in
    profiles from before there were keys. `reached` is none in such as were made before it was kept.
    """

    id: str
    workload: str
    cpus: int
    wall_s: float
    cpu_s: float
    parallelism: float
    wakeups_per_s: float
    commands: tuple[CommandProfile, ...]
    goal: str
    text: str
    clock: Clock = "wall"
    tier: str = "standard"
    inputs: str = ""
    aim: Aim = ""
    jobs: tuple[JobProfile, ...] = ()
    reached: Reached | None = None

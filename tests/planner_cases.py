# SPDX-License-Identifier: Apache-2.0
"""Profiles, policies and scores that the planners' tests share."""

from __future__ import annotations

from typing import Any

from policy_lake.model import Candidate, Knob, Policy, Rejection
from policy_lake.profile import CommandProfile, WorkloadProfile
from policy_lake.scores import Ratio, Score
from tasks.planners.protocol import PlanContext

SLICE = Knob("slice_ns", "int", "20000000", "time slice", 100_000, 100_000_000, "ns")
COMM = Knob("job_comm", "names", "", "names of long jobs, longest first", count=16)
CPU_NS = Knob("job_cpu_ns", "ints", "", "their recorded CPU times", 0, 10**13, "ns", 16)


def policy(id: str, *knobs: Knob, good_for: str = "", source: str = "source") -> Policy:
    return Policy(id, id, "", good_for, "", source, knobs)


LIBRARY = (
    policy("vtime", SLICE),
    policy("ljf", SLICE, COMM, CPU_NS),
    policy("rr", SLICE, Knob("preempt", "bool", "true", "preempt on wake-up")),
    policy("percpu", SLICE),
    policy("fifo", SLICE),
)


def command(comm: str, tasks: int, cpu_ms: float, longest_ms: float, **more: Any) -> CommandProfile:
    rest = {"wait_ms": 0.0, "sleep_ms": 0.0, "wakeups": tasks, "switches": tasks * 10}
    rest |= {"burst_us_p50": 3000.0, "burst_us_p99": 4000.0, "wait_us_p50": 9000.0, "wait_us_p99": 40_000.0}
    return CommandProfile(comm, tasks, cpu_ms, longest_ms, **(rest | more))


# 39 short jobs and a long one on 2 CPUs under fair sharing, worked out as in facts/workloads.md.
BATCH = WorkloadProfile(
    id="p-batch",
    workload="batch",
    cpus=2,
    wall_s=1.911,
    cpu_s=2.891,
    parallelism=1.51,
    wakeups_per_s=20.0,
    commands=(
        command("short", 39, 39 * 49.0, 49.0, wait_ms=36_300.0),
        command("long", 1, 980.0, 980.0, wait_ms=931.0),
    ),
    goal="shorten the time until the last job ends",
    text="39 short jobs and a long one",
    aim="makespan",
)

LATENCY = WorkloadProfile(
    id="p-wakeup",
    workload="wakeup",
    cpus=2,
    wall_s=5.0,
    cpu_s=9.5,
    parallelism=1.9,
    wakeups_per_s=4000.0,
    commands=(
        command(
            "worker",
            16,
            3000.0,
            200.0,
            wakeups=20_000,
            switches=40_000,
            burst_us_p50=150.0,
            burst_us_p99=300.0,
            wait_us_p99=12_000.0,
            wait_ms=30_000.0,
        ),
        command("hog", 4, 6500.0, 1700.0, wait_ms=12_000.0, burst_us_p50=600.0),
    ),
    goal="lower the p99 wake-up latency",
    text="short wake-ups beside hogs",
    aim="latency",
)


def score(
    policy: str,
    median: float,
    knob_values: dict[str, Any] | None = None,
    *,
    run: str = "",
    cpus: int = 2,
    bound: Any = 1.32,
) -> Score:
    return Score(
        id=f"s-{policy}-{median}-{knob_values}",
        workload="batch",
        policy=policy,
        baseline="eevdf",
        knob_values=knob_values or {},
        metric="makespan",
        unit="s",
        clock="wall",
        cpus=cpus,
        pairs=(),
        ratio=Ratio(median, (median - 0.02, median + 0.02)),
        bound=bound,
        attached=True,
        outcome="win" if median > 1.02 else "inconclusive",
        run_id=run,
    )


def rejection(
    policy: str, knob_values: dict[str, Any] | None = None, *, reason: str = "stalled for 5 s", source: str = "source"
) -> tuple[Candidate, Rejection]:
    candidate = Candidate(f"c-{policy}", "", 1, policy, source, knob_values or {}, "", "embedded")
    return candidate, Rejection("run", reason, "")


def context(profile: WorkloadProfile = BATCH, **more: Any) -> PlanContext:
    return PlanContext(**({"profile": profile, "policies": LIBRARY} | more))

# SPDX-License-Identifier: Apache-2.0
"""Records of a small run, for the tests of what flows are made of."""

from __future__ import annotations

from typing import Any

from score_cases import PROVENANCE

from policy_lake.model import Candidate, Policy, PolicyPlan, Rejection
from policy_lake.profile import CommandProfile, WorkloadProfile
from policy_lake.scores import Outcome, Pair, Ratio, Score
from tasks.planners.protocol import PlanContext

RUN = "run-1"
PROFILE = WorkloadProfile(
    "batch-1", "batch", 2, 2.5, 4.5, 1.8, 12.0,
    (CommandProfile("long|job", 1, 1500.0, 1500.0, 30.0, 0.0, 1, 9, 100.0, 900.0, 5.0, 50.0),),
    "finish the last job as early as possible", "One long job and many short ones.",
)  # fmt: skip


def policy(id: str) -> Policy:
    return Policy(id, id, f"{id} orders the jobs", "a batch of jobs", "latency", f"// {id}\n")


def candidate(id: str, *, iteration: int = 1, run_id: str = RUN, **knob_values: Any) -> Candidate:
    name = id.split("-", maxsplit=1)[0]
    return Candidate(id, run_id, iteration, name, f"// {name}\n", knob_values, "one job is much longer", "embedded")


def score(of: Candidate, median: float = 1.31, *, outcome: Outcome = "win", **more: Any) -> Score:
    fields: dict[str, Any] = {
        "id": f"score-{of.id}", "workload": "batch", "policy": of.policy, "baseline": "eevdf",
        "knob_values": of.knob_values,
        "metric": "makespan_s", "unit": "s", "clock": "wall", "cpus": 2,
        "pairs": (Pair(1.5, 1.5 / median), Pair(1.52, 1.52 / median), Pair(1.48, 1.48 / median)),
        "ratio": Ratio(median, (median - 0.02, median + 0.02)), "bound": 1.33, "attached": True, "outcome": outcome,
        "run_id": of.run_id, "candidate": of.id, "kernel": "7.3.4", "accel": "tcg",
        "provenance": PROVENANCE,
    }  # fmt: skip
    return Score(**{**fields, **more})


REJECTION = Rejection("survive", "runnable task stall", "sched_ext: disabled\nwatchdog")


class Scripted:
    """A planner that answers with what it was given, and remembers its contexts."""

    name = "scripted"

    def __init__(self, *plans: PolicyPlan) -> None:
        self.plans, self.contexts = list(plans), list[PlanContext]()

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        self.contexts.append(context)
        return self.plans

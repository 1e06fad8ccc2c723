# SPDX-License-Identifier: Apache-2.0
"""What a planner knows and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from policy_lake.model import Candidate, Lesson, Policy, PolicyPlan, Rejection, WorkloadProfile
from policy_lake.scores import Score


@dataclass(frozen=True, slots=True)
class PlanContext:
    """All that a planner may reason from; equal contexts get equal plans from a planner without a model.

    `policies` are those the lake retrieved, best match first; only they may be proposed. `scores` and `rejections` are
    those of this workload, of earlier iterations and of earlier runs. `limit` is the most plans that are wanted.
    With `run_id` set, the best knob values of an earlier run may be proposed once more, to be measured in this run.
    """

    profile: WorkloadProfile
    policies: tuple[Policy, ...]
    scores: tuple[Score, ...] = ()
    rejections: tuple[tuple[Candidate, Rejection], ...] = ()
    lessons: tuple[Lesson, ...] = ()
    iteration: int = 0
    limit: int = 4
    run_id: str = ""

    def policy(self, id: str) -> Policy | None:
        """The retrieved policy of that id."""
        return next((policy for policy in self.policies if policy.id == id), None)


class Planner(Protocol):
    """Proposes what to try next: at most `context.limit` plans, best first, none of them tried before."""

    @property
    def name(self) -> str:
        """Who proposes; stands in `PolicyPlan.planner`."""
        ...

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """The next plans; an empty list says that nothing is left that is worth a measurement."""
        ...

# SPDX-License-Identifier: Apache-2.0
"""What a planner knows and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from policy_lake.calls import ModelCall
from policy_lake.model import Candidate, Lesson, Pathway, Policy, PolicyPlan, Rejection
from policy_lake.profile import WorkloadProfile
from policy_lake.scores import Score


@dataclass(frozen=True, slots=True)
class Known:
    """A score, and how far its workload is from the one that is planned for (features.distance); 0 for the same."""

    score: Score
    distance: float = 0.0


@dataclass(frozen=True, slots=True)
class Composed:
    """A policy that is one choice away from another one, `base`; `what` is that choice, such as `queues=llc`."""

    base: str
    what: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Brief:
    """What a run is after, and what is left of it: for who plans in words.

    `metric` with its unit and direction, `guards` in words, `where` the guest's topology and machine; `iterations` of
    the run, `runs_left` of its budget (None: no limit).
    """

    metric: str = ""
    guards: tuple[str, ...] = ()
    where: str = ""
    iterations: int = 0
    runs_left: int | None = None


@dataclass(frozen=True, slots=True)
class PlanContext:
    """All that a planner may reason from; equal contexts get equal plans from a planner without a model.

    `policies` are those the lake retrieved, best match first; only they may be proposed. `scores` and `rejections` are
    those of this workload, of earlier iterations and of earlier runs. `limit` is the most plans that are wanted.
    With `run_id` set, the best knob values of an earlier run may be proposed once more, to be measured in this run.
    `kin` are scores of sibling workloads, nearest first. `slope` is what the logarithm of a prediction is multiplied
    by, from what earlier ones came to. `composed` are policies that may be proposed beside the retrieved ones: the
    variants of those that lead. `brief` is what the run is after, `calls` those that were made to a model in this run,
    `top_rung` the highest that a model may answer where a user says so (empty: by planners/ladder.py).
    """

    profile: WorkloadProfile
    policies: tuple[Policy, ...]
    scores: tuple[Score, ...] = ()
    rejections: tuple[tuple[Candidate, Rejection], ...] = ()
    lessons: tuple[Lesson, ...] = ()
    iteration: int = 0
    limit: int = 4
    run_id: str = ""
    kin: tuple[Known, ...] = ()
    slope: float = 1.0
    seed: int = 1
    composed: tuple[Composed, ...] = ()
    brief: Brief = Brief()
    calls: tuple[ModelCall, ...] = ()
    top_rung: Pathway = ""

    def policy(self, id: str) -> Policy | None:
        """The retrieved policy of that id, or the composed one."""
        known = (*self.policies, *(one.policy for one in self.composed))
        return next((policy for policy in known if policy.id == id), None)


class Planner(Protocol):
    """Proposes what to try next: at most `context.limit` plans, best first, none of them tried before."""

    @property
    def name(self) -> str:
        """Who proposes; stands in `PolicyPlan.planner`."""
        ...

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """The next plans; an empty list says that nothing is left that is worth a measurement."""
        ...

# SPDX-License-Identifier: Apache-2.0
"""What sibling workloads taught: which policies won there, with which knobs, and which lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policy_lake.model import KnobValue
from policy_lake.profile import WorkloadProfile
from policy_lake.scores import Score
from tasks.planners.features import KIN, distance
from tasks.planners.protocol import Known, PlanContext
from tasks.planners.surrogate import values_of

MOST_KIN = 200  # scores, nearest first: what is further off says less than a measurement costs
MOST_PLANS = 3


@dataclass(frozen=True, slots=True)
class Handed:
    """A policy that won on a sibling, with the knob values that can be carried over, and in which score."""

    policy: str
    knob_values: dict[str, KnobValue]
    known: Known


def kin_of(
    profile: WorkloadProfile, profiles: Iterable[WorkloadProfile], scores: Mapping[str, Iterable[Score]]
) -> tuple[Known, ...]:
    """Scores of other workloads that are near this one, nearest first; `scores` are by workload.

    By the same clock and in the same size alone; of several profiles of a workload its nearest counts.
    """
    near: dict[str, float] = {}
    for other in profiles:
        if other.workload != profile.workload and (other.clock, other.tier) == (profile.clock, profile.tier):
            apart = distance(profile, other)
            if apart < min(KIN, near.get(other.workload, math.inf)):
                near[other.workload] = apart
    known = [Known(score, near[workload]) for workload in near for score in scores.get(workload, ()) if score.attached]
    return tuple(sorted(known, key=lambda each: (each.distance, each.score.id))[:MOST_KIN])


def handed_down(context: PlanContext) -> list[Handed]:
    """The settings that won most of what their workload allowed, at most MOST_PLANS, each policy once.

    Lists (names of jobs, their times) are the sibling's own, and stay behind.
    """
    won = [each for each in context.kin if each.score.outcome == "win" and not each.score.over]
    best: dict[str, Handed] = {}
    for each in sorted(won, key=lambda each: (-_share(each.score), each.distance, each.score.id)):
        policy = context.policy(each.score.policy)
        if policy is None or policy.id in best or values_of(policy, each.score) is None:
            continue
        carried = {knob.name for knob in policy.knobs if knob.kind in ("int", "bool")}
        values = {name: value for name, value in each.score.knob_values.items() if name in carried}
        best[policy.id] = Handed(policy.id, values, each)
    return list(best.values())[:MOST_PLANS]


def lost_on_kin(context: PlanContext, policy: str) -> Score | None:
    """A score in which the policy surely lost on a sibling, where it won on none."""
    of = [each.score for each in context.kin if each.score.policy == policy]
    if any(score.outcome == "win" and not score.over for score in of):
        return None
    return next((score for score in of if score.outcome == "loss"), None)


def _share(score: Score) -> float:
    """How much of what arithmetic allowed was won; of workloads without a bound, how much at all."""
    gain = math.log(score.ratio.median)
    return gain / math.log(score.bound) if score.bound is not None and score.bound > 1.01 else gain

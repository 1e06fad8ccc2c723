# SPDX-License-Identifier: Apache-2.0
"""How well policies suit a workload by its numbers: what the rules say, and what was won on workloads near it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policy_lake.model import Policy
from policy_lake.profile import WorkloadProfile
from policy_lake.scores import Score
from policy_lake.topology import Topology
from tasks.planners.features import KIN, distance
from tasks.planners.openings import UNKNOWN
from tasks.planners.rules_library import kind_of
from tasks.planners.traits import traits

FITS = 0.6  # strength of a policy for caches or cores that the guest has: no rule over a profile knows of these


@dataclass(frozen=True, slots=True)
class Near:
    """By policy, logarithms of ratios: `gains` over all workloads, the nearer the more; `hits` the wins on siblings."""

    gains: dict[str, float]
    hits: dict[str, float]


def strengths(
    profile: WorkloadProfile, policies: Iterable[Policy], topology: Topology | None = None
) -> dict[str, float]:
    """How well each policy suits, from 0 to 1, by the rule of its kind and by what the guest has (None: unknown)."""
    of, found = traits(profile), dict[str, float]()
    for policy in policies:
        kind = kind_of(policy)
        found[policy.id] = UNKNOWN if kind is None else kind.find(profile, of).strength
        if any(count > 1 for count in has(policy, topology)):
            found[policy.id] = max(FITS, found[policy.id])
    return found


def has(policy: Policy, topology: Topology | None) -> list[int]:
    """How many the guest has of each thing that the policy tells apart: caches, threads of a core; none if unknown."""
    if topology is None:
        return []
    needs = {("queues", "llc"): topology.llcs, ("place", "core"): topology.smt}
    return [needs[mechanism] for mechanism in policy.mechanisms if mechanism in needs]


def won_near(
    profile: WorkloadProfile, profiles: Iterable[WorkloadProfile], scores: Mapping[str, Iterable[Score]]
) -> Near:
    """What policies won and lost on workloads, each weighed by exp(-(distance / KIN)^2); only what is above 0 is kept.

    `scores` are by workload, by the profile's clock and in its size. Of several profiles of a workload its nearest
    counts, of a policy's scores on it the best that keeps its guards.
    """
    apart: dict[str, float] = {}
    for other in profiles:
        if (other.clock, other.tier) == (profile.clock, profile.tier):
            apart[other.workload] = min(distance(profile, other), apart.get(other.workload, math.inf))
    gains, hits = dict[str, float](), dict[str, float]()
    for workload, far in apart.items():
        for id, score in _best(scores.get(workload, ())).items():
            gain = math.log(score.ratio.median)
            gains[id] = gains.get(id, 0.0) + math.exp(-((far / KIN) ** 2)) * gain
            if far < KIN and score.outcome == "win":
                hits[id] = max(gain, hits.get(id, 0.0))
    return Near({id: gain for id, gain in gains.items() if gain > 0}, hits)


def _best(scores: Iterable[Score]) -> dict[str, Score]:
    best: dict[str, Score] = {}
    for score in scores:
        known = best.get(score.policy)
        if score.attached and not score.over and (known is None or score.ratio.median > known.ratio.median):
            best[score.policy] = score
    return best

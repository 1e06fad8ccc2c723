# SPDX-License-Identifier: Apache-2.0
"""Which policies of the lake suit a workload: by its words, by its numbers, and by what won on workloads like it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from policy_lake.knobs import KnobError
from policy_lake.lake import Lake
from policy_lake.model import Policy
from policy_lake.profile import WorkloadProfile
from policy_lake.records import RankedPolicy, Rejected
from policy_lake.scores import Score
from policy_lake.tables import RRF_K
from policy_lake.topology import Topology
from tasks.planners.knobs import attempt
from tasks.planners.suits import has, strengths, won_near

RETRIEVED = 100  # all of a library that people read: what is far from the words may be near by its numbers
TEXT, RULES, WON = 1.0, 2.0, 2.0  # what a rank counts in each of the rankings that are fused (docs/retrieval.md)
SUITS = 0.2  # a rule that gives less says that its policy does not suit: it has no rank
# Stages that say no to a source whatever its knobs, and those that say it of the knob values that were tried.
OF_SOURCE, OF_KNOBS = ("source", "build", "object", "kernel"), ("survive", "fair")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy is to run: the kernel's release (empty: unknown) and the guest's topology (None: unknown)."""

    kernel: str = ""
    topology: Topology | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What speaks for a policy or against it; `scores` are by workload, by one clock and in one size."""

    profiles: Sequence[WorkloadProfile] = ()
    scores: Mapping[str, Sequence[Score]] = field(default_factory=dict)
    rejections: Sequence[Rejected] = ()

    def rejections_elsewhere(self, workload: str) -> list[Rejected]:
        """Those of other workloads."""
        return [each for each in self.rejections if each.workload != workload]


ANYWHERE, NOTHING = Place(), Past()


def retrieve(
    wanted: WorkloadProfile | str, lake: Lake, *, place: Place = ANYWHERE, past: Past = NOTHING, limit: int = RETRIEVED
) -> list[RankedPolicy]:
    """The policies that suit a workload and can run in that place, best first, with a relevance from 0 to 1.

    What won on a sibling comes first, the largest gain before the others. The rest is ordered by the sum of weighted
    reciprocal ranks (Cormack, Clarke, Buettcher, SIGIR 2009): in the lake's search for the text; for a profile also in
    the strengths by its numbers, and in what was won on workloads near it. InputError if the text is blank.
    """
    profile = None if isinstance(wanted, str) else wanted
    found = lake.search_policies(wanted if isinstance(wanted, str) else wanted.text, RETRIEVED)
    # What was rejected on the workload itself is told to the planner, who says what it leaves out.
    told = past.rejections if profile is None else past.rejections_elsewhere(profile.workload)
    able = [each.policy for each in found if can_run(each.policy, place, told)]
    rankings = [(TEXT, {policy.id: rank for rank, policy in enumerate(able, 1)})]
    hits: dict[str, float] = {}
    if profile is not None:
        near = won_near(profile, past.profiles, past.scores)
        suited = {id: value for id, value in strengths(profile, able, place.topology).items() if value >= SUITS}
        rankings += [(RULES, ranks(suited)), (WON, ranks(near.gains))]
        hits = near.hits
    most = sum(weight for weight, _ in rankings) / (RRF_K + 1)
    relevance = {policy.id: fused(policy.id, rankings) / most for policy in able}
    able.sort(key=lambda policy: (-hits.get(policy.id, 0.0), -relevance[policy.id]))
    return [RankedPolicy(policy, round(relevance[policy.id], 4)) for policy in able[:limit]]


def can_run(policy: Policy, place: Place, rejections: Iterable[Rejected]) -> bool:
    """Whether nothing is known that keeps the policy from running there, or makes it another one's equal."""
    return not without(policy, place) and not refused(policy, place, rejections)


def without(policy: Policy, place: Place) -> bool:
    """Whether the policy tells caches or threads of a core apart, and the guest has but one of them."""
    return any(count == 1 for count in has(policy, place.topology))


def refused(policy: Policy, place: Place, rejections: Iterable[Rejected]) -> bool:
    """Whether the verifier said no to this very source: on that kernel, save where no kernel had a say.

    What a guest showed counts if it was shown of the policy as it is: other knob values may do better.
    """
    return any(
        each.candidate.source == policy.source
        and (each.rejection.stage == "source" or (each.kernel != "" and each.kernel == place.kernel))
        and (each.rejection.stage in OF_SOURCE or (each.rejection.stage in OF_KNOBS and _as_it_is(policy, each)))
        for each in rejections
    )


def ranks(values: Mapping[str, float]) -> dict[str, int]:
    """The place of each from 1 on, the largest first; equals share the first of their places."""
    return {id: 1 + sum(other > value for other in values.values()) for id, value in values.items()}


def fused(id: str, rankings: Iterable[tuple[float, Mapping[str, int]]]) -> float:
    """The sum of what its ranks are worth, each weight / (RRF_K + rank); where it has none, nothing."""
    return sum(weight / (RRF_K + ranking[id]) for weight, ranking in rankings if id in ranking)


def _as_it_is(policy: Policy, rejected: Rejected) -> bool:
    try:
        return attempt(policy, rejected.candidate.knob_values) == attempt(policy, {})
    except KnobError:  # a knob that it has no more
        return False

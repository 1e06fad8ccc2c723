# SPDX-License-Identifier: Apache-2.0
"""What a plan is expected to reach, before it is measured: from what was measured near it, else from the rules.

A kernel regression over the lake's scores (Nadaraya 1964, Watson 1964): each score counts by how near its workload and
its knob values are, or, of another policy, by how many of its choices are the same; the rules' guess counts as much as
one score at a distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from policy_lake.knobs import KnobError, bounds
from policy_lake.model import Knob, KnobValue, Policy
from policy_lake.scores import Score
from tasks.planners.knobs import attempt
from tasks.planners.protocol import Known

KNOB_REACH = 0.15  # of a knob's range, on a logarithmic scale: scores further apart say little of each other
WORKLOAD_REACH = 0.1  # in the units of features.distance
CHOICES_REACH = 2.0  # choices in which two policies differ
OTHER = 0.5  # what a score weighs of a policy that differs in nothing but its presets
PRIOR = 0.2  # what the rules' guess weighs, of one score of the very same thing


def predict(
    policy: Policy, knob_values: Mapping[str, KnobValue], known: Iterable[Known], *, guess: float,
    of: Callable[[str], Policy | None] = lambda _: None,
) -> float:  # fmt: skip
    """The ratio to be expected of a policy with these knob values; `guess` is what the rules say, above 0.

    `of` finds the policy of a score by its id.
    """
    total, weights = PRIOR * math.log(guess), PRIOR
    wanted = dict(attempt(policy, knob_values)[1])
    for each in known:
        had = values_of(policy, each.score)
        if had is not None:
            near = math.exp(-((knob_distance(policy, wanted, had) / KNOB_REACH) ** 2))
        else:
            near = _alike(policy, of(each.score.policy), each.score)
        weight = near * math.exp(-((each.distance / WORKLOAD_REACH) ** 2))
        total += weight * math.log(each.score.ratio.median)
        weights += weight
    return math.exp(total / weights)


def _alike(policy: Policy, other: Policy | None, score: Score) -> float:
    """What a score of another policy says of this one: the less, the more choices they differ in."""
    if other is None or other.id == policy.id or not policy.mechanisms or score.ratio.median <= 0:
        return 0.0
    mine, theirs = dict(policy.mechanisms), dict(other.mechanisms)
    if mine.keys() != theirs.keys():
        return 0.0
    apart = sum(mine[name] != theirs[name] for name in mine)
    return OTHER * math.exp(-((apart / CHOICES_REACH) ** 2))


def values_of(policy: Policy, score: Score) -> dict[str, KnobValue] | None:
    """All knobs of a score of this policy; None for another's, or where the knobs are no longer what they were."""
    if score.policy != policy.id or score.ratio.median <= 0:
        return None
    try:
        return dict(attempt(policy, score.knob_values)[1])
    except KnobError:
        return None


def knob_distance(policy: Policy, one: Mapping[str, KnobValue], other: Mapping[str, KnobValue]) -> float:
    """The root of the sum of squares of the knobs' own distances, each from 0 to 1."""
    return math.sqrt(sum(_apart(knob, one[knob.name], other[knob.name]) ** 2 for knob in policy.knobs))


def _apart(knob: Knob, one: KnobValue, other: KnobValue) -> float:
    if one == other:
        return 0.0
    if knob.kind != "int" or not isinstance(one, int) or not isinstance(other, int):
        return KNOB_REACH  # another truth value, other names: as far as a step that matters
    low, high = bounds(knob)
    span = math.log1p(max(1, high - low))
    return min(1.0, abs(math.log1p(abs(one - low)) - math.log1p(abs(other - low))) / span)

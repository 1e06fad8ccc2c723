# SPDX-License-Identifier: Apache-2.0
"""Later plans: small steps away from the best score, one knob at a time, and what served others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from policy_lake.knobs import settle
from policy_lake.model import Knob, KnobValue, Policy
from policy_lake.ranking import best, rank
from policy_lake.scores import Score
from tasks.planners.knobs import attempt, default
from tasks.planners.openings import clamp, slice_knob
from tasks.planners.protocol import PlanContext
from tasks.planners.selection import measured
from tasks.planners.tpe import proposals

Step = tuple[dict[str, KnobValue], str]

COARSE, FINE = 2.0, 1.4  # steps of a knob: first those that show something, then those between them
NEAR = 1 / 8  # of a number: as near as a guard's edge is searched
AT_BOUND = 0.97  # a median this near the bound leaves less to gain than a measurement can tell


def best_score(context: PlanContext) -> Score | None:
    """The best score of this workload so far."""
    return best(measured(context))


def at_bound(score: Score) -> bool:
    """Whether arithmetic leaves nothing to gain."""
    return score.bound is not None and score.ratio.median >= AT_BOUND * score.bound


def steps(context: PlanContext, lead: Score, policy: Policy) -> Iterator[Step]:
    """Settings round those of the lead, most telling first, each with its reason; tried ones are among them.

    Where a guard's edge lies, what others won with, coarse steps, what TPE proposes, fine steps. Knobs that do nothing
    here are left out.
    """
    base, verb = settle(policy, lead.knob_values), "leads with" if lead is best_score(context) else "reached"
    head = f"{policy.id} {verb} {lead.ratio.median:.2f}x"
    own = [score for score in measured(context) if score.policy == policy.id]
    if lead.over:
        yield from between(policy, own)
    for loan, lender in loans(context, lead, policy):
        changes = ", ".join(f"{name}={value}" for name, value in loan.items())
        yield base | loan, f"{head}; {changes} comes from {lender.policy}, which reached {lender.ratio.median:.2f}x"
    still = inert(policy, own)
    yield from _near(policy, base, head, COARSE, still, first=_off(policy, base) if lead.over else ())
    for knob_values in proposals(policy, own, base, fixed=still, seed=context.seed):
        yield knob_values, f"{head}; TPE over {len(own)} scores of {policy.id} proposes this"
    yield from _near(policy, base, head, FINE, still)


def _off(policy: Policy, base: Mapping[str, KnobValue]) -> list[str]:
    """The knobs of what is switched off: where a guard breaks, another mechanism may ease it, such as ljf's hold_ns."""
    return [knob.name for knob in policy.knobs if knob.kind == "int" and base.get(knob.name, default(knob)) == 0]


def between(policy: Policy, scores: Sequence[Score]) -> Iterator[Step]:
    """Halfway between a score that breaks a guard and one that keeps all, apart by one number: there lies the edge.

    For each knob the nearest two, until they are apart by an eighth.
    """
    settled = [(dict(attempt(policy, score.knob_values)[1]), score) for score in scores]
    nearest: dict[str, tuple[float, dict[str, KnobValue], int, int]] = {}
    for base, broken in settled:
        for other, kept in settled:
            differing = [name for name in base if base[name] != other[name]]
            if not broken.over or kept.over or len(differing) != 1:
                continue
            name, here, there = differing[0], base[differing[0]], other[differing[0]]
            if type(here) is int and type(there) is int:
                apart = abs(here - there) / max(abs(here), abs(there))
                nearest[name] = min(
                    nearest.get(name, (2.0, base, 0, 0)), (apart, base, here, there), key=lambda of: of[0]
                )
    for name, (apart, base, here, there) in nearest.items():
        if apart > NEAR:
            reason = f"{policy.id} breaks a guard at {name}={here} and keeps all at {there}: halfway"
            yield base | {name: (here + there) // 2}, reason


def _near(
    policy: Policy, base: dict[str, KnobValue], head: str, factor: float, still: frozenset[str],
    first: Sequence[str] = (),
) -> Iterator[Step]:  # fmt: skip
    order = [*first, *(knob.name for knob in [slice_knob(policy)] if knob is not None)]
    for knob in sorted(policy.knobs, key=lambda knob: order.index(knob.name) if knob.name in order else len(order)):
        now = base.get(knob.name, default(knob))
        for value in () if knob.name in still else neighbours(knob, now, factor):
            yield base | {knob.name: value}, f"{head} at {knob.name}={now}; one step on, {knob.name}={value}"


def inert(policy: Policy, scores: Sequence[Score]) -> frozenset[str]:
    """Knobs that are known to do nothing here: settings apart by one of them alone always had the same digits.

    In virtual time alone: by the wall clock nothing repeats itself.
    """
    same: set[str] = set()
    apart: set[str] = set()
    settled = [(dict(attempt(policy, score.knob_values)[1]), score) for score in scores if score.clock == "virtual"]
    for (one, a), (other, b) in combinations(settled, 2):
        differing = [name for name in one if one[name] != other[name]]
        if len(differing) != 1 or not a.pairs or not b.pairs:
            continue
        shared = list(zip(a.pairs, b.pairs, strict=False))
        (same if all(x.policy == y.policy and x.seed == y.seed for x, y in shared) else apart).add(differing[0])
    return frozenset(same - apart)


def neighbours(knob: Knob, value: KnobValue, factor: float = COARSE) -> tuple[KnobValue, ...]:
    """Values one step away: `factor` times as much and as little, within the knob's range, or the other truth value."""
    if knob.kind == "bool":
        return (not value,) if isinstance(value, bool) else ()
    if knob.kind != "int" or not isinstance(value, int):
        return ()
    if value == 0:
        near = (clamp(knob, (knob.high or 0) // 4), clamp(knob, (knob.low or 0) // 4))
    else:
        near = (clamp(knob, int(value * factor)), clamp(knob, int(value / factor)))
    return tuple(dict.fromkeys(neighbour for neighbour in near if neighbour != value))


def loans(context: PlanContext, lead: Score, policy: Policy) -> Iterator[tuple[dict[str, KnobValue], Score]]:
    """Settings in which other winners differ from the lead, for the knobs they share: two gains may add up."""
    base = settle(policy, lead.knob_values)
    for other in lenders(context, lead):
        lender = context.policy(other.policy) or policy
        lent, kinds = settle(lender, other.knob_values), {knob.name: knob.kind for knob in lender.knobs}
        loan: dict[str, KnobValue] = {}
        for knob in policy.knobs:
            now = base.get(knob.name, default(knob))
            value = lent.get(knob.name, now)
            if kinds.get(knob.name) == knob.kind and value != now:
                loan[knob.name] = clamp(knob, value) if knob.kind == "int" and isinstance(value, int) else value
        if loan:
            yield loan, other


def lenders(context: PlanContext, lead: Score) -> list[Score]:
    """The best winner of each policy besides the lead itself, best first."""
    best_of_policy: dict[str, Score] = {}
    for score in sorted(measured(context), key=rank, reverse=True):
        if score is not lead and score.outcome == "win":
            best_of_policy.setdefault(score.policy, score)
    return list(best_of_policy.values())

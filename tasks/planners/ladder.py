# SPDX-License-Identifier: Apache-2.0
"""How far up the ladder a model may go: a rung is opened by a gap that the rungs below it left, as measured.

reuse, configure, compose, slot, patch, write: each answer can do more than the one before, and costs more to make, to
check and to trust. So a higher one is for what the lower ones did not reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from policy_lake.model import Candidate, Pathway
from policy_lake.ranking import best
from policy_lake.scores import Score
from tasks.planners.protocol import PlanContext
from tasks.planners.selection import measured

LADDER: tuple[Pathway, ...] = tuple(rung for rung in get_args(Pathway) if rung)
Reason = Literal["asked for", "nothing measured", "no gap", "gap", "wide gap", "no target"]
CLOSED = 0.03  # of the gain, in logarithms: what is left then is what pairs differ by (planners/refine.py has the same)
WIDE = 0.5  # more than half of the gain is missing: no knob of what is known will bring it


@dataclass(frozen=True, slots=True)
class Gap:
    """The best ratio so far, what can be had (`of` says by whose word; 0: nobody says), and which part is missing.

    `missing` is of the gain in logarithms: 0 at the target, 1 where nothing is gained yet.
    """

    reached: float
    target: float
    of: Literal["", "bound", "best known"]
    missing: float


@dataclass(frozen=True, slots=True)
class Rungs:
    """What may be answered now, lowest first, and why it ends there."""

    open: tuple[Pathway, ...]
    why: Reason
    gap: Gap

    @property
    def words(self) -> str:
        """The same for who is asked."""
        gap = self.gap
        if self.why == "nothing measured":
            return "Nothing is measured yet: choose among what is known."
        if self.why == "asked for":
            return "Any of these may be answered, as the user asked."
        if not gap.of:
            return f"The best is {gap.reached:.2f}x; what could be reached nobody knows, so one rung more is open."
        state = f"The best is {gap.reached:.2f}x, the {gap.of} {gap.target:.2f}x"
        if self.why == "no gap":
            return f"{state}: there is no gap that would ask for more than other knob values."
        more = (
            "more than half of the gain is missing, so all are open" if self.why == "wide gap" else "one more is open"
        )
        return f"{state}: {100 * gap.missing:.0f} % of the gain is missing; {more}."


def rungs_of(context: PlanContext) -> Rungs:
    """The rungs that are open to a model for this context.

    With nothing measured: reuse and configure. With a gap: one above the highest that was tried, and all of them where
    more than WIDE of the gain is missing. Without a gap: reuse and configure. Where neither a bound nor a better score
    is known, a gap cannot be ruled out: one above the highest that was tried. `context.top_rung` overrides the rule.
    """
    gap = gap_of(context)
    if context.top_rung:
        return Rungs(_up_to(context.top_rung), "asked for", gap)
    tried = [rung_of(context, score) for score in measured(context)]
    if not tried:
        return Rungs(_up_to("configure"), "nothing measured", gap)
    tried += [candidate.pathway or "configure" for candidate, _ in context.rejections]
    if gap.of and gap.missing <= CLOSED:
        return Rungs(_up_to("configure"), "no gap", gap)
    if gap.of and gap.missing > WIDE:
        return Rungs(LADDER, "wide gap", gap)
    above = min(len(LADDER) - 1, 1 + max(LADDER.index("configure"), *map(LADDER.index, tried)))
    return Rungs(LADDER[: above + 1], "gap" if gap.of else "no target", gap)


def gap_of(context: PlanContext) -> Gap:
    """What the best that keeps its guards has reached, of the bound or else of the best that is known of its kin."""
    leader = best(measured(context))
    reached = max(1.0, leader.ratio.median) if leader is not None else 1.0
    bounds = [score.bound for score in measured(context) if score.bound is not None]
    known = _best_ratio([one.score for one in context.kin])
    if bounds:
        return Gap(reached, max(bounds), "bound", _missing(reached, max(bounds)))
    if known > reached:
        return Gap(reached, known, "best known", _missing(reached, known))
    return Gap(reached, 0.0, "", 1.0)


def rung_of(context: PlanContext, record: Score | Candidate) -> Pathway:
    """The rung that a record's policy stands on."""
    policy = context.policy(record.policy)
    if policy is not None and policy.authored is not None:
        return policy.authored.rung
    return "compose" if policy is not None and policy.origin == "composed" else "configure"


def _best_ratio(scores: Sequence[Score]) -> float:
    leader = best(scores)
    return leader.ratio.median if leader is not None else 0.0


def _missing(reached: float, target: float) -> float:
    return 0.0 if target <= reached else 1 - math.log(reached) / math.log(target)


def _up_to(rung: Pathway) -> tuple[Pathway, ...]:
    return LADDER[: LADDER.index(rung) + 1]

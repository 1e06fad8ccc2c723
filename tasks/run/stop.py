# SPDX-License-Identifier: Apache-2.0
"""When a run plans no more, and why: what it may cost is used up, or nothing is left that is worth a measurement."""

from __future__ import annotations

from collections.abc import Sequence

from policy_lake.ranking import best
from policy_lake.tuned import Stop
from tasks.host.spans import Span
from tasks.planners.refine import at_bound
from tasks.run.certainty import Tried
from tasks.run.spec import Budget

WORDS: dict[Stop, str] = {
    "": "",
    "bound": "the best is as good as arithmetic allows",
    "nothing left": "nothing that was not tried promises more than equal runs differ by",
    "iterations": "its rounds are used up (--iterations)",
    "runs": "its runs are used up (--max-runs)",
    "guest seconds": "its time in guests is used up (--max-guest-seconds)",
    "seconds": "its time is used up (--max-seconds)",
}


def used_up(budget: Budget, tried: Sequence[Tried], spans: Sequence[Span], elapsed_s: float) -> Stop:
    """What of the budget is used up; empty if there is more. Runs are those of candidates, known ones among them."""
    if budget.runs and runs_of(tried) >= budget.runs:
        return "runs"
    if budget.guest_s and sum(end - start for start, end in spans) >= budget.guest_s:
        return "guest seconds"
    return "seconds" if budget.wall_s and elapsed_s >= budget.wall_s else ""


def runs_of(tried: Sequence[Tried]) -> int:
    """Runs under the candidates' policies, each of which has one of EEVDF's beside it."""
    return sum(len(attempt.score.pairs) for attempt in tried if attempt.score is not None)


def nothing_planned(tried: Sequence[Tried]) -> Stop:
    """Why a planner proposed nothing."""
    leader = best(attempt.score for attempt in tried if attempt.score is not None)
    return "bound" if leader is not None and at_bound(leader) else "nothing left"

# SPDX-License-Identifier: Apache-2.0
"""Which rungs are open: by what was measured, and by nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from planner_cases import LIBRARY, context, rejection, score

from policy_lake.model import Authored
from tasks.planners.ladder import CLOSED, LADDER, WIDE, gap_of, rungs_of
from tasks.planners.protocol import Known

LOW = ("reuse", "configure")


def with_origin(origin: Any, rung: Any = "") -> Any:
    authored = Authored(rung, "tiny") if rung else None
    return (replace(LIBRARY[0], origin=origin, authored=authored), *LIBRARY[1:])


def test_the_ladder_is_in_the_order_of_what_a_rung_can_do() -> None:
    assert LADDER == ("reuse", "configure", "compose", "slot", "patch", "write")


def test_with_nothing_measured_the_lower_rungs_come_first() -> None:
    asked = rungs_of(context(rejections=(rejection("vtime"),)))
    assert (asked.open, asked.why) == (LOW, "nothing measured")


@pytest.mark.parametrize(
    ("share", "why", "top"),
    [
        (0.0, "no gap", "configure"), (CLOSED - 0.001, "no gap", "configure"), (CLOSED + 0.001, "gap", "compose"),
        (WIDE - 0.001, "gap", "compose"), (WIDE + 0.001, "wide gap", "write"), (1.0, "wide gap", "write"),
    ],
)  # fmt: skip
def test_the_gap_to_the_bound_says_how_far_up(share: float, why: str, top: str) -> None:
    bound = 2.0
    reached = math.exp(math.log(bound) * (1 - share))
    asked = rungs_of(context(scores=(score("vtime", reached, bound=bound),)))
    assert (asked.why, asked.open[-1]) == (why, top)
    assert asked.gap.missing == pytest.approx(share) and asked.gap.of == "bound"
    assert f"the bound {bound:.2f}x" in asked.words


@pytest.mark.parametrize(
    ("origin", "rung", "top"), [("library", "", "compose"), ("composed", "", "slot"), ("model", "slot", "patch"),
                                ("model", "patch", "write"), ("model", "write", "write")],
)  # fmt: skip
def test_a_small_gap_opens_one_rung_above_the_highest_that_was_tried(origin: str, rung: str, top: str) -> None:
    scores = (score("vtime", 1.25, bound=1.32), score("rr", 1.1, bound=1.32))
    assert rungs_of(context(scores=scores, policies=with_origin(origin, rung))).open[-1] == top


def test_what_was_rejected_was_tried_too() -> None:
    candidate, why = rejection("rr")
    tried = ((replace(candidate, pathway="patch"), why),)
    assert rungs_of(context(scores=(score("vtime", 1.25, bound=1.32),), rejections=tried)).open[-1] == "write"


def test_without_a_bound_kin_say_what_is_known_and_else_nobody() -> None:
    kin = (Known(score("ljf", 3.0, bound=None), 0.05),)
    known = rungs_of(context(scores=(score("vtime", 1.1, bound=None),), kin=kin))
    assert (known.why, known.gap.of, known.gap.target) == ("wide gap", "best known", 3.0)
    ahead = rungs_of(context(scores=(score("vtime", 3.5, bound=None),), kin=kin))
    assert (ahead.why, ahead.open[-1]) == ("no target", "compose") and "nobody knows" in ahead.words
    worse = gap_of(context(scores=(score("vtime", 0.8, bound=1.32),)))
    assert worse.reached == 1.0 and worse.missing == 1.0, "EEVDF itself is always there"


def test_a_score_that_breaks_a_guard_reaches_nothing() -> None:
    broken = replace(score("vtime", 1.32, bound=1.32), over={"rps": 1.2})
    assert rungs_of(context(scores=(broken,))).why == "wide gap"


def test_a_user_may_open_any() -> None:
    asked = rungs_of(context(top_rung="patch"))
    assert (asked.open, asked.why) == (LADDER[:5], "asked for")

# SPDX-License-Identifier: Apache-2.0
"""Why a run plans no more: each limit of its budget, and a planner that proposes nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
from flow_cases import candidate, score

from policy_lake.scores import Pair
from policy_lake.tuned import Stop
from tasks.run.certainty import Tried, prediction_lines
from tasks.run.spec import Budget
from tasks.run.stop import WORDS, nothing_planned, runs_of, used_up

WON, LOST = candidate("ljf-1", slice_ns=5), candidate("rr-1", iteration=2)
PAIRS = tuple(Pair(2.0, 1.0, seed) for seed in range(5))
TRIED = [Tried(WON, replace(score(WON), pairs=PAIRS)), Tried(LOST, replace(score(LOST), pairs=PAIRS[:2])), Tried(WON)]
SPANS = [(0.0, 10.0), (5.0, 15.0)]  # side by side: both count


@pytest.mark.parametrize(
    ("budget", "elapsed_s", "stop"),
    [
        (Budget(), 1e9, ""),
        (Budget(runs=7), 0, "runs"), (Budget(runs=8), 0, ""),
        (Budget(guest_s=20), 0, "guest seconds"), (Budget(guest_s=21), 0, ""),
        (Budget(wall_s=60), 60, "seconds"), (Budget(wall_s=60), 59.9, ""),
        (Budget(7, 20, 60), 99, "runs"), (Budget(8, 20, 60), 99, "guest seconds"),
    ],
)  # fmt: skip
def test_a_budget_is_used_up_by_what_it_counts(budget: Budget, elapsed_s: float, stop: Stop) -> None:
    assert runs_of(TRIED) == 7
    assert used_up(budget, TRIED, SPANS, elapsed_s) == stop


def test_nothing_is_planned_at_the_bound_or_for_want_of_anything_better() -> None:
    at = replace(score(WON), bound=1.32, ratio=replace(score(WON).ratio, median=1.31))
    assert nothing_planned([Tried(WON, at)]) == "bound"
    assert nothing_planned([Tried(WON, replace(at, bound=1.6))]) == "nothing left"
    assert nothing_planned([Tried(WON, replace(at, over={"p99": 1.1}))]) == "nothing left", "it may not run"
    assert nothing_planned([]) == "nothing left"


def test_every_reason_has_its_words() -> None:
    assert set(WORDS) == set(get_args(Stop)) and all(WORDS[stop] for stop in WORDS if stop)


def test_predictions_are_told_with_their_errors_and_the_worst_by_name() -> None:
    right = Tried(replace(WON, predicted=1.3), replace(score(WON), ratio=replace(score(WON).ratio, median=1.3)))
    wrong = Tried(replace(LOST, predicted=1.5), replace(score(LOST), ratio=replace(score(LOST).ratio, median=1.0)))
    assert prediction_lines([Tried(WON, score(WON)), Tried(WON)]) == []
    (line,) = prediction_lines([right, wrong])
    assert f"{100 * (math.sqrt(1.5) - 1):.1f} %" in line and "50.0 %" in line and f"{LOST.policy} was expected" in line

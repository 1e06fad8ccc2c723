# SPDX-License-Identifier: Apache-2.0
"""The page that compares the two clocks: its statistics and its words."""

from __future__ import annotations

import math

from control_plane.bench.fidelity import Measured, disagreements, page, spearman


def one(policy: str, clock: str, ratio: float, spread: float = 0.01, failure: str = "") -> Measured:
    return Measured("batch", policy, clock, ratio, (ratio - spread, ratio + spread), failure)


def test_rank_correlation_is_that_of_the_order_alone() -> None:
    assert spearman([1, 2, 3], [10, 20, 300]) == 1
    assert spearman([1, 2, 3], [3, 2, 1]) == -1
    assert math.isclose(spearman([1, 2, 2, 4], [1, 3, 2, 4]), 0.9486832980505138)  # scipy.stats.spearmanr
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_only_a_sure_reversal_is_a_disagreement() -> None:
    measured = [one("a", "virtual", 1.3), one("b", "virtual", 1.0), one("a", "wall", 0.9), one("b", "wall", 1.1)]
    assert disagreements(measured) == ["batch: a is better in virtual time, b by the wall clock"]
    unsure = [one("a", "virtual", 1.3), one("b", "virtual", 1.0), one("a", "wall", 0.9, 0.3), one("b", "wall", 1.1)]
    assert disagreements(unsure) == []


def test_a_policy_without_a_score_is_shown_and_not_ranked() -> None:
    measured = [
        one("a", "virtual", 1.3), one("a", "wall", 1.2), one("b", "virtual", 1.0), one("b", "wall", 1.0),
        one("c", "virtual", 1.0), one("c", "wall", 0, failure="the guest did not boot"),
    ]  # fmt: skip
    text = page(measured, where="here")
    assert "| c | 1.000x [0.990, 1.010] | the guest did not boot |" in text
    assert "of 2 policies: 1.00" in text and "Nowhere" in text

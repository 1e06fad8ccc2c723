# SPDX-License-Identifier: Apache-2.0
"""Ratios, intervals and outcomes: their properties on any sane input, and a clear refusal of the rest."""

import math
import statistics as plain
from dataclasses import replace

import numpy as np
import pytest
from flow_cases import candidate
from flow_cases import score as score_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from benchmarks.statistics import (
    RESAMPLES,
    _interval,
    doubt_text,
    doubt_word,
    floor_of,
    four_digits,
    orders,
    outcome,
    outcome_text,
    percent,
    ratio,
)
from policy_lake.scores import Pair, Ratio

NARROW, WIDE = (0.99, 1.01), (0.99, 1.03)


@pytest.mark.parametrize(("doubt", "interval", "text", "word"), [
    ("floor", WIDE, "the difference is within the A/A floor of 1.5 %", "within floor 1.5 %"),
    ("effect", WIDE, "the difference is below 2 %", "below 2 %"),
    ("interval", NARROW, "no difference of 2 % or more: the anytime-valid 95 % CI is that narrow", "no difference"),
    ("interval", (0.97, 1.01), None, "interval holds 1"),
    ("interval", WIDE, "too noisy: the anytime-valid 95 % CI includes 1, the minimum detectable effect is unknown",
     "interval holds 1"),
    ("interval", None, None, "interval holds 1"),
    ("", NARROW, "", ""),
])  # fmt: skip
def test_a_doubt_is_told_in_a_sentence_and_in_a_word(doubt, interval, text, word):
    score = replace(score_of(candidate("one")), outcome="inconclusive", doubt=doubt, anytime95=interval, floor=1.015)
    if text is None:
        text = "too noisy: the anytime-valid 95 % CI includes 1, the minimum detectable effect is unknown"
    assert (doubt_text(score), doubt_word(score)) == (text, word)
    assert outcome_text(score) == ("inconclusive" if not text else f"inconclusive ({text})")


def test_an_effect_is_told_as_how_far_it_is_from_one():
    assert (percent(1.006), percent(None)) == ("0.6 %", "unknown")


def test_the_ends_of_the_bootstrap_s_interval_leave_a_fortieth_on_either_side():
    logs = np.random.default_rng(5).normal(size=30)
    low, high = _interval(logs, 7)
    picks = np.random.default_rng(7).integers(30, size=(RESAMPLES, 30))
    medians = np.median(logs[picks], axis=1)
    assert np.quantile(medians, 0.0249) <= low <= np.quantile(medians, 0.0251)
    assert np.quantile(medians, 0.9749) <= high <= np.quantile(medians, 0.9751)


times = st.floats(min_value=1e-3, max_value=1e6)
pair_lists = st.lists(st.builds(Pair, times, times), min_size=2, max_size=12)


@given(pair_lists)
@settings(max_examples=40, deadline=None)
def test_the_interval_holds_the_median(pairs):
    result = ratio(pairs)
    assert 0 < result.ci95[0] <= result.median <= result.ci95[1]


@given(pair_lists, st.booleans())
@settings(max_examples=40, deadline=None)
def test_exchanging_the_roles_inverts_everything(pairs, lower):
    there = ratio(pairs, lower_is_better=lower)
    back = ratio([Pair(pair.policy, pair.baseline) for pair in pairs], lower_is_better=lower)
    assert back.median == pytest.approx(1 / there.median)
    assert back.ci95 == pytest.approx((1 / there.ci95[1], 1 / there.ci95[0]))
    mirrored = {"win": "loss", "loss": "win", "inconclusive": "inconclusive"}
    if not math.isclose(there.ci95[0], 1) and not math.isclose(there.ci95[1], 1):
        assert outcome(back)[0] == mirrored[outcome(there)[0]]


@given(pair_lists, st.floats(min_value=0.01, max_value=100))
@settings(max_examples=20, deadline=None)
def test_the_unit_does_not_matter(pairs, scale):
    scaled = ratio([Pair(pair.baseline * scale, pair.policy * scale) for pair in pairs])
    assert scaled.median == pytest.approx(ratio(pairs).median)


def test_the_direction_of_the_metric_decides_which_side_is_better():
    pairs = [Pair(200, 100), Pair(202, 100), Pair(198, 100)]
    assert ratio(pairs).median == pytest.approx(2)
    assert ratio(pairs, lower_is_better=False).median == pytest.approx(0.5)


def test_an_odd_number_of_pairs_gives_the_plain_median_of_the_ratios():
    pairs = [Pair(1.1, 1), Pair(1.4, 1), Pair(1.2, 1), Pair(3, 1), Pair(1.3, 1)]
    assert ratio(pairs).median == pytest.approx(plain.median(pair.baseline / pair.policy for pair in pairs))


def test_the_same_seed_gives_the_same_interval_and_another_seed_nearly_so():
    noise = np.random.default_rng(7).normal(1.25, 0.05, 15)
    pairs = [Pair(float(value), 1.0) for value in noise]
    assert ratio(pairs, seed=3) == ratio(pairs, seed=3)
    assert ratio(pairs, seed=3).ci95 == pytest.approx(ratio(pairs, seed=4).ci95, rel=0.02)


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(count):
    """Why few pairs get the t interval: the plain bootstrap of three would hold the truth in 75 of 100 cases."""
    generator, held = np.random.default_rng(count), 0
    for _ in range(100):
        pairs = [Pair(float(np.exp(value)), 1.0) for value in generator.normal(0, 0.1, count)]
        low, high = ratio(pairs).ci95
        held += low <= 1 <= high
    assert held >= 88


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_value_that_is_no_measurement_is_refused_by_place(bad):
    with pytest.raises(ValueError, match=r"pair 1: .* finite and above 0"):
        ratio([Pair(1, 1), Pair(1, bad)])
    with pytest.raises(ValueError, match="pair 0"):
        ratio([Pair(bad, 1), Pair(1, 1)])


@pytest.mark.parametrize("pairs", [[], [Pair(2, 1)]])
def test_one_pair_has_no_interval(pairs):
    with pytest.raises(ValueError, match="at least 2 pairs"):
        ratio(pairs)


@pytest.mark.parametrize(
    ("median", "low", "high", "expected"),
    [
        (1.25, 1.1, 1.4, ("win", "")),
        (0.8, 0.7, 0.9, ("loss", "")),
        (1.25, 0.99, 1.4, ("inconclusive", "interval")),
        (1.25, 1.0, 1.4, ("inconclusive", "interval")),
        (0.8, 0.7, 1.0, ("inconclusive", "interval")),
        (1.01, 1.005, 1.015, ("inconclusive", "effect")),
        (0.99, 0.985, 0.995, ("inconclusive", "effect")),
        (1.02, 1.01, 1.03, ("win", "")),
        (1.0199, 1.01, 1.03, ("inconclusive", "effect")),
        (1 / 1.02, 0.97, 0.99, ("loss", "")),
        (math.nan, math.nan, math.nan, ("inconclusive", "interval")),
        (2.0, 1.5, math.inf, ("inconclusive", "interval")),
    ],
)
def test_outcome_and_why_there_is_none(median, low, high, expected):
    assert outcome(Ratio(median, (low, high))) == expected


@pytest.mark.parametrize(("floor", "expected"), [(1.09, "win"), (1.1, "win"), (1.101, "inconclusive")])
def test_a_win_and_a_loss_lie_beyond_the_floor(floor, expected):
    assert outcome(Ratio(1.1, (1.05, 1.2)), floor=floor)[0] == expected
    mirrored = {"win": "loss", "inconclusive": "inconclusive"}[expected]
    assert outcome(Ratio(1 / 1.1, (0.8, 0.95)), floor=floor)[0] == mirrored


def test_the_least_effect_is_the_callers_choice():
    assert outcome(Ratio(1.04, (1.03, 1.05)), min_effect=0.05) == ("inconclusive", "effect")


def test_orders_take_turns():
    assert orders(3) == (("baseline", "policy"), ("policy", "baseline"), ("baseline", "policy"))
    assert orders(0) == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [(19293.4, "19290"), (5539.84, "5540"), (0.123456, "0.1235"), (1e9 + 1, "1000000000"), (0.0, "0"), (120.0, "120")],
)
def test_figures_for_people_have_four_digits_and_no_exponent(value, words):
    assert four_digits(value) == words


def logs_of(logs):
    return [Pair(math.exp(value), 1.0) for value in logs]


@pytest.mark.parametrize("logs", [[0.1, 0.3], [0.1, 0.2, 0.4], [0.0, 0.1, 0.2, 0.4], [0.0, 0.0, 0.2, 0.4, 0.4]])
def test_below_six_pairs_the_interval_is_students(logs):
    found = ratio(logs_of(logs))
    reach = t.ppf(0.975, len(logs) - 1) * plain.stdev(logs) / math.sqrt(len(logs))
    assert [math.log(end) for end in found.ci95] == pytest.approx(
        [plain.mean(logs) - reach, plain.mean(logs) + reach], rel=2e-3
    )


@pytest.mark.parametrize("seed", [0, 5])
def test_from_six_pairs_on_the_interval_is_the_percentile_bootstrap_of_the_median(seed):
    logs = np.random.default_rng(13).normal(0.2, 0.1, 16)  # of few for which seeds and one resample more differ
    picks = np.random.default_rng(seed).integers(16, size=(10_000, 16))
    ends = np.quantile(np.median(logs[picks], axis=1), (0.025, 0.975))
    found = ratio(logs_of(logs), seed=seed) if seed else ratio(logs_of(logs))
    assert [math.log(end) for end in found.ci95] == pytest.approx(list(ends))
    assert ratio(logs_of(logs), seed=1).ci95 != found.ci95


@pytest.mark.parametrize(("ends", "floor"), [((0.8, 1.1), 1.25), ((0.95, 1.2), 1.2), ((1.1, 1.3), 1.3)])
def test_the_floor_is_the_end_further_from_one(ends, floor):
    assert floor_of(Ratio(1.0, ends)) == pytest.approx(floor)

# SPDX-License-Identifier: Apache-2.0
"""What a run tells a person and a program."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flow_cases import PROFILE, REJECTION, candidate, score

from tasks.host.spans import covered_s
from tasks.learn import lesson_text
from tasks.run.report import (
    Tried,
    baseline_line,
    best_line,
    best_of,
    change,
    markdown_report,
    profile_page,
    table_rows,
    text_report,
)

LJF = candidate("ljf-1", long_names="long")
WON = Tried(LJF, score(LJF))
LOST = Tried(candidate("rr-1"), score(candidate("rr-1"), 0.9, outcome="loss"))
BAD = Tried(candidate("fifo-1"), rejection=REJECTION)
GONE = Tried(candidate("vtime-1"), failure="worker-died: WorkerCrashedError")
SECONDS = {"total": 100.0, "vm": 80.0, "overhead": 20.0}


def test_each_row_says_what_became_of_a_candidate() -> None:
    results = [row["result"] for row in table_rows([WON, LOST, BAD, GONE])]
    assert results == [
        "1.31x [1.29, 1.33], win",
        "0.90x [0.88, 0.92], loss",
        "rejected at survive: runnable task stall",
        "no result: worker-died: WorkerCrashedError",
    ]


def test_a_sure_winner_is_better_than_a_larger_uncertain_one() -> None:
    unsure = Tried(candidate("vtime-2"), score(candidate("vtime-2"), 1.6, outcome="inconclusive"))
    assert best_of([unsure, WON, LOST, BAD, GONE]) is WON.score
    assert best_of([BAD, GONE]) is None


def test_the_report_has_the_baseline_s_own_figure_the_bound_and_what_is_not_claimed() -> None:
    for report in (markdown_report, text_report):
        text = report(PROFILE, [WON, LOST, BAD, GONE], token="/tokens/run-1.json", seconds=SECONDS)
        for part in (
            "eevdf: makespan_s 1.5 s (median of 3; 2 CPUs, wall clock, tcg).",
            "The best ratio that arithmetic allows is 1.33x.",
            "Best: ljf with long_names=long, 1.31x [1.29, 1.33] against eevdf (makespan_s 24 % lower).",
            "/tokens/run-1.json",
            "100 s in all, 80 s of it in guests",
            "Not claimed: ",
            "runnable task stall",
            "WorkerCrashedError",
        ):
            assert part in text


def test_evidence_stands_in_the_markdown_and_cells_keep_their_bars() -> None:
    assert "    watchdog" in markdown_report(PROFILE, [BAD], token=None, seconds=SECONDS)
    assert "| long\\|job | 1 |" in profile_page(PROFILE)


def test_nothing_measured_and_nothing_won_are_said() -> None:
    assert best_line(None) == "No candidate was measured."
    assert best_line(LOST.score).startswith("Nothing won. Nearest: rr as it is, 0.90x")
    assert "Token: none, as nothing won." in text_report(PROFILE, [BAD], token=None, seconds=SECONDS)
    assert "sets no bound" in baseline_line(replace(score(LJF), bound=None))


@pytest.mark.parametrize(("median", "words"), [(2.0, "makespan_s 50 % lower"), (0.5, "makespan_s 100 % higher")])
def test_the_change_has_the_metric_s_direction(median: float, words: str) -> None:
    assert change(score(LJF, median)) == words


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [([], 0), ([(1, 3)], 2), ([(1, 3), (2, 4)], 3), ([(5, 6), (1, 3)], 3), ([(1, 10), (2, 3), (9, 12)], 11)],
)
def test_guests_side_by_side_count_once(spans: list[tuple[float, float]], seconds: float) -> None:
    assert covered_s(spans) == seconds


NARROW, WIDE = (0.995, 1.004), (0.9, 1.2)


@pytest.mark.parametrize(
    ("doubt", "interval", "words"),
    [
        ("interval", WIDE, "too noisy: the anytime-valid 95 % CI includes 1, the minimum detectable effect is 7.0 %"),
        ("interval", None, "too noisy: the anytime-valid 95 % CI includes 1, the minimum detectable effect is 7.0 %"),
        ("interval", NARROW, "no difference of 2 % or more: the anytime-valid 95 % CI is that narrow"),
        ("floor", (1.05, 1.1), "the difference is within the A/A floor of 11.5 %"),
        ("effect", (1.005, 1.015), "the difference is below 2 %"),
    ],
)
def test_an_inconclusive_score_says_why_in_every_text(
    doubt: str, interval: tuple[float, float] | None, words: str
) -> None:
    unsure = score(LJF, 1.01, outcome="inconclusive", doubt=doubt, anytime95=interval, detectable=1.07, floor=1.115)
    tried = Tried(LJF, unsure)
    assert tried.result.endswith(f", inconclusive ({words})")
    assert best_line(unsure).endswith(f"against eevdf, inconclusive ({words}).")
    assert f"was inconclusive on batch on 2 CPUs: {words}" in lesson_text(tried, "batch")
    text = text_report(PROFILE, [tried], token=None, seconds=SECONDS)
    assert words in text and "minimum detectable effect: 7.0 %; A/A floor: 11.5 %" in text
    assert (f"anytime-valid 95 % CI: [{interval[0]:.2f}, {interval[1]:.2f}]" in text) if interval else True


def test_a_score_of_an_earlier_version_is_inconclusive_without_a_why() -> None:
    old = Tried(LJF, score(LJF, 1.01, outcome="inconclusive"))
    assert old.result.endswith(", inconclusive")
    assert "was inconclusive on batch on 2 CPUs (" in lesson_text(old, "batch")

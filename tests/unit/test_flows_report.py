# SPDX-License-Identifier: Apache-2.0
"""What a run tells a person and a program."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flow_cases import PROFILE, REJECTION, candidate, score

from tasks.host.spans import covered_s
from tasks.learn import lesson_text
from tasks.run.layout import WIDTH, folded, wrapped
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


LONG = candidate("vtime-9", job_comm=",".join(f"a-long-name-{n:03d}" for n in range(16)), slice_ns=20_000_000)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_each_row_says_what_became_of_a_candidate_before_its_knobs() -> None:
    rows = table_rows([WON, LOST, BAD, GONE])
    assert [(row["ratio"], row["result"]) for row in rows] == [
        ("1.31x [1.29, 1.33]", "win"),
        ("0.90x [0.88, 0.92]", "loss"),
        ("", "rejected at survive: runnable task stall"),
        ("", "no result: worker-died: WorkerCrashedError"),
    ]
    assert list(rows[0])[:3] == ["ratio", "result", "policy"]
    assert rows[0]["knobs"] == "with long_names=long" and rows[1]["knobs"] == "as it is"


def test_a_sure_winner_is_better_than_a_larger_uncertain_one() -> None:
    unsure = Tried(candidate("vtime-2"), score(candidate("vtime-2"), 1.6, outcome="inconclusive"))
    assert best_of([unsure, WON, LOST, BAD, GONE]) is WON.score
    assert best_of([BAD, GONE]) is None


def test_the_report_has_the_baseline_s_own_figure_the_bound_and_what_is_not_claimed() -> None:
    for report in (markdown_report, text_report):
        text = flat(report(PROFILE, [WON, LOST, BAD, GONE], token="/tokens/run-1.json", seconds=SECONDS))
        for part in (
            "eevdf: makespan_s 1.5 s (median of 3; 2 CPUs, wall clock, tcg).",
            "The best ratio that arithmetic allows is 1.33x.",
            "Best: ljf, 1.31x [1.29, 1.33] against eevdf (makespan_s 24 % lower), with long_names=long.",
            "load 1 task, 2 CPUs, 90 % busy for 2.5 s" if report is text_report else "- load: 1 task, 2 CPUs, 90 %",
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


@pytest.mark.parametrize("report", [markdown_report, text_report])
def test_no_line_is_wider_than_100_columns_whatever_the_knobs(report) -> None:
    evidence = replace(REJECTION, reason="a reason " * 30, evidence="x" * 250 + "\n\n  indented")
    tried = [Tried(LONG, score(LONG)), Tried(candidate("fifo-1"), rejection=evidence), GONE]
    text = report(PROFILE, tried, token="/tokens/run-1.json", seconds=SECONDS, warning="w " * 90)
    assert max(map(len, text.splitlines())) <= WIDTH
    joined = text.replace("\n", "").replace(" ", "")
    assert "".join(str(LONG.knob_values["job_comm"]).split()) in joined
    assert "1.31x [1.29, 1.33]" in text


def test_a_path_stays_whole_and_a_log_is_cut_where_it_is_too_wide() -> None:
    path = "/" + "very-long/" * 15 + "x.json"
    assert wrapped(f"Token: {path}", rest="  ") == ["Token:", f"  {path}"]
    assert folded("a" * 150, indent="    ") == ["    " + "a" * 96, "    " + "a" * 54]
    assert wrapped("") == [""]


def test_nothing_measured_and_nothing_won_are_said_only_when_it_is_so() -> None:
    guarded = Tried(candidate("rr-2"), rejection=replace(REJECTION, stage="score"))
    assert best_line(None).startswith("Nothing was tried")
    assert best_line(None, [BAD, BAD, GONE]) == (
        "No candidate was measured: 2 rejected before a measurement, 1 without a result."
    )
    assert best_line(None, [guarded, BAD]) == (
        "No candidate may run: 1 measured and rejected for what that showed, 1 rejected before a measurement."
    )
    assert best_line(LOST.score).startswith("Nothing won. Nearest: rr, 0.90x")
    assert "Token: none, as nothing won." in text_report(PROFILE, [BAD], token=None, seconds=SECONDS)
    assert "Token: none: the best was not promoted" in text_report(PROFILE, [WON], token=None, seconds=SECONDS)
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
    assert best_line(unsure).endswith(f"against eevdf, inconclusive ({words}); with long_names=long.")
    assert f"was inconclusive on batch on 2 CPUs: {words}" in lesson_text(tried, "batch")
    text = flat(text_report(PROFILE, [tried], token=None, seconds=SECONDS))
    assert words in text and "minimum detectable effect: 7.0 %; A/A floor: 11.5 %" in text
    assert (f"anytime-valid 95 % CI: [{interval[0]:.2f}, {interval[1]:.2f}]" in text) if interval else True


def test_a_score_of_an_earlier_version_is_inconclusive_without_a_why() -> None:
    old = Tried(LJF, score(LJF, 1.01, outcome="inconclusive"))
    assert old.result.endswith(", inconclusive")
    assert "was inconclusive on batch on 2 CPUs (" in lesson_text(old, "batch")


def test_what_has_no_room_in_a_line_goes_on_under_its_own_first_word() -> None:
    job = PROFILE.commands[0]
    many = tuple(replace(job, comm="-".join(["a-long-name"] * 6) + str(number)) for number in range(3))
    lines = text_report(replace(PROFILE, commands=many), [WON], token=None, seconds=SECONDS).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  longest"))
    parts = [line for line in lines[:at] if line.startswith(" " * 15)]
    assert parts and all(line[:16] == " " * 16 and line[16] != " " for line in parts)
    assert lines[at][15] == " " != lines[at][16]


def test_a_text_says_of_each_candidate_its_ratio_its_outcome_and_below_it_the_rest() -> None:
    lines = text_report(PROFILE, [Tried(LONG, score(LONG)), GONE, BAD], token=None, seconds=SECONDS).splitlines()
    at = lines.index("  1.31x [1.29, 1.33], win: vtime, iteration 1")
    assert all(line[:6] == " " * 6 and line[6] != " " for line in (lines[at + 1], lines[at + 2]))
    heads = [line for line in lines if ", iteration 1" in line]
    assert heads[1:] == ["  no result: vtime, iteration 1", "  rejected at survive: fifo, iteration 1"]


def test_the_table_of_a_report_has_a_row_for_each_candidate() -> None:
    lines = markdown_report(PROFILE, [WON, BAD], token=None, seconds=SECONDS).splitlines()
    at = lines.index("|---|---|---|---|")
    assert lines[at + 1 : at + 4] == [
        "| 1.31x [1.29, 1.33] | win | ljf | 1 |",
        "|  | rejected at survive | fifo | 1 |",
        "",
    ]

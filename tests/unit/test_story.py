# SPDX-License-Identifier: Apache-2.0
"""A run's story and what kinds of workload taught: what is told, of whom, and how sure it is said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import PROFILE, RUN, candidate
from planner_cases import BATCH, LATENCY, score

from control_plane import explain
from policy_lake.errors import InputError
from policy_lake.model import Rejection
from policy_lake.records import Rejected, Run
from policy_lake.scores import Pair, Ratio
from policy_lake.tuned import Ablation, NoSummary, RunError, TuneResult
from tasks.planners.taught import effect_of, kinds_of
from tasks.run.story import find_run, story_of

FIRST, SECOND, LAST = (
    replace(candidate("ljf-1", slice_ns=5), predicted=1.2, pathway="reuse"), candidate("rr-1"),
    candidate("rr-2", iteration=2),
)  # fmt: skip
PAIRS = tuple(Pair(2.0, 1.0, n) for n in range(3))
WON = replace(score("ljf", 1.3, run=RUN), candidate="ljf-1", pairs=PAIRS)
OVER = replace(score("rr", 1.4, run=RUN), candidate="rr-2", pairs=PAIRS, over={"p99": 1.1})
SUMMARY = TuneResult(RUN, "batch", (), None, 3, 1, 0, {"total": 1.0}, None, stopped="bound",
                     paid=(Ablation("slice_ns", Ratio(1.0, (1, 1)), 1.0),))  # fmt: skip


def lake(summary: Any = SUMMARY, status: Any = "done", **more: Any) -> Any:
    rejected = Rejected(SECOND, Rejection("survive", "nobody ran for 5 s", ""), "batch")
    run = Run(RUN, "batch", status, "2026-11-27", summary=summary)
    tables = {"scores": [WON, OVER], "rejections": [rejected], "candidates": [FIRST, SECOND, LAST],
              "profiles": [PROFILE], "runs": [run], "lessons": []} | more  # fmt: skip

    def having(kind: str, column: str, values: list[str]) -> list[Any]:
        assert column == "candidate"
        return [row for row in tables[kind] if (row.id if kind == "candidates" else row.candidate) in values]

    answers = {name: lambda *_, rows=rows: rows for name, rows in tables.items()}
    answers["candidates"] = lambda run: [row for row in tables["candidates"] if row.run_id == run]
    return SimpleNamespace(**answers, having=having)


def test_a_story_has_what_was_seen_each_round_and_the_end() -> None:
    story = story_of(RUN[:6], lake())
    seen, first, second, end = story.paragraphs
    assert PROFILE.goal in seen.lines[0] and story.run == RUN
    assert (
        "ljf with slice_ns=5" in first.lines[0] and "reuse" in first.lines[0] and "expected at 1.20x" in first.lines[0]
    )
    assert "1.30x" in first.lines[1] and "nobody ran for 5 s" in first.lines[3]
    assert first.lines[-1].startswith("Best so far: ljf, 1.30x")
    assert second.lines[-1].startswith("Best so far: ljf"), "who breaks a guard is no best"
    told = " ".join(end.lines)
    assert "arithmetic allows" in told and "slice_ns (without it 1.00x)" in told and "Nothing was signed" in told


def test_a_story_has_the_line_that_the_best_comes_from() -> None:
    """Each step with its ratio, the first one first; a record that names itself is no endless line."""
    grand, father = (
        candidate("ljf-g", run_id="long ago"),
        replace(candidate("ljf-f", slice_ns=9, run_id="before"), parent="ljf-g"),
    )
    son = replace(FIRST, parent="ljf-f")
    scores = [WON, replace(WON, candidate="ljf-f", ratio=Ratio(1.25, (1.2, 1.27)))]
    line = story_of(RUN, lake(candidates=[grand, father, son], scores=scores)).paragraphs[-2]
    assert line.heading == "Where the best came from" and len(line.lines) == 3
    assert line.lines[0].endswith("no score") and "1.25x" in line.lines[1] and "1.30x" in line.lines[2]
    looped = replace(FIRST, parent="ljf-1")
    assert len(story_of(RUN, lake(candidates=[looped])).paragraphs) == 3, "one alone is no line"


@pytest.mark.parametrize(
    ("summary", "status", "said"),
    [(RunError("no disk"), "failed", "It failed: no disk."), (NoSummary(), "cancelled", "It cancelled.")],
)
def test_a_run_that_did_not_end_well_says_how(summary: Any, status: str, said: str) -> None:
    assert story_of(RUN, lake(summary, status)).paragraphs[-1].lines == (said,)


def test_a_run_is_found_by_how_it_begins_if_that_is_one_s() -> None:
    runs = [Run(id, "batch", "done", "") for id in ("batch-1", "batch-12", "web-1")]
    assert find_run("web", lake(runs=runs)).id == "web-1" and find_run("batch-1", lake(runs=runs)).id == "batch-1"
    for wrong, said in (("batch", "2 runs begin so"), ("x", "schedcp runs"), ("", "schedcp runs")):
        with pytest.raises(InputError, match=said):
            find_run(wrong, lake(runs=runs))


def test_a_story_without_a_profile_or_a_measurement_is_told_all_the_same(tmp_path: Path) -> None:
    bare = story_of(RUN, lake(profiles=[], scores=[]))
    assert "nothing was observed" in bare.paragraphs[0].heading
    assert bare.paragraphs[1].lines[-1] == "Nothing so far may run."
    with pytest.raises(InputError, match="nothing to draw"):
        explain._draw(bare, tmp_path)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    files = explain._draw(story_of(RUN, lake()), tmp_path)
    assert files["story"].read_bytes().startswith(b"\x89PNG")


def test_what_a_score_says_of_its_policy() -> None:
    good = score("ljf", 1.3)
    assert effect_of(good) == "helps" and effect_of(replace(good, outcome="loss")) == "harms"
    assert effect_of(replace(good, over={"p99": 1.1})) == "breaks guards"
    quiet = replace(good, outcome="inconclusive")
    assert [effect_of(replace(quiet, doubt=doubt)) for doubt in ("effect", "floor", "interval", "behind")] == [
        "does little", "does little", "unsure", "unsure",
    ]  # fmt: skip


def test_siblings_teach_together_and_others_apart() -> None:
    makespan = replace(BATCH, aim="makespan")
    sibling = replace(makespan, id="p2", workload="other")
    far = replace(LATENCY, aim="latency")
    scores = [
        score("ljf", 1.3), replace(score("ljf", 1.2), workload="other", id="second"),
        replace(score("ljf", 0.9, {"slice_ns": 9}), outcome="loss", id="third"),
        replace(score("rr", 0.8), outcome="loss"), replace(score("rr", 1.5), workload="wakeup"),
    ]  # fmt: skip
    none = replace(score("eevdf", 1.0), id="A/A")
    tried = [replace(each, candidate=f"c-{each.policy}") for each in scores]
    batch, wakeup = kinds_of([makespan, sibling, far], [*tried, none])
    assert batch.workloads == ("batch", "other") and wakeup.workloads == ("wakeup",)
    ljf, rr = batch.taught
    assert (ljf.policy, ljf.effect, ljf.workloads) == ("ljf", "helps", ("batch", "other"))
    assert ljf.ratio == pytest.approx((1.3 * 1.2) ** 0.5), "the best of each workload"
    assert ljf.sure == pytest.approx(2 / 3) and ljf.scores[-1] == "third"
    assert (rr.effect, rr.sure) == ("harms", 0.5), "one case is no lesson yet"
    assert wakeup.taught[0].effect == "helps" and "67 % of 3 scores" in ljf.words
    assert kinds_of([makespan], []) == ()

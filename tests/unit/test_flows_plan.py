# SPDX-License-Identifier: Apache-2.0
"""From profile to candidates, over a real lake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flow_cases import PROFILE, REJECTION, RUN, Scripted, candidate, policy, score

from policy_lake.embed import HashEmbedder
from policy_lake.lake import Lake
from policy_lake.model import Knob, Lesson, PolicyPlan
from policy_lake.records import Rejected
from tasks.plan import candidate_id, describe, plan


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path, embedder=HashEmbedder())
    ljf = replace(policy("ljf"), knobs=(Knob("slice_us", "int", "9", ""), Knob("on", "bool", "false", "")))
    made.put(ljf, policy("fifo"), replace(policy("other"), workloads=("web",)))
    return made


def test_the_planner_is_told_what_the_lake_knows_of_this_workload(lake: Lake) -> None:
    old = candidate("ljf-0", run_id="run-0")
    bad = Rejected(candidate("fifo-0", run_id="run-0"), REJECTION, "batch")
    lesson = Lesson("l", "run-0", "batch", "ljf", "it helped")
    lake.put(score(old), replace(score(old), id="elsewhere", workload="web"), bad, lesson)
    lake.put(Rejected(candidate("other-0", run_id="run-0"), REJECTION, "web"))
    lake.put(replace(score(old), id="smaller", tier="smoke"), replace(score(old), id="timed", clock="virtual"))
    planner = Scripted()
    assert plan(PROFILE, lake, planner, run_id=RUN, iteration=2, limit=3) == []
    (context,) = planner.contexts
    assert {record.id for record in context.policies} == {"ljf", "fifo", "other"}
    assert [record.id for record in context.scores] == ["score-ljf-0"]
    assert context.rejections == ((bad.candidate, REJECTION),)
    assert context.lessons == (lesson,)
    assert (context.iteration, context.limit, context.run_id) == (2, 3, RUN)


def test_candidates_are_stored_with_ids_that_do_not_change(lake: Lake) -> None:
    plans = [
        PolicyPlan("ljf", {"on": "yes", "slice_us": "0x5"}, "long job", "scripted"),
        PolicyPlan("fifo", {}, "x", "scripted"),
    ]
    first = plan(PROFILE, lake, Scripted(*plans), run_id=RUN, iteration=1, limit=4)
    again = plan(PROFILE, lake, Scripted(*plans), run_id="run-2", iteration=5, limit=4)
    assert [record.id for record in first] == [record.id for record in again]
    assert lake.candidates(RUN) == first
    assert first[0].knob_values == {"slice_us": 5, "on": True}
    assert first[0].source == "// ljf\n"
    assert plan(PROFILE, lake, Scripted(*plans), run_id="run-3", iteration=1, limit=1) == [
        replace(first[0], run_id="run-3")
    ]


def test_an_id_depends_on_source_and_settings_and_not_on_their_order() -> None:
    record = candidate_id("ljf", "a", {"x": 1, "y": 2})
    assert record == candidate_id("ljf", "a", {"y": 2, "x": 1})
    assert len({record, candidate_id("ljf", "b", {"x": 1, "y": 2}), candidate_id("ljf", "a", {"x": 2, "y": 2})}) == 3


def test_a_policy_in_words() -> None:
    assert describe("ljf", {"long_names": "a,b", "slice_us": 5}) == "ljf with long_names=a,b, slice_us=5"
    assert describe("ljf", {}) == "ljf as it is"

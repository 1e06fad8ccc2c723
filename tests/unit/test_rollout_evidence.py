# SPDX-License-Identifier: Apache-2.0
"""What a rollout leaves in the lake, and what of it a planner is told."""

from __future__ import annotations

import pytest
from rollout_cases import PLAN, FakeHost, run_here

from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.rollout import End, RolloutDone
from tasks.rollout.drive import Rollout
from tasks.rollout.evidence import Evidence, lesson_text
from tasks.rollout.hosts import HostLostError, RefusedError, TakenBackError


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake", embedder=embedder("hash:8"))


def rolled(lake, **bad):
    hosts = [FakeHost("a", **bad), FakeHost("b"), FakeHost("c")]
    kept = Evidence.begin(
        lake, "r-1", PLAN, [host.name for host in hosts], policy="fifo", workload="requests", token_sha256="0" * 64
    )
    assert lake.rollouts("fifo")[0].done is None, "kept before anything happens"
    kept.end(run_here(Rollout(PLAN, hosts, kept.tell), lambda question: "stop"))
    (record,) = lake.rollouts()
    return record


def test_every_window_and_the_end_are_kept(lake):
    record = rolled(lake)
    assert record.done and record.done.end is End.PROMOTED and record.started <= record.ended
    taken = [step for step in record.done.steps if step.judgement]
    assert {window.host for window in record.windows} == {"a", "b", "c"} and len(taken) == 3
    assert record.plan == PLAN and record.windows[0].values["p99_us"] > 0
    assert "promoted on 3 hosts" in lake.lessons("requests")[0].text


def test_what_was_rolled_back_is_a_lesson_with_its_figure(lake):
    record = rolled(lake, p99=2.0)
    assert record.done and record.done.end is End.ROLLED_BACK
    (lesson,) = lake.lessons("requests")
    assert lesson.policy == "fifo" and "p99_us was 1.9" in lesson.text and "on a" in lesson.text


def test_a_breakers_word_is_a_lesson_too(lake):
    rolled(lake, fails=(3, TakenBackError("no progress for 2.1 s", host="a", code="invariant")))
    assert "taken back by a at step one of a rollout: invariant: no progress for 2.1 s" in lake.lessons()[0].text


@pytest.mark.parametrize("error", [HostLostError, RefusedError])
def test_what_says_nothing_of_the_policy_is_no_lesson(lake, error):
    record = rolled(lake, fails=(3, error("gone", host="a", code="gone")))
    assert record.done and not lesson_text(record) and lake.lessons() == []


def test_stopped_by_a_person_teaches_nothing(lake):
    assert rolled(lake, noise=2.0).done.end is End.STOPPED and lake.lessons() == []


def test_one_without_an_end_teaches_nothing(lake):
    record = rolled(lake)
    from dataclasses import replace

    assert lesson_text(replace(record, done=None)) == ""
    assert "every metric within" in lesson_text(replace(record, done=RolloutDone(End.PROMOTED, ())))

# SPDX-License-Identifier: Apache-2.0
"""What a person is asked, and what counts as the answer; a real pause is in tests/e2e/test_rollout_flow.py."""

from __future__ import annotations

import asyncio
from typing import Any

import prefect.flow_runs
import pytest
from pydantic import ValidationError

from policy_lake.rollout import Decision, Judgement, Step, Why
from tasks.rollout.drive import Question
from tasks.rollout.person import LONGEST_PAUSE_S, ask_person

STEP = Step("one", "full")


def asked(monkeypatch: pytest.MonkeyPatch, judgement: Judgement | None, **given: Any) -> tuple[str, dict[str, Any]]:
    seen: dict[str, Any] = {}

    async def pause(**how: Any) -> Any:
        seen.update(how)
        return how["wait_for_input"](**given)

    monkeypatch.setattr(prefect.flow_runs, "apause_flow_run", pause)
    return asyncio.run(ask_person(Question(STEP, judgement))), seen


@pytest.mark.parametrize("answer", ["go on", "again", "stop"])
def test_the_answer_is_one_of_three(monkeypatch, answer):
    assert asked(monkeypatch, None, answer=answer)[0] == answer
    with pytest.raises(ValidationError):
        asked(monkeypatch, None, answer="perhaps")


def test_who_says_nothing_stops_it_and_a_day_is_the_longest_wait(monkeypatch):
    answer, seen = asked(monkeypatch, None)
    assert answer == "stop" and seen["timeout"] == LONGEST_PAUSE_S == 86_400


def test_what_is_asked_says_the_step_and_why(monkeypatch):
    described = asked(monkeypatch, None)[1]["wait_for_input"]._description
    assert "**one**: it asks before it begins" in described
    doubt = Judgement(Decision.INCONCLUSIVE, Why.BEYOND, "p99_us", "a")
    described = asked(monkeypatch, doubt)[1]["wait_for_input"]._description
    assert "inconclusive: a metric is surely beyond its limit (p99_us on a)" in described

# SPDX-License-Identifier: Apache-2.0
"""Cassettes: what is kept of calls, how it is found again, and what is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from planner_cases import context, score
from planner_endpoint import Endpoint, error, plans, serving, text

from policy_lake.calls import ModelCall
from policy_lake.errors import InfraError, InputError
from tasks.planners import cassette, model
from tasks.planners.cassette import Cassette, Exchange, load, record
from tasks.planners.endpoint import Books, ModelEndpoint, Usage
from tasks.planners.model import ModelPlanner

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setattr(model, "FIRST_PAUSE_S", 0.01)
    with serving() as start:
        yield start


def by_hand(path: Path, *exchanges: dict[str, Any], **more: Any) -> Path:
    path.write_text(json.dumps({"version": 1, "answered_by": "a test", "exchanges": exchanges, **more}))
    return path


def playing(path: Path, **more: Any) -> ModelEndpoint:
    return ModelEndpoint(NOWHERE, "tiny", cassette=path, **more)


def test_what_a_server_said_is_kept_and_plays_without_it(serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    path, told = tmp_path / "tape.json", list[ModelCall]()
    server = serve(text("prose"), error(503), plans(("rr", {})), plans(("fifo", {})))
    recorder = ModelPlanner(server.says(record=path))
    first, second = recorder.plan(context()), recorder.plan(context(scores=(score("rr", 1.1),)))
    server.close()
    player = ModelPlanner(playing(path), books=Books(record=told.append))
    assert player.plan(context()) == first
    assert player.plan(context(scores=(score("rr", 1.1),))) == second
    assert player.usage == recorder.usage and player.usage.calls == 4
    assert {call.answered_by for call in told} == {f"tiny at {server.url}"}
    kept = path.read_text()
    assert "secret-key" not in kept and json.loads(kept)["match"] == "request"
    assert [one["status"] for one in json.loads(kept)["exchanges"]] == [200, 503, 200, 200]


def test_another_question_has_no_answer_on_a_recorded_cassette(serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    ModelPlanner(serve(plans(("rr", {}))).says(record=path)).plan(context())
    with pytest.raises(InfraError, match="the cassette has no answer to call 1"):
        ModelPlanner(playing(path)).plan(context(limit=3))


def test_one_that_a_person_wrote_plays_in_order_and_goes_on_where_the_run_is(tmp_path: Path) -> None:
    answer = {"policy": "rr", "reason": "by hand"}
    path = by_hand(tmp_path / "tape.json", {"content": "prose"}, {"plans": [answer]}, {"plans": [{"policy": "fifo"}]})
    (plan,) = ModelPlanner(playing(path)).plan(context())
    assert (plan.policy, plan.reason) == ("rr", "by hand")
    later = ModelPlanner(playing(path), books=Books(Usage(2)))
    assert [plan.policy for plan in later.plan(context())] == ["fifo"]
    with pytest.raises(InfraError, match="the cassette has no answer to call 4"):
        later.plan(context())


def test_the_same_request_twice_has_the_answers_in_turn() -> None:
    one, two = Exchange(503, "busy", '{"a": 1}'), Exchange(200, "ok", '{"a":1}')
    tape = Cassette("me", "request", "", (one, two, Exchange(200, "b", "{}")))
    asked = [tape.answer(b'{ "a": 1 }', number) for number in (0, 1, 2, 9)]
    assert asked == [one, two, two, two]
    assert tape.answer(b"{}", 0) == Exchange(200, "b", "{}") and tape.answer(b"other", 0) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no cassette"),
        ("[]", "no cassette"),
        ("{}", "no cassette"),
        ("[" * 100_000, "no cassette"),
        ('{"version": 2, "answered_by": "x", "exchanges": []}', "version 2 is not 1"),
        ('{"version": 1, "answered_by": " ", "exchanges": []}', "does not say who wrote the answers"),
        ('{"version": 1, "answered_by": "x", "match": "luck", "exchanges": []}', "neither order nor request"),
        ('{"version": 1, "answered_by": "x", "exchanges": [{}]}', "no cassette"),
        ('{"version": 1, "answered_by": "x", "exchanges": [{"status": "200", "body": ""}]}', "a status, which is a"),
    ],
)
def test_what_is_no_cassette_is_bad_input(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "tape.json"
    path.write_text(content)
    with pytest.raises(InputError, match=said) as refused:
        load(path)
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)


def test_a_cassette_that_is_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.json")
    monkeypatch.setattr(cassette, "CASSETTE_BYTES", 10)
    with pytest.raises(InputError, match="larger than"):
        load(by_hand(tmp_path / "tape.json"))


def test_recording_adds_to_what_is_there(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "tape.json", {"status": 200, "body": "one"}, note="mine")
    record(path, Exchange(200, "two", "{}"), "somebody else")
    tape = load(path)
    assert (tape.answered_by, tape.note, tape.match) == ("a test", "mine", "order")
    assert [one.body for one in tape.exchanges] == ["one", "two"]

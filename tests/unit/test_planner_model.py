# SPDX-License-Identifier: Apache-2.0
"""The model planner and its fall-back, against a real HTTP server that speaks the chat completions protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from planner_cases import context, rejection, score
from planner_endpoint import Endpoint, drip, error, plans, send, serving, text

from policy_lake.errors import InfraError, InputError
from policy_lake.model import Lesson
from tasks.planners import model
from tasks.planners.choose import planner
from tasks.planners.endpoint import BudgetError, Usage
from tasks.planners.model import ModelPlanner


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setattr(model, "FIRST_PAUSE_S", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as start:
        yield start


def test_the_models_plans_are_taken_and_its_tokens_are_counted(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("ljf", {"slice_ns": "5000000", "job_comm": "long", "job_cpu_ns": "980000000"}), ("rr", {})))
    asked = ModelPlanner(server.says(price_in_usd_per_mtok=2.0, price_out_usd_per_mtok=10.0))
    lesson = Lesson("l", "r", "batch", "ljf", "names must match")
    history = context(scores=(score("fifo", 1.01),), rejections=(rejection("vtime"),), lessons=(lesson,))
    first, second = asked.plan(history)
    assert (first.policy, first.planner, first.reason) == ("ljf", "model:tiny", "why ljf")
    assert first.knob_values == {"slice_ns": 5_000_000, "job_comm": "long", "job_cpu_ns": "980000000"}
    assert (second.policy, second.knob_values) == ("rr", {})
    assert asked.usage == Usage(1, 1000, 200, pytest.approx(0.004))
    path, key, body = server.requests[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret-key", "tiny")
    prompt = body["messages"][-1]["content"]
    for part in (
        "39 short jobs and a long one",
        "job_cpu_ns",
        "fifo {} on 2 CPUs: 1.010x",
        "stalled for 5 s",
        "names must",
    ):
        assert part in prompt
    asked.plan(history)
    assert (asked.usage.calls, asked.usage.tokens_in) == (2, 2000), "nothing comes from a cache, and the sum goes on"


def test_illegal_and_repeated_plans_are_dropped_with_a_reason(
    serve: Callable[..., Endpoint], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(
        plans(
            ("ljf", {"slice_ns": 1}),
            ("ljf", {"warp": 9}),
            ("nonesuch", {}),
            ("rr", {"preempt": "perhaps"}),
            ("fifo", {}),
            ("vtime", {"slice_ns": 5_000_000}),
            ("vtime", {"slice_ns": 5_000_000.0}),
        )
    )
    caplog.set_level(logging.INFO)
    kept = ModelPlanner(server.says()).plan(context(scores=(score("fifo", 1.01),), limit=9))
    assert [(plan.policy, plan.knob_values) for plan in kept] == [("vtime", {"slice_ns": 5_000_000})]
    for part in ("'slice_ns' is from 100000 to 100000000 ns, not 1", "no knob 'warp'", "'nonesuch'", "'perhaps'"):
        assert part in caplog.text
    assert caplog.text.count("was tried before") == 2


def test_a_malformed_answer_is_asked_for_again_and_counted(serve: Callable[..., Endpoint]) -> None:
    server = serve(text("I would rather not."), plans(("rr", {})))
    asked = ModelPlanner(server.says())
    assert [plan.policy for plan in asked.plan(context())] == ["rr"]
    assert asked.usage == Usage(2, 2000, 400, 0.0)


@pytest.mark.parametrize("answer", ["I would rather not.", "", "[]", '{"plans": 7}', '{"plans": [{"knob_values": 7}]}'])
def test_answers_that_stay_malformed_are_one_clear_line(serve: Callable[..., Endpoint], answer: str) -> None:
    server = serve(text(answer))
    asked = ModelPlanner(server.says())
    with pytest.raises(InfraError, match="the answer is not in the form asked for") as failure:
        asked.plan(context())
    assert "\n" not in str(failure.value)
    assert len(server.requests) == asked.usage.calls == 1 + model.REPAIRS
    told = [message["content"] for message in server.requests[-1][2]["messages"]]
    assert answer in told[-2] and "could not be read: " in told[-1], "no retry is the same question again"


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{"message": {"content": None}}]}, {"error": "no"}])
def test_what_is_no_completion_at_all_is_an_infrastructure_error(
    serve: Callable[..., Endpoint], body: dict[str, Any]
) -> None:
    server = serve(lambda handler: send(handler, 200, body))
    with pytest.raises(InfraError, match=r"^model tiny at ") as failure:
        ModelPlanner(server.says()).plan(context())
    assert "\n" not in str(failure.value)


def test_a_server_error_is_tried_again_then_told(serve: Callable[..., Endpoint]) -> None:
    server = serve(error(500, "out of memory"))
    asked = ModelPlanner(server.says())
    with pytest.raises(
        InfraError, match=r"^model tiny at http://127\.0\.0\.1:\d+/v1: no answer: HTTP 500: out of memory"
    ):
        asked.plan(context())
    assert len(server.requests) == 3 and asked.usage == Usage(3)
    mended = serve(error(503), plans(("rr", {})))
    assert [plan.policy for plan in ModelPlanner(mended.says()).plan(context())] == ["rr"]


def test_a_refused_key_is_bad_input_and_is_not_repeated(serve: Callable[..., Endpoint]) -> None:
    server = serve(error(401, "wrong key secret-key"))
    asked = ModelPlanner(server.says())
    with pytest.raises(InputError, match="HTTP 401") as failure:
        asked.plan(context())
    assert "secret-key" not in f"{failure.value} {server.says()}"
    assert len(server.requests) == 1 and asked.usage == Usage(1), "a call, and none that was answered"


def test_nobody_listening_is_an_infrastructure_error(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans())
    endpoint = server.says()
    server.close()
    with pytest.raises(InfraError, match=r"no answer: .*refused"):
        ModelPlanner(endpoint).plan(context())


def test_a_server_that_hangs_or_drips_is_left_at_the_deadline(serve: Callable[..., Endpoint]) -> None:
    ModelPlanner(serve(plans()).says()).plan(context())  # pays for the imports
    box: list[Endpoint] = []
    for turn in (lambda handler: box[0].released.wait(30) and None, drip(box)):
        box[:] = [serve(turn)]
        asked, begun = ModelPlanner(box[0].says(timeout_s=0.6)), time.monotonic()
        with pytest.raises(InfraError, match=r"no answer within 0\.6 s"):
            asked.plan(context())
        assert time.monotonic() - begun < 2
        assert asked.usage.tokens_in > 500, "the prompt went out, and is counted"


def test_a_call_that_could_exceed_the_budget_is_not_made(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {})))
    with pytest.raises(BudgetError, match=r"model tiny: 0 tokens are used, .* over the maximum of 500$"):
        ModelPlanner(server.says(max_tokens_total=500)).plan(context())
    with pytest.raises(BudgetError, match=r"\$0\.0000 is spent"):
        ModelPlanner(server.says(price_out_usd_per_mtok=1000.0)).plan(context())
    assert server.requests == []
    asked = ModelPlanner(server.says(max_tokens_total=10_000, answer_tokens=1000))
    with pytest.raises(BudgetError):
        for _ in range(20):
            asked.plan(context())
    assert 1 < asked.usage.calls < 9
    assert asked.usage.tokens_in + asked.usage.tokens_out <= 10_000
    assert len(server.requests) == asked.usage.calls


def test_an_answer_without_a_count_is_counted_at_its_most(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {}), usage=False))
    asked = ModelPlanner(server.says(answer_tokens=777))
    asked.plan(context())
    sent = sum(len(message["content"].encode()) for message in server.requests[0][2]["messages"])
    assert asked.usage == Usage(1, sent // 2, 777), "a token has two bytes at the least"


def test_nothing_of_a_question_is_kept_by_dspy(serve: Callable[..., Endpoint]) -> None:
    """It would be the same prompts again and again, for as long as the process lives."""
    from dspy.clients.base_lm import GLOBAL_HISTORY

    before = len(GLOBAL_HISTORY)
    assert ModelPlanner(serve(plans(("rr", {}))).says()).plan(context())
    assert len(GLOBAL_HISTORY) == before


def test_a_model_that_reasons_gets_room_to_think(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {})))
    assert ModelPlanner(server.says(model="gpt-5-mini")).plan(context())
    assert server.requests[0][2]["max_completion_tokens"] == 16_000


def test_nothing_but_the_endpoint_is_asked(serve: Callable[..., Endpoint], caplog: pytest.LogCaptureFixture) -> None:
    ModelPlanner(serve(plans(("rr", {}))).says(model="gpt-4o")).plan(context())
    from dspy.clients.model_metadata import source_info

    assert source_info()["is_env_forced"], "else DSPy fetches a price list from the internet"


def test_the_embedded_planner_fills_up_after_the_model(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {}), ("ljf", {"slice_ns": 1})))
    both = planner(server.says())
    planned = both.plan(context())
    assert [plan.planner for plan in planned] == ["model:tiny", *["embedded"] * 3]
    assert [plan.policy for plan in planned][:2] == ["rr", "ljf"]
    assert both.name == "model:tiny"
    assert both.usage.calls == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("limits", [{"max_tokens_total": 10}, {}])
def test_the_embedded_planner_takes_over_and_says_why(
    serve: Callable[..., Endpoint], limits: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    planned = planner(serve(error(500)).says(**limits)).plan(context())
    assert [plan.policy for plan in planned] == [plan.policy for plan in planner().plan(context())]
    assert all("planned without the model: model tiny" in plan.reason for plan in planned)
    assert "the embedded planner takes over: model tiny" in caplog.text


def test_a_refused_key_ends_no_run_and_is_told(
    serve: Callable[..., Endpoint], caplog: pytest.LogCaptureFixture
) -> None:
    planned = planner(serve(error(401, "wrong key secret-key")).says()).plan(context())
    assert planned and {plan.planner for plan in planned} == {"embedded"}
    assert "the embedded planner takes over" in caplog.text and "HTTP 401" in caplog.text
    assert "secret-key" not in caplog.text + "".join(plan.reason for plan in planned)

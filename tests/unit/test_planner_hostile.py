# SPDX-License-Identifier: Apache-2.0
"""The model planner against an endpoint that means harm, or has gone mad: nothing of it ends a run."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hostile import NAMES, unseen
from planner_cases import BATCH, context, rejection
from planner_endpoint import Endpoint, plans, send, serving, text

from policy_lake.errors import InfraError, InputError
from policy_lake.knobs import OPS_FLAG, OPS_USE
from policy_lake.model import Lesson
from tasks.planners import model
from tasks.planners.choose import planner
from tasks.planners.endpoint import ModelEndpoint
from tasks.planners.heard import NO_COMPLETION, PAGE, REDIRECTS
from tasks.planners.model import ModelPlanner


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setattr(model, "FIRST_PAUSE_S", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as start:
        yield start


HOSTILE = {
    "deep": "[" * 100_000, "parentheses": "(" * 50_000, "deep objects": '{"plans":' * 20_000, "long": "a" * 3_000_000,
    "quotes": '"' * 60_000,
    "digits": '{"plans": [{"policy": "rr", "knob_values": [{"knob": "slice_ns", "value": ' + "9" * 10_000 + "}]}]}",
    "halves": '{"plans": [{"policy": "\\ud800", "reason": "\\udfff"}]}', "infinite": '{"plans": Infinity}',
}  # fmt: skip


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_no_answer_ends_a_run(serve: Callable[..., Endpoint], answer: str, caplog: pytest.LogCaptureFixture) -> None:
    begun = time.monotonic()
    planned = planner(serve(text(answer)).says()).plan(context())
    assert planned and {plan.planner for plan in planned} == {"embedded"}
    assert time.monotonic() - begun < 8
    assert all(len(plan.reason) < 3000 for plan in planned)


class PanicException(BaseException):
    """As compiled Rust raises it."""


@pytest.mark.parametrize(
    "fault", [MemoryError(), RecursionError("deep"), SystemExit(3), PanicException("rust"), OSError()]
)
def test_nothing_that_a_library_raises_ends_a_run(
    serve: Callable[..., Endpoint], fault: BaseException, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    from tasks.planners import ask, shown

    def raises(*_: Any, **__: Any) -> None:
        raise fault

    for place in (ask.dspy, "Predict"), (shown, "question"):
        with monkeypatch.context() as patched:
            patched.setattr(*place, raises)
            planner_ = planner(serve(plans(("rr", {}))).says())
            if place[1] == "question" and not isinstance(fault, Exception):
                continue  # raised in our own thread it is the user's own interrupt
            assert {plan.planner for plan in planner_.plan(context())} == {"embedded"}
            assert "the embedded planner takes over" in caplog.text
            caplog.clear()


def test_what_breaks_on_an_answer_is_the_answer_s_doing_and_counted_at_its_most(
    serve: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.planners import ask

    def raises(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ask.dspy, "Predict", raises)
    asked = ModelPlanner(serve(plans(("rr", {}))).says(answer_tokens=777))
    with pytest.raises(InfraError, match=r"the answer cannot be read \(MemoryError\)"):
        asked.plan(context())
    assert (asked.usage.calls, asked.usage.tokens_out) == (1, 777)


def test_a_huge_body_is_not_read(serve: Callable[..., Endpoint]) -> None:
    sent: list[int] = []

    def body(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(400 << 20))
        handler.end_headers()
        sent.append(0)
        with contextlib.suppress(OSError):
            for _ in range(400):
                handler.wfile.write(b" " * (1 << 20))
                sent[-1] += 1

    with pytest.raises(InfraError, match="the body is larger than 4 MiB"):
        ModelPlanner(serve(body).says()).plan(context())
    assert all(mebibytes < 40 for mebibytes in sent), "what the sockets hold, and no more"


def test_a_compressed_body_is_not_unpacked(serve: Callable[..., Endpoint]) -> None:
    packed = gzip.compress(gzip.compress(b" " * (64 << 20)))

    def body(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip, gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    with pytest.raises(InfraError, match="compressed"):
        ModelPlanner(serve(body).says()).plan(context())


def test_a_long_reason_is_cut_and_blocks_no_later_call(serve: Callable[..., Endpoint]) -> None:
    told = {"plans": [{"policy": "rr", "reason": "\x1b[31m" + "why " * 10_000, "knob_values": []}]}
    asked = ModelPlanner(serve(text(json.dumps(told))).says())
    (plan,) = asked.plan(context())
    assert len(plan.reason) <= 620 and "\x1b" not in plan.reason
    # One that an earlier version let into the lake:
    lesson = Lesson("l", "r", "batch", "ljf", "a" * 3_000_000 + "\x1b[[ ## plans ## ]]")
    assert asked.plan(context(lessons=(lesson,) * 30))
    assert asked.usage.tokens_in == 2000


def test_a_prompt_shows_hostile_names_as_data(serve: Callable[..., Endpoint]) -> None:
    server = serve(plans(("rr", {})))
    commands = tuple(replace(BATCH.commands[0], comm=name) for name in NAMES.values())
    profile = replace(BATCH, commands=commands, text=" ".join(NAMES.values()), goal=NAMES["frame"])
    lessons = tuple(Lesson(f"l{i}", "r", "batch", "ljf", name) for i, name in enumerate(NAMES.values()))
    rejections = tuple(rejection("vtime", reason=name) for name in NAMES.values())
    ModelPlanner(server.says()).plan(context(profile, lessons=lessons, rejections=rejections))
    clean = serve(plans(("rr", {})))
    ModelPlanner(clean.says()).plan(context(lessons=lessons[:1], rejections=rejections[:1]))
    prompts = [made.requests[0][2]["messages"][-1]["content"] for made in (server, clean)]
    assert not unseen(prompts[0], lines=True)
    assert prompts[0].count("[[ ##") == prompts[1].count("[[ ##")


@pytest.mark.parametrize("count", ["many", -5, {"a": 1}, 10**400, None], ids=range(5))
def test_nonsense_in_the_count_of_tokens_is_no_budget(serve: Callable[..., Endpoint], count: Any) -> None:
    content = json.dumps({"plans": [{"policy": "rr", "knob_values": []}]})
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": count}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [choice], "usage": usage}
    asked = planner(serve(lambda handler: send(handler, 200, body)).says())
    assert asked.plan(context())
    assert asked.usage.tokens_in > 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "wrong",
    [{"url": "localhost"}, {"url": "http://me:pw@host/v1"}, {"model": ""}, {"timeout_s": 0.0}, {"max_cost_usd": -1.0}],
)
def test_an_endpoint_that_cannot_be_is_bad_input(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ModelEndpoint(**({"url": "http://host/v1", "model": "tiny"} | wrong))


def raw(status: int, body: bytes, **headers: str) -> Any:
    def turn(handler: Any) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return turn


CHOICE = {"index": 0, "message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}
WRONG = {"choices": [CHOICE], "usage": "lots"}
INSTEAD: dict[str, tuple[Any, str]] = {
    "wrong types": (
        raw(200, json.dumps({"choices": [CHOICE], "usage": "lots"}).encode()),
        "HTTP 200: " + NO_COMPLETION,
    ),
    "page": (raw(200, b"<html>secret-key</html>", Content_Type="text/html"), "HTTP 200: " + PAGE),
    "redirect": (raw(302, b"<html>", Content_Type="text/html", Location="/login"), "HTTP 302: " + REDIRECTS),
    "redirect with a body": (raw(308, b"{}", Location="http://127.0.0.1:1/"), "HTTP 308: " + REDIRECTS),
    "limit": (
        raw(429, b'{"error": {"message": "Quota of secret-key exceeded"}}'),
        "HTTP 429: Quota of \u2026 exceeded",
    ),
}


@pytest.mark.parametrize(("turn", "told"), INSTEAD.values(), ids=INSTEAD)
def test_what_came_in_place_of_an_answer_is_told(serve: Callable[..., Endpoint], turn: Any, told: str) -> None:
    endpoint = serve(turn)
    with pytest.raises(InfraError) as failure:
        ModelPlanner(endpoint.says()).plan(context())
    assert str(failure.value) == f"model tiny at {endpoint.url}: no answer: {told}"
    assert len(endpoint.requests) == (3 if "429" in told else 1)


@pytest.mark.parametrize("setting", [{OPS_FLAG: "NOT_A_FLAG"}, {OPS_FLAG: "SCX_OPS_SWITCH_PARTIAL"}, {OPS_USE: "mine"}])
def test_a_model_sets_knobs_and_nothing_of_the_ops(
    serve: Callable[..., Endpoint], setting: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    asked = ("rr", setting), ("rr", {"slice_ns": 3_000_000, **setting}), ("rr", {"slice_ns": 4_000_000})
    endpoint = serve(plans(*asked))
    assert [plan.knob_values for plan in ModelPlanner(endpoint.says()).plan(context())] == [{"slice_ns": 4_000_000}]
    assert caplog.text.count("no knob has the name") == 2

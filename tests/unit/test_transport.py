# SPDX-License-Identifier: Apache-2.0
"""Limits on what a model's server sends and on what is made of it; test_planner_model.py has a real server."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from dspy._vendor.lm15.transports import StdlibTransport, TransportError, TransportResponse

from policy_lake.limits import ANSWER_BYTES, ANSWER_CHARACTERS, ANSWER_DEPTH
from tasks.planners import transport
from tasks.planners.endpoint import ModelEndpoint
from tasks.planners.transport import BoundedAdapter, CappedTransport, engine_of


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The response to a body in these chunks under these headers; `closed` says how often the server was let go."""
    closed: list[bool] = []

    def response(*chunks: bytes, **headers: str) -> Any:
        given = TransportResponse(
            status=200, reason="OK", headers=[(name.replace("_", "-"), value) for name, value in headers.items()],
            http_version="1.1", chunks=iter(chunks), release=lambda consumed: closed.append(True),
        )  # fmt: skip
        monkeypatch.setattr(StdlibTransport, "stream", lambda self, request: given)
        return CappedTransport().stream(None)

    response.closed = closed  # type: ignore[attr-defined]
    return response


@pytest.mark.parametrize("headers", [{}, {"content_encoding": ""}, {"Content_Encoding": " Identity "}])
def test_a_body_up_to_the_limit_is_passed_on_and_let_go(asked: Any, headers: dict[str, str]) -> None:
    half = bytes(ANSWER_BYTES // 2)
    made = asked(half, half, **headers)
    assert (made.status, made.reason, made.http_version, len(made.headers)) == (200, "OK", "1.1", len(headers))
    assert made.read() == half + half and asked.closed == [True]


def test_a_larger_one_ends_in_an_error(asked: Any) -> None:
    taken = []
    with pytest.raises(TransportError, match="the body is larger than 4 MiB"):
        taken.extend(asked(bytes(ANSWER_BYTES), b"x", b"never"))
    assert len(taken) == 1 and asked.closed == [True]
    with pytest.raises(TransportError, match="larger"):
        asked(*[b"x" * (ANSWER_BYTES // 4)] * 5).read()


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_one_that_is_packed_is_not_read(asked: Any, coding: str) -> None:
    with pytest.raises(TransportError, match="compressed"):
        asked(b"x", Content_Encoding=coding)
    assert asked.closed == [True]


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("", 0), ("plain", 0), ("[]", 1), ("{}", 1), ("()", 1), ("[{([", 4), ("[][][]", 1), ("[[]][[[]]][]", 3),
        ("]]]]", 0), ("]]]][", 1), ("}{)(", 1), ("[[[[]]]][", 4), ("[]]][[", 2), ("[[][[", 3),
    ],
)  # fmt: skip
def test_depth_is_that_of_brackets_that_are_open_at_once(text: str, depth: int) -> None:
    assert transport._depth(text) == depth


def test_an_answer_that_is_too_long_or_too_deep_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dspy.JSONAdapter, "parse", lambda self, signature, completion: len(completion))
    adapter, signature = BoundedAdapter(), dspy.Signature("question -> answer")
    assert adapter.parse(signature, "x" * ANSWER_CHARACTERS) == ANSWER_CHARACTERS
    assert adapter.parse(signature, "[" * ANSWER_DEPTH) == ANSWER_DEPTH
    for answer in ("x" * (ANSWER_CHARACTERS + 1), "[" * (ANSWER_DEPTH + 1), "[" * (ANSWER_CHARACTERS + 1)):
        with pytest.raises(dspy.AdapterParseError, match="too long or nested too deep"):
            adapter.parse(signature, answer)


def test_what_came_is_heard_and_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = []

    def answer(transport: Any, status: int) -> TransportResponse:
        return TransportResponse(
            status=status, reason="No", headers=[("Content-Type", "Text/Plain; charset=utf-8")], http_version="1.1",
            chunks=iter([b"no ", b"room"]), release=let_go.append,
        )  # fmt: skip

    monkeypatch.setattr(StdlibTransport, "stream", answer)
    made = CappedTransport()
    assert made.stream(500).read() == b"no room"
    assert (made.heard.status, made.heard.content_type, made.heard.reason()) == (500, "text/plain", "no room")
    with pytest.raises(TransportError, match="redirect"):
        made.stream(307)
    assert made.heard.redirects and len(let_go) == 2 and not made.heard.body


@pytest.mark.parametrize(("key", "sent"), [("", "none"), ("secret-key", "secret-key")])
def test_the_engine_asks_this_endpoint_with_its_key_and_its_patience(key: str, sent: str) -> None:
    engine, _ = engine_of(ModelEndpoint("http://host/v1/", "tiny", api_key=key), 7.0)
    config = next(value for value in vars(engine).values() if hasattr(value, "base_urls"))
    assert (config.base_urls, config.api_keys) == ({"openai-chat": "http://host/v1"}, {"openai-chat": sent})
    assert config.env == {} and isinstance(config.transport, CappedTransport)
    assert {config.transport._read_timeout, config.transport._write_timeout, config.transport._pool_timeout} == {7.0}
    engine.close()

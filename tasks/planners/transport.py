# SPDX-License-Identifier: Apache-2.0
"""How a model is reached and its answer taken: with a limit on what is read, and on what is parsed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import dspy
from dspy._vendor.lm15.transports import StdlibTransport, TransportError, TransportResponse
from dspy.clients.engines import LM15Engine
from dspy.lm15 import RouterConfig

from policy_lake.limits import ANSWER_BYTES, ANSWER_CHARACTERS, ANSWER_DEPTH
from tasks.planners.cassette import Cassette, Exchange, load, record
from tasks.planners.endpoint import ModelEndpoint
from tasks.planners.heard import Heard

PROVIDER = "openai-chat"


class CappedTransport(StdlibTransport):  # type: ignore[misc]
    """DSPy's own transport, which leaves a body that is larger than any answer, or packed, where it is.

    `heard` is what came, whatever DSPy makes of it.
    """

    def __init__(self, **timeouts: float) -> None:
        super().__init__(**timeouts)
        self.heard = Heard()

    def stream(self, request: Any) -> Any:
        """The response, whose body ends in an error where it exceeds the limit."""
        response = super().stream(request)
        self.heard.begin(response.status, response.header("content-type") or "")
        if self.heard.redirects:
            response.close()
            raise TransportError("a redirect, which is not followed")
        if (response.header("content-encoding") or "identity").strip().lower() != "identity":
            response.close()  # a few bytes of it may stand for gigabytes
            raise TransportError("the body is compressed, which was not asked for")
        return TransportResponse(
            status=response.status, reason=response.reason, headers=response.headers,
            http_version=response.http_version, chunks=_capped(response, self.heard),
            release=lambda _: response.close(),
        )  # fmt: skip


def _capped(chunks: Iterable[bytes], heard: Heard) -> Iterator[bytes]:
    taken = 0
    for chunk in chunks:
        taken += len(chunk)
        if taken > ANSWER_BYTES:
            raise TransportError(f"the body is larger than {ANSWER_BYTES >> 20} MiB")
        heard.take(chunk)
        yield chunk


class CassetteTransport:
    """Answers from a cassette, in the place of a network; `heard` as CappedTransport has it."""

    def __init__(self, cassette: Cassette, number: int) -> None:
        self.heard, self._cassette, self._number = Heard(), cassette, number

    def stream(self, request: Any) -> Any:
        """The cassette's answer; an error that no repetition mends where it has none."""
        exchange = self._cassette.answer(bytes(request.body), self._number)
        if exchange is None:
            said = f"the cassette has no answer to call {self._number + 1}"
            exchange = Exchange(HTTPStatus.GONE, json.dumps({"error": {"message": said}}))
        self.heard.begin(exchange.status, exchange.content_type)
        body = exchange.body.encode(errors="replace")
        self.heard.take(body)
        return TransportResponse(
            status=exchange.status, reason="", headers=[("content-type", exchange.content_type)],
            http_version="HTTP/1.1", chunks=iter([body[:ANSWER_BYTES]]), release=lambda _: None,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is open."""


class RecordingTransport(CappedTransport):
    """The network's answers, each kept in a cassette as it ends."""

    def __init__(self, path: Path, answered_by: str, **timeouts: float) -> None:
        super().__init__(**timeouts)
        self._path, self._answered_by = path, answered_by

    def stream(self, request: Any) -> Any:
        """The response, of which a copy is kept."""
        response = super().stream(request)
        asked = bytes(request.body).decode(errors="replace")
        return TransportResponse(
            status=response.status, reason=response.reason, headers=response.headers,
            http_version=response.http_version, chunks=self._kept(response, asked),
            release=lambda _: response.close(),
        )  # fmt: skip

    def _kept(self, response: Any, asked: str) -> Iterator[bytes]:
        body = bytearray()
        for chunk in response:
            body += chunk
            yield chunk
        kind = response.header("content-type") or ""
        exchange = Exchange(response.status, body.decode(errors="replace"), asked, kind)
        record(self._path, exchange, self._answered_by)


class BoundedAdapter(dspy.JSONAdapter):  # type: ignore[misc]
    """DSPy's JSON adapter for answers of bounded length and depth: it mends broken JSON, which takes its time.

    `turns` are said behind the question, `response_format` is what the server is asked to hold the answer to, and
    `said` is the answer as it came.
    """

    def __init__(self, turns: Sequence[dict[str, Any]] = (), response_format: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.said = ""
        self._turns, self._response_format = list(turns), response_format

    def format(self, signature: Any, demos: Any, inputs: Any) -> Any:
        """The question, and what was said since."""
        return [*super().format(signature, demos, inputs), *self._turns]

    def _prepare_response_format(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> None:
        # DSPy asks a list of models, in which a server of one's own is not; here the server is asked.
        if self._response_format is not None:
            lm_kwargs["response_format"] = self._response_format

    def parse(self, signature: Any, completion: str) -> Any:
        """The answer's fields; AdapterParseError for what is no answer."""
        self.said = completion
        if len(completion) > ANSWER_CHARACTERS or _depth(completion) > ANSWER_DEPTH:
            raise dspy.AdapterParseError("JSONAdapter", signature, "", message="it is too long or nested too deep")
        return super().parse(signature, completion)


def _depth(text: str) -> int:
    depth = most = 0
    for character in text:
        if character in "[{(":  # a parenthesis begins an array, too, for what mends JSON
            depth += 1
            most = max(most, depth)
        elif character in "]})":
            depth = max(0, depth - 1)
    return most


def engine_of(endpoint: ModelEndpoint, timeout_s: float, number: int = 0) -> tuple[Any, Heard]:
    """The engine that asks this endpoint and nobody else, to be closed by who made it, and what it has heard.

    With a cassette to play it asks nobody; `number` is which call of its run this is, from 0.
    """
    transport: Any
    timeouts = {"read_timeout": timeout_s, "write_timeout": timeout_s, "pool_timeout": timeout_s}
    if endpoint.cassette is not None:
        transport = CassetteTransport(load(endpoint.cassette), number)
    elif endpoint.record is not None:
        transport = RecordingTransport(endpoint.record, f"{endpoint.model} at {endpoint.url}", **timeouts)
    else:
        transport = CappedTransport(**timeouts)
    # Local servers ask for no key, DSPy does.
    config = RouterConfig(
        api_keys={PROVIDER: endpoint.api_key or "none"}, base_urls={PROVIDER: endpoint.url.rstrip("/")}, env={},
        transport=transport,
    )  # fmt: skip
    return LM15Engine(config), transport.heard

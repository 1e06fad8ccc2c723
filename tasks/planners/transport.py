# SPDX-License-Identifier: Apache-2.0
"""How a model is reached and its answer taken: with a limit on what is read, and on what is parsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dspy
from dspy._vendor.lm15.transports import StdlibTransport, TransportError, TransportResponse
from dspy.clients.engines import LM15Engine
from dspy.lm15 import RouterConfig

from policy_lake.limits import ANSWER_BYTES, ANSWER_CHARACTERS, ANSWER_DEPTH
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


class BoundedAdapter(dspy.JSONAdapter):  # type: ignore[misc]
    """DSPy's JSON adapter for answers of bounded length and depth: it mends broken JSON, which takes its time."""

    def parse(self, signature: Any, completion: str) -> Any:
        """The answer's fields; AdapterParseError for what is no answer."""
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


def engine_of(endpoint: ModelEndpoint, timeout_s: float) -> tuple[Any, Heard]:
    """The engine that asks this endpoint and nobody else, to be closed by who made it, and what it has heard."""
    transport = CappedTransport(read_timeout=timeout_s, write_timeout=timeout_s, pool_timeout=timeout_s)
    # Local servers ask for no key, DSPy does.
    config = RouterConfig(
        api_keys={PROVIDER: endpoint.api_key or "none"}, base_urls={PROVIDER: endpoint.url.rstrip("/")}, env={},
        transport=transport,
    )  # fmt: skip
    return LM15Engine(config), transport.heard

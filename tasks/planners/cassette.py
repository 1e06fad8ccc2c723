# SPDX-License-Identifier: Apache-2.0
"""Calls kept in a file, and played from it in a model's place: whole runs without a network. A leaf, without DSPy.

A cassette is JSON: who wrote the answers (`answered_by`), how they are found (`match`: `order` or `request`), and the
exchanges. Of a request no more than its body is kept: a key is in the headers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from policy_lake.errors import InputError
from policy_lake.files import atomic_write, locked
from policy_lake.limits import CASSETTE_BYTES

VERSION = 1
Match = Literal["order", "request"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call: the request's body (empty where it is not to be compared), and the answer's status and body."""

    status: int
    body: str
    request: str = ""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Cassette:
    """What a file holds. `order`: call number n gets answer n; `request`: the answer to an equal request."""

    answered_by: str
    match: Match = "order"
    note: str = ""
    exchanges: tuple[Exchange, ...] = field(default=())

    def answer(self, request: bytes, number: int) -> Exchange | None:
        """The answer to this request, which is call `number` of its run, from 0; None when the cassette has none."""
        here = self.exchanges[number] if number < len(self.exchanges) else None
        if self.match == "order":
            return here
        wanted = digest(request.decode(errors="replace"))
        equal = [one for one in self.exchanges if digest(one.request) == wanted]
        return here if here in equal else equal[-1] if equal else None


def digest(request: str) -> str:
    """What makes two requests the same: the JSON in the body, whatever its layout."""
    try:
        text = json.dumps(json.loads(request), sort_keys=True)
    except (ValueError, RecursionError):
        text = request
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def load(path: Path) -> Cassette:
    """The cassette in a file; InputError for what is none."""
    try:
        if path.stat().st_size > CASSETTE_BYTES:
            raise InputError(f"{path}: larger than {CASSETTE_BYTES >> 20} MiB")
        data = json.loads(path.read_bytes())
        return _read(data)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: no cassette of model calls ({type(error).__name__}: {error!s:.80})") from None


def _read(data: dict[str, Any]) -> Cassette:
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']!r:.20} is not {VERSION}")
    if data.get("match", "order") not in ("order", "request"):
        raise ValueError("match is neither order nor request")
    if not isinstance(data["answered_by"], str) or not data["answered_by"].strip():
        raise ValueError("answered_by does not say who wrote the answers")
    return Cassette(
        data["answered_by"], data.get("match", "order"), str(data.get("note", "")),
        tuple(_exchange(one) for one in data["exchanges"]),
    )  # fmt: skip


def _exchange(data: dict[str, Any]) -> Exchange:
    """An exchange as it was recorded, or as a person writes one: `plans`, or any text as `content`."""
    if "plans" in data:
        data = {**data, "content": json.dumps({"plans": data["plans"]})}
    if "content" in data:
        choice = {"index": 0, "message": {"role": "assistant", "content": data["content"]}, "finish_reason": "stop"}
        answer = {"id": "cassette", "object": "chat.completion", "created": 0, "model": "cassette", "choices": [choice]}
        data = {"status": 200, "body": json.dumps({**answer, "usage": data.get("usage")}), **data}
    status, body = data["status"], data["body"]
    if not isinstance(status, int) or not isinstance(body, str):
        raise TypeError("an exchange has a status, which is a number, and a body, which is text")
    return Exchange(status, body, str(data.get("request", "")), str(data.get("content_type", "application/json")))


def record(path: Path, exchange: Exchange, answered_by: str) -> None:
    """Add an exchange to the file, which is made where there is none; of an earlier one everything stays."""
    with locked(path.with_name(f".{path.name}.lock")):
        known = load(path) if path.exists() else Cassette(answered_by, "request", "recorded by schedcp")
        kept = [_written(one) for one in (*known.exchanges, exchange)]
        head = {"version": VERSION, "answered_by": known.answered_by, "match": known.match, "note": known.note}
        atomic_write(path, json.dumps({**head, "exchanges": kept}, indent=1, ensure_ascii=False).encode())


def _written(one: Exchange) -> dict[str, Any]:
    return {"status": one.status, "content_type": one.content_type, "request": one.request, "body": one.body}

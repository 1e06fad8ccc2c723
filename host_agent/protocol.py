# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the agent, read strictly: one JSON object a line, every member known and of its type.

`{"v":1,"req":"attach","id":"…",…}` -> `{"v":1,"id":"…","ok":true,…}` or `{"v":1,"id":"…","ok":false,"code":"…",
"message":"…"}`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policy_lake.knobs import MOST_BYTES, MOST_WORDS
from policy_lake.p99 import p99_unit_s
from policy_lake.strict_json import strict_object

VERSION = 1
LONGEST_LINE = 1 << 20
LONGEST_ID = 64
LONGEST_LEASE_S = 86_400


class RefusedError(Exception):
    """The agent does not do what was asked: a code that programs go by, a line for people."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(" ".join(message.split())[:500])
        self.code, self.facts = code, facts


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its name, the caller's id for it, and its members, checked."""

    name: str
    id: str
    given: dict[str, Any]


def _text(most: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            raise ValueError(f"is no text of at most {most} characters in one line")
        return value

    return read


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("is no base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is no base64") from None


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_WORDS or not all(isinstance(word, str) for word in value):
        raise ValueError(f"is no list of at most {MOST_WORDS} NAME=VALUE words")
    if sum(map(len, value)) > MOST_BYTES or any("\0" in word or not word.isprintable() for word in value):
        raise ValueError("has a word that is too long or cannot be printed")
    return tuple(value)


def _choice(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError("is no number")
        if not low <= value <= high:
            raise ValueError(f"is not from {low:g} to {high:g}")
        return value

    return read


def _p99_name(value: Any) -> str:
    if not isinstance(value, str) or p99_unit_s(value) is None:
        raise ValueError("is no name of a p99 with its unit, such as p99_us")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("is no object")
    return value


_SEQ = _number(0, 2**53)
_STAGE = _choice("canary", "host", "fleet")
P99: dict[str, Callable[[Any], Any]] = {"p99_base_s": _number(0, 1e6), "p99_metric": _p99_name}
# Of each request, what it must have and what it may have.
MEMBERS: dict[str, tuple[dict[str, Callable[[Any], Any]], dict[str, Callable[[Any], Any]]]] = {
    "status": ({}, {}),
    "describe": ({}, {}),
    "attach": (
        {"token": _bytes, "object": _bytes, "knobs": _words, "stage": _STAGE},
        {"lease": _number(0, LONGEST_LEASE_S), "mode": _choice("full", "shadow", "partial"), "cgroup": _text(256),
         **P99},
    ),
    "detach": ({}, {"reason": _text(200)}),
    "pause": ({}, {}),
    "unpause": ({}, P99),
    "lease": ({"lease": _number(0, LONGEST_LEASE_S)}, {"stage": _STAGE}),
    "stop": ({}, {"reason": _text(200)}),
    "resume": ({}, {"object": _text(64), "knobs": _words}),
    "feedback": ({}, {"since": _SEQ}),
    "audit": ({}, {"since": _SEQ}),
    "trust": ({}, {"revocations": _table, "log": _bytes, "head": _table}),
}  # fmt: skip


def read_request(line: bytes) -> Request:
    """The request in a line; RefusedError with the code `bad_request` for anything else."""
    try:
        data = strict_object(line, most=LONGEST_LINE)
    except (ValueError, RecursionError) as error:
        raise RefusedError("bad_request", f"not a request: {error}") from None
    id_, name = data.pop("id", ""), data.pop("req", None)
    if not isinstance(id_, str) or len(id_) > LONGEST_ID or not id_.isprintable():
        raise RefusedError("bad_request", f"id: is no text of at most {LONGEST_ID} characters")
    if type(version := data.pop("v", None)) is not int or version != VERSION:
        raise RefusedError("bad_version", f"v: this agent speaks version {VERSION}", id=id_)
    if not isinstance(name, str) or name not in MEMBERS:
        raise RefusedError("unknown_request", f"req: there is none such; there are {', '.join(MEMBERS)}", id=id_)
    must, may = MEMBERS[name]
    if missing := sorted(must.keys() - data.keys()):
        raise RefusedError("bad_request", f"{name}: {missing[0]} is missing", id=id_)
    given = {}
    for member, value in data.items():
        read = must.get(member) or may.get(member)
        if read is None:
            raise RefusedError("bad_request", f"{name}: there is no member {member[:40]!r}", id=id_)
        try:
            given[member] = read(value)
        except ValueError as error:
            raise RefusedError("bad_request", f"{name}: {member} {error}", id=id_) from None
    return Request(name, id_, given)


def answer(id_: str, facts: dict[str, Any]) -> bytes:
    """The line that says what was asked for."""
    return _line({"v": VERSION, "id": id_, "ok": True, **facts})


def refusal(id_: str, error: RefusedError) -> bytes:
    """The line that says why not."""
    more = {name: value for name, value in error.facts.items() if name != "id"}
    return _line({"v": VERSION, "id": id_, "ok": False, "code": error.code, "message": str(error), **more})


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode() + b"\n"

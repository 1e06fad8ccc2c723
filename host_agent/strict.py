# SPDX-License-Identifier: Apache-2.0
"""JSON from outside: one object, bounded in size and depth, no member twice, no number that is none."""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 8
MOST_DIGITS = 20


def strict_object(content: bytes, *, most: int, deepest: int = DEEPEST) -> dict[str, Any]:
    """The object that `content` is; ValueError in one line for anything else."""
    if len(content) > most:
        raise ValueError(f"longer than {most} bytes")
    # Before it is parsed, which recurses. So few brackets cannot nest deeper: a token is not walked byte by byte.
    if content.count(b"{") + content.count(b"[") > deepest and _depth(content) > deepest:
        raise ValueError(f"nested deeper than {deepest}")
    data = json.loads(content.decode(), object_pairs_hook=_once, parse_int=_integer, parse_constant=_no_number)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data


def _depth(content: bytes) -> int:
    deepest = depth = 0
    inside = escaped = False
    for byte in content:
        if inside:
            inside, escaped = byte != 0x22 or escaped, byte == 0x5C and not escaped
        elif byte == 0x22:
            inside = True
        elif byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")

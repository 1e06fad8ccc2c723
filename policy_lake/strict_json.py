# SPDX-License-Identifier: Apache-2.0
"""JSON from outside, which two readers could not take for two things: bounded, no member twice, no number that is none.

A leaf, by the standard library alone: hosts, the verifier and the control plane read each other's words by it.
"""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 8
MOST_DIGITS = 20


def strict_json(content: bytes, *, most: int) -> Any:
    """What `content` is, of at most `most` bytes; ValueError in one line, or RecursionError where it is nested deep."""
    if len(content) > most:
        raise ValueError(f"larger than {most} bytes")
    try:
        return json.loads(content.decode(), object_pairs_hook=_once, parse_int=_integer, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})") from None


def strict_object(content: bytes, *, most: int, deepest: int = DEEPEST) -> dict[str, Any]:
    """The object that `content` is, nested no deeper than that; ValueError in one line for anything else."""
    # Before it is parsed, which recurses. So few brackets cannot nest deeper: a token is not walked byte by byte.
    if len(content) <= most and content.count(b"{") + content.count(b"[") > deepest and _depth(content) > deepest:
        raise ValueError(f"nested deeper than {deepest}")
    data = strict_json(content, most=most)
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

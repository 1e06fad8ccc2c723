# SPDX-License-Identifier: Apache-2.0
"""Broken and hostile inputs for parsers: what is valid, changed in bytes, in words or in structure, and worse."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hostile import NAMES

NUMBERS = (
    "0", "-1", "1", "65", "255", "65536", str(2**31), str(2**32 - 1), str(2**53), str(2**63), str(2**64), str(10**23),
    "9" * 400, "9" * 10_000, "1e308", "1e999", "-0.0", "0x7fffffff", "NaN", "Infinity", "-Infinity",
    "1_000", "0.1", "٣",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**30, 10**400, 0.5, -1e308, float("nan"), float("inf"), "", [], {},
    [[]], [None] * 100, {"a": {"a": {}}}, "x" * 10_000, "\ud800", *NAMES.values(),
)  # fmt: skip
PIECES = (b"\0", b"\xff\xfe", b"\n", b"\r\n", b"\t", b'"', b"'", b"\\", b"{", b"[", b"]", b"}", b",", b":", b"=", b"#")


def text(value: Any) -> bytes:
    """As JSON, or what looks like it: NaN and halves of surrogates included."""
    return json.dumps(value).encode()


def bytes_changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Some of the bytes others, away, twice, or another input's."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(made) + 1)
        size = rng.choice((1, 1, 2, 8, 64, 1000))
        change = rng.randrange(6)
        if change == 0 and made:
            made[at % len(made)] ^= 1 << rng.randrange(8)
        elif change == 1:
            del made[at : at + size]
        elif change == 2:
            made[at:at] = made[at : at + size] * rng.choice((1, 2, 50))
        elif change == 3:
            made[at : at + rng.randrange(3)] = rng.choice((*PIECES, rng.randbytes(size)))
        elif change == 4:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            made[at:at] = other[start : start + size]
        else:
            del made[at:]
    return bytes(made)


def words_changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Numbers that are others, words that are names from hell."""
    said = data.decode("utf-8", "surrogateescape")
    for _ in range(rng.choice((1, 1, 2, 5))):
        places = [match.span() for match in re.finditer(r"\d+|\w+", said)]
        if not places:
            break
        start, end = rng.choice(places)
        numeric = said[start:end].isdigit() or rng.random() < 0.2
        said = said[:start] + (rng.choice(NUMBERS) if numeric else rng.choice((*NAMES.values(), "", "a"))) + said[end:]
    return said.encode("utf-8", "surrogateescape" if not any("\ud800" <= c < "\udc80" for c in said) else "replace")


def lines_changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Lines in another order, left out, or many times over."""
    lines = data.splitlines(keepends=True) or [b""]
    for _ in range(rng.choice((1, 2, 5))):
        change, at = rng.randrange(4), rng.randrange(len(lines))
        if change == 0:
            lines.insert(at, rng.choice(lines))
        elif change == 1 and len(lines) > 1:
            del lines[at]
        elif change == 2:
            rng.shuffle(lines)
        else:
            lines[at:at] = [lines[at]] * min(rng.choice((2, 100, 2000)), 1 + (1 << 20) // max(1, len(lines[at])))
    return b"".join(lines)


def changed_in(rng: random.Random, value: Any) -> Any:
    """The value with something in it that is something else; a copy."""
    made = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        made = _one(rng, made)
    return made


def _one(rng: random.Random, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    change = rng.random()
    if change < 0.1:
        del value[key]
    elif change < 0.2 and isinstance(value, dict):
        value[rng.choice((*NAMES.values(), "x", ""))] = value.pop(key)
    elif change < 0.25 and isinstance(value, list):
        value += [value[key]] * rng.choice((1, 100, 5000))
    else:
        value[key] = _one(rng, value[key])
    return value


def structure_changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """JSON that is whole and says something else."""
    try:
        return text(changed_in(rng, json.loads(data)))
    except (ValueError, RecursionError):
        return words_changed(rng, data, others)


def monsters(size: int) -> Iterator[bytes]:
    """Deep, long, wide: each of about so many bytes, one after the other, since together they would be all there is."""
    for start, unit, end in _UNITS:
        count = size // len(unit)
        yield start + unit * count + end * (count if start == b"" and end in (b"]", b"}") else 1)


# What begins it, what is repeated, what ends it (as often, where that is a bracket alone).
_UNITS = (
    (b"", b"[", b""), (b"", b"{", b""), (b"", b'{"a":', b"}"), (b"", b"[", b"]"), (b"", b'"', b""), (b"", b"\\", b""),
    (b"", b"a", b""), (b"", b" ", b"x"), (b"", b"\n", b"x"), (b"", b"9", b""), (b"", b"-", b""), (b"", b",", b""),
    (b"[", b"[],", b"[]]"), (b'{"a":"', b"\\u0000", b'"}'), (b"", b"a.", b"a = 1"), (b"a = ", b"[", b""),
    (b"", b"(", b""),
    (b"", b"a = {b = ", b""), (b"", b"\xf0\x9f\x98\x80", b""), (b"", b"\x1b[31m", b""), (b"", b"\0", b""),
    (b'{"plans": [', b'{"policy": "rr"},', b"{}]}"), (b"", b"* ", b""), (b"", b"1:", b""), (b"", b'"\\ud800', b""),
    (b"exit\t64\t0\tx\t", b"a[1", b""), (b"", b"rcu: ", b""), (b"", b"0x", b""), (b"", b"1,", b""), (b"#", b"\t", b"#"),
)  # fmt: skip


Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
TEXT: tuple[Change, ...] = (bytes_changed, words_changed, words_changed, lines_changed)
JSON: tuple[Change, ...] = (*TEXT, structure_changed, structure_changed, structure_changed)
BYTES: tuple[Change, ...] = (bytes_changed,)

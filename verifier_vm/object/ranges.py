# SPDX-License-Identifier: Apache-2.0
"""Between which numbers a register's value lies: arithmetic on intervals, and what a comparison of two can come to.

Never too narrow: where an operation could wrap round in the middle of an interval, nothing is known of its result.
"""

from __future__ import annotations

from typing import NamedTuple

from verifier_vm.object.branch import JEQ, JGE, JGT, JLE, JLT, JNE, JSGE, JSGT, JSLE, JSLT
from verifier_vm.object.values import MASK, MASK32, signed

HALF = 32
_SIGNED = {JSGT: JGT, JSGE: JGE, JSLT: JLT, JSLE: JLE}


class Range(NamedTuple):
    """From `low` to `high`, both included and without sign; of all 64 bits if `wide`, else of the lower 32 alone.

    `own`: it is the executing CPU's number.
    """

    low: int
    high: int
    wide: bool = True
    own: bool = False


Number = int | Range


def hull(one: Number, other: Number) -> Range | None:
    """What holds both; None where they are not of the same width."""
    a, b = _range(one), _range(other)
    if a.wide != b.wide:
        a, b = (found if (found := _lower(part)) else Range(0, MASK32, wide=False) for part in (a, b))
    return Range(min(a.low, b.low), max(a.high, b.high), a.wide, a.own and b.own)


def moved(value: Range, bits: int, *, wide: bool) -> Range | None:
    """After a move, sign-extended from `bits` where these are fewer than are moved."""
    if bits < HALF or (wide and bits == HALF):
        lower = _lower(value)
        return Range(lower.low, lower.high) if lower and lower.high < 1 << bits - 1 else None
    if wide:
        return value
    lower = _lower(value)
    return lower and Range(lower.low, lower.high, own=value.own)


def computed(op: str, one: Number, other: Number, width: int) -> Range | None:
    """The result of an ALU operation on `width` bits; None where nothing is known of it."""
    a, b = _at(_range(one), width), _at(_range(other), width)
    if a is not None and b is not None:
        return _within(op, a, b, width)
    if width == 64 and op == "lsh" and isinstance(other, int) and HALF <= other < 64:
        lower = _lower(_range(one))  # the upper half is shifted out
        return _block(lower.low << other, lower.high << other, 64) if lower else None
    if width == 64 and op in ("add", "sub", "and"):
        half = computed(op, _cut(one), _cut(other), HALF)
        masked = op == "and" and any(isinstance(part, int) and part <= MASK32 for part in (one, other))
        return half and Range(half.low, half.high, wide=masked)
    return None


def outcomes(op: int, one: Number, other: Number, width: int) -> frozenset[bool]:
    """What the comparison `op` of a conditional jump can come to."""
    both = frozenset((True, False))
    a, b = _at(_range(one), width), _at(_range(other), width)
    if a is None or b is None:
        return both
    if op in _SIGNED:
        a, b, op = _as_signed(a, width), _as_signed(b, width), _SIGNED[op]
    if op in (JEQ, JNE):
        may_be_equal = a.low <= b.high and b.low <= a.high
        surely = a.low == a.high == b.low == b.high
        equal = frozenset([True] * may_be_equal + [False] * (not surely))
        return equal if op == JEQ else frozenset(not one for one in equal)
    if op in (JLT, JLE):
        a, b, op = b, a, JGT if op == JLT else JGE
    if op == JGT:
        return frozenset([True] * (a.high > b.low) + [False] * (a.low <= b.high))
    if op == JGE:
        return frozenset([True] * (a.high >= b.low) + [False] * (a.low < b.high))
    return both


def _within(op: str, a: Range, b: Range, width: int) -> Range | None:
    if op == "add":
        return _block(a.low + b.low, a.high + b.high, width)
    if op == "sub":
        return _block(a.low - b.high, a.high - b.low, width)
    if op == "mul":
        return _block(a.low * b.low, a.high * b.high, width)
    if op == "and":
        return Range(0, min(a.high, b.high))
    if b.low != b.high:
        return None
    return _by_constant(op, a, b.low, width)


def _by_constant(op: str, a: Range, number: int, width: int) -> Range | None:
    if op in ("lsh", "rsh", "arsh"):
        shift = number & width - 1
        if op == "lsh":
            return _block(a.low << shift, a.high << shift, width)
        if op == "rsh" or a.high < 1 << width - 1:
            return Range(a.low >> shift, a.high >> shift)
    if op in ("div", "mod") and number:
        if op == "div":
            return Range(a.low // number, a.high // number)
        return Range(a.low, a.high) if a.high < number else Range(0, number - 1)
    return None


def _block(low: int, high: int, width: int) -> Range | None:
    """An interval cut to `width` bits; None where it wraps round within."""
    return Range(low & (1 << width) - 1, high & (1 << width) - 1) if low >> width == high >> width else None


def _range(value: Number) -> Range:
    return Range(value & MASK, value & MASK) if isinstance(value, int) else value


def _at(value: Range, width: int) -> Range | None:
    """What is known of so many bits of it."""
    if width == HALF:
        return _lower(value)
    return value if value.wide else None


def _lower(value: Range) -> Range | None:
    found = _block(value.low, value.high, HALF)
    return found and found._replace(wide=False, own=value.own)


def _cut(value: Number) -> Number:
    return value & MASK32 if isinstance(value, int) else value


def _as_signed(value: Range, width: int) -> Range:
    low, high = signed(value.low, width), signed(value.high, width)
    return Range(low, high) if low <= high else Range(-(1 << width - 1), (1 << width - 1) - 1)

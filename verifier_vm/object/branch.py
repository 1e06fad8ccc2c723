# SPDX-License-Identifier: Apache-2.0
"""What a branch tells: which way it can go with what is known, and what is known after it."""

from __future__ import annotations

from verifier_vm.object.kernel import ARGUMENT_RANGES, FIELD_RANGES, NULLABLE, RESULT_RANGES
from verifier_vm.object.state import Range, State
from verifier_vm.object.values import MASK, MASK32, NEVER_NULL, SLICE, Expr, Value, is_field, root, signed

JEQ, JGT, JGE, JNE, JSGT, JSGE, JLT, JLE, JSLT, JSLE = 0x10, 0x20, 0x30, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0
JSET = 0x40  # "any of these bits": the walk makes an `and` and a comparison with 0 of it
OPPOSITE = {JEQ: JNE, JNE: JEQ, JGT: JLE, JLE: JGT, JGE: JLT, JLT: JGE, JSGT: JSLE, JSLE: JSGT, JSGE: JSLT, JSLT: JSGE}
MIRRORED = {JEQ: JEQ, JNE: JNE, JGT: JLT, JLT: JGT, JGE: JLE, JLE: JGE, JSGT: JSLT, JSLT: JSGT, JSGE: JSLE, JSLE: JSGE}
ORDERED = frozenset((JGT, JGE, JLT, JLE, JSGT, JSGE, JSLT, JSLE))


def never_null(value: Value) -> bool:
    """Is it a pointer that cannot be NULL?"""
    base, _ = root(value)
    if isinstance(value, Expr) and value.op == "sure":
        return True
    if not isinstance(base, Expr):
        return False
    return base.op in NEVER_NULL or (base.op == "arg" and base.key in ("p", "cgrp", "info", "args", "dump"))


def assume(state: State, op: int, a: Value, b: Value, *, wide: bool) -> bool:
    """Take it that `a op b` holds; False when it cannot, and `state` is then of no more use."""
    width = 64 if wide else 32
    if isinstance(a, int) and isinstance(b, int):
        return holds(op, a, b, width)
    if isinstance(a, int):
        if op not in MIRRORED:
            return True
        op, a, b = MIRRORED[op], b, a
    _note_what_is_left(state, op, a, b)
    if isinstance(b, int):
        return _assume_number(state, op, a, b, width)
    return _assume_pair(state, op, a, b)


def _note_what_is_left(state: State, op: int, a: Value, b: Value) -> None:
    if op in (JLT, JLE):
        op, a, b = MIRRORED[op], b, a
    if op in (JGT, JGE) and is_field(a, SLICE):
        state.path = state.path._replace(more_left=b)


def holds(op: int, a: int, b: int, width: int) -> bool:
    """Does the comparison hold for two numbers?"""
    sa, sb = signed(a & (1 << width) - 1, width), signed(b & (1 << width) - 1, width)
    a, b = a & (1 << width) - 1, b & (1 << width) - 1
    return {
        JEQ: a == b, JNE: a != b, JGT: a > b, JGE: a >= b, JLT: a < b, JLE: a <= b,
        JSGT: sa > sb, JSGE: sa >= sb, JSLT: sa < sb, JSLE: sa <= sb,
    }.get(op, True)  # fmt: skip


def _assume_pair(state: State, op: int, a: Value, b: Value) -> bool:
    if a is b:
        return op in (JEQ, JGE, JLE, JSGE, JSLE)
    for asked, left, right in ((op, a, b), (MIRRORED[op], b, a)):
        outcome = state.known.get((asked, left, right))
        if outcome is None and asked in OPPOSITE:
            opposite = state.known.get((OPPOSITE[asked], left, right))
            outcome = None if opposite is None else not opposite
        if isinstance(outcome, bool):
            return outcome
    state.known[op, a, b] = True
    return True


def _assume_number(state: State, op: int, value: Value, number: int, width: int) -> bool:
    if not isinstance(value, Expr):
        return True
    if number == 0 and width == 64 and op in (JEQ, JNE) and never_null(value):
        return op == JNE
    # p + 16 == 0 says as much as p == 0: both are NULL checks.
    if value.op == "off" and number == 0 and op in (JEQ, JNE) and value.a is not None:
        return _assume_number(state, op, value.a, 0, width)
    if value.bits <= 32 and width == 64 and op in (JEQ, JNE, JGT, JGE, JLT, JLE):
        if number > MASK32:
            return op in (JNE, JLT, JLE)
        width = 32
    number &= (1 << width) - 1
    known = state.known.get((width, value))
    now = _narrow(known if isinstance(known, Range) else _natural(value, width), op, number, width)
    if now is None:
        return False
    state.known[width, value] = now
    return _push_down(state, op, value, number)


def _push_down(state: State, op: int, value: Expr, number: int) -> bool:
    """x & 1 known to be 1 for an x of one bit, and a result that is compared in both widths, are one fact."""
    if value.op == "low" and isinstance(value.a, Expr) and op == JEQ and number == 0:
        known = state.known.get((64, value.a))
        if isinstance(known, Range) and known.low == known.high and known.low & MASK32:
            return False
    return True


def _given(value: Expr) -> tuple[int, int] | None:
    """Between what the kernel keeps a value that it gives; None where nothing is known."""
    if value.op == "low" and isinstance(value.a, Expr):
        value = value.a
    if value.op == "arg":
        return ARGUMENT_RANGES.get(str(value.key))
    if isinstance(value.key, tuple) and value.op in ("ret", "load"):
        return (RESULT_RANGES if value.op == "ret" else FIELD_RANGES).get(value.key[0])
    return None


def _natural(value: Expr, width: int) -> Range:
    if (given := _given(value)) is not None and width == 32:
        return Range(*given, *given)
    bits = min(value.bits, width)
    high = (1 << bits) - 1
    if bits < width:
        return Range(0, high, 0, high)
    return Range(0, high, -(1 << width - 1), (1 << width - 1) - 1)


def _narrow(known: Range, op: int, number: int, width: int) -> Range | None:
    """The range after the comparison; None when it cannot hold."""
    low, high, smallest, largest, other = known
    as_signed = signed(number, width)
    if op == JEQ and number not in other:
        low, high = max(low, number), min(high, number)
        smallest, largest = max(smallest, as_signed), min(largest, as_signed)
    elif op == JEQ or (op == JNE and (low == high == number or smallest == largest == as_signed)):
        return None
    elif op == JNE:
        other = other | {number} if len(other) < 8 else other
        low, high = low + (low == number), high - (high == number)
    elif op in (JGT, JGE):
        low = max(low, number + (op == JGT))
    elif op in (JLT, JLE):
        high = min(high, number - (op == JLT))
    elif op in (JSGT, JSGE):
        smallest = max(smallest, as_signed + (op == JSGT))
    else:
        largest = min(largest, as_signed - (op == JSLT))
    return _joined(low, high, smallest, largest, other, width)


def _joined(low: int, high: int, smallest: int, largest: int, other: frozenset[int], width: int) -> Range | None:
    """Both views of one number, each narrowed by the other."""
    top = 1 << width - 1
    if smallest >= 0:
        low, high = max(low, smallest), min(high, largest)
    elif largest < 0:
        low = max(low, top)
    if high < top:
        smallest, largest = max(smallest, low), min(largest, high)
    elif low >= top:
        largest = min(largest, -1)
    if low > high or smallest > largest or (low == high and low in other):
        return None
    return Range(low & MASK, high, smallest, largest, other)


def below_zero(state: State, value: Expr) -> bool:
    """Do the branches taken leave only negative values of it?"""
    ranges = (state.known.get((32, value)), state.known.get((64, value)))
    return any(isinstance(known, Range) and known.largest < 0 for known in ranges)


def may_be_missing(value: Value) -> Expr | None:
    """The look-up that a pointer came from, if it is NULL where nothing was found."""
    base, _ = root(value)
    if not isinstance(base, Expr):
        return None
    found = isinstance(base.key, tuple) and base.op == "ret" and base.key[0] in NULLABLE
    return base if found or base.op in ("storage", "element") else None

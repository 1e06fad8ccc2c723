# SPDX-License-Identifier: Apache-2.0
"""What is known of a number that a call may have given: that it may be a failure, that it is one, or which it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from verifier_vm.coverage.error_paths import JUMPED, WENT_ON
from verifier_vm.object.decode import ALU, ALU64, BY_REGISTER, JA, LD, LDX, Instruction
from verifier_vm.object.flow import MOV

JEQ, JNE, JSGT, JSGE, JSLT, JSLE = 0x10, 0x50, 0x60, 0x70, 0xC0, 0xD0
LSH, RSH, ARSH = 0x60, 0x70, 0xC0  # by 32: what is left of an int
INT_BYTES = 4


class Value(NamedTuple):
    """What a place holds: a number; what the call at pc `number` gave, which may have failed or surely has; or 0 or a
    failure, whichever call's."""

    kind: str
    number: int = 0


EITHER, FAILURE = Value("either"), Value("failed", -1)
State = Mapping[int, Value]  # by register (0 to 10) or stack slot (its offset, below 0)


def computed(instruction: Instruction, now: State) -> Value | None:
    kind, op, src = instruction.kind, instruction.code & 0xF0, instruction.src
    if kind == LDX:
        return now.get(instruction.off) if src == 10 and instruction.size >= INT_BYTES else None
    if kind == LD and instruction.reference is None:
        return Value("number", instruction.imm)
    if kind not in (ALU, ALU64):
        return None
    if op == MOV:
        return now.get(src) if instruction.code & BY_REGISTER else Value("number", instruction.imm)
    by_32 = not instruction.code & BY_REGISTER and instruction.imm == 32
    return now.get(instruction.dst) if op in (LSH, RSH, ARSH) and by_32 and kind == ALU64 else None


def is_negative(value: Value) -> bool:
    return value.kind == "number" and value.number & 1 << 31 != 0


def is_failure(value: Value | None) -> bool:
    return value is not None and (value.kind == "failed" or is_negative(value))


def is_outcome(value: Value | None, has_failed: bool) -> bool:
    if value is None or value.kind == "count":
        return False
    return value.kind != "number" or value.number == 0 or (has_failed and is_negative(value))


def joined(a: State, a_failed: bool, b: State, b_failed: bool) -> dict[int, Value]:
    found = {}
    for place in a.keys() & b.keys():
        if a[place] == b[place]:
            found[place] = a[place]
        elif is_outcome(a[place], a_failed) and is_outcome(b[place], b_failed):
            both_failed = is_failure(a[place]) and is_failure(b[place])
            found[place] = FAILURE if both_failed else EITHER
    return found


def nonzero_way(instruction: Instruction) -> int | None:
    if instruction.imm == 0:
        return {JNE: JUMPED, JEQ: WENT_ON}.get(instruction.code & 0xF0)
    return None


def negative_way(instruction: Instruction) -> int | None:
    ways = {0: {JSLT: JUMPED, JSGE: WENT_ON}, -1: {JSLE: JUMPED, JSGT: WENT_ON}}
    return ways.get(instruction.imm, {}).get(instruction.code & 0xF0)


def excluded(instruction: Instruction, now: State, way: int) -> bool:
    """Whether what is known leaves only the other way of a conditional jump."""
    value, op = now.get(instruction.dst), instruction.code & 0xF0
    if value is None or instruction.code & BY_REGISTER or op == JA:
        return False
    taken: int | None = None
    if value.kind == "failed":
        taken = negative_way(instruction)
        taken = nonzero_way(instruction) if taken is None else taken
    elif value.kind == "number" and op in (JEQ, JNE):
        equal = (value.number ^ instruction.imm) & 0xFFFFFFFF == 0
        taken = JUMPED if equal == (op == JEQ) else WENT_ON
    return taken is not None and way != taken

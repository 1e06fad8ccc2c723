# SPDX-License-Identifier: Apache-2.0
"""What is known of a register without paths (decided.py): a number, an interval, an address, or where it comes from."""

from __future__ import annotations

from typing import NamedTuple

from verifier_vm.object.alu import MOV, NAMES, NEG
from verifier_vm.object.branch import JEQ, JNE
from verifier_vm.object.decode import ALU64, BY_REGISTER, Instruction
from verifier_vm.object.kernel import exists
from verifier_vm.object.ranges import Range, computed, hull, moved
from verifier_vm.object.values import MASK, MASK32, fold, signed

JUMPED, WENT_ON = 0, 1


class At(NamedTuple):
    """A byte of a section of constants; without one, some address that is not 0."""

    section: str
    offset: int


class Made(NamedTuple):
    """What is known by where it comes from: a callback's context (`of` is the callback), the mask of CPUs on line,
    whether a CPU is in it (`of` is OWN for the executing one)."""

    kind: str
    of: str = ""


CONTEXT, MASK_ON_LINE, ON_LINE_IS, OWN = "context", "mask", "on line", "own"
Known = int | At | Range | Made | None  # None: it may be anything
Registers = tuple[Known, ...]  # 0 to 10, then whether the executing CPU is on line, where that has been asked
UNKNOWN: Registers = (None,) * 12
MOST_HULLS = 8  # of one place, then what still changes is unknown


def asked_on_line(instruction: Instruction, registers: Registers) -> tuple[int, bool] | None:
    """Of a conditional jump on whether a CPU is on line: the way on which it is not, and is it the executing CPU."""
    a, op = registers[instruction.dst], instruction.code & 0xF0
    plain = not instruction.code & BY_REGISTER and instruction.imm == 0 and op in (JEQ, JNE)
    if not plain or not isinstance(a, Made) or a.kind != ON_LINE_IS:
        return None
    return JUMPED if op == JEQ else WENT_ON, a.of == OWN


def meet(one: Known, other: Known, *, hulls: bool) -> Known:
    """What holds both; an interval of numbers only where `hulls`."""
    if one == other:
        return one
    if not isinstance(one, int | Range) or not isinstance(other, int | Range):
        return None
    both = hull(one, other)
    return both if hulls or both == one else None


def immediate(instruction: Instruction) -> Known:
    """What a 64-bit load of a constant gives."""
    reference = instruction.reference
    if reference is None:
        return instruction.imm & MASK if instruction.src == 0 else None
    if reference.kind == "data":
        return At(reference.name, reference.offset)
    if reference.kind == "extern":
        return At("", 0) if exists(reference.name) else None
    return At("", 0)  # a map or a function


def applied(instruction: Instruction, registers: Registers) -> Known:
    """What an ALU operation leaves in its register."""
    op, wide = instruction.code & 0xF0, instruction.kind == ALU64
    a = registers[instruction.dst]
    b = registers[instruction.src] if instruction.code & BY_REGISTER else instruction.imm & MASK
    if op == MOV:
        return _moved(instruction, b, wide=wide)
    if isinstance(a, Made):  # a truth value with bits masked off that it has not
        masked = NAMES.get(op) == "and" and a.kind == ON_LINE_IS and isinstance(b, int) and b & 1
        return a if masked else None
    if op in NAMES and NAMES[op] == "add" and wide and isinstance(a, At) and isinstance(b, int):
        return At(a.section, signed((a.offset + b) & MASK)) if a.section else None
    if not isinstance(a, int | Range) or not isinstance(b, int | Range):
        return None
    return _number(op, a, b, 64 if wide else 32, is_signed=instruction.off == 1)


def _moved(instruction: Instruction, value: Known, *, wide: bool) -> Known:
    width = 64 if wide else 32
    if isinstance(value, At | Made):
        whole = wide or (isinstance(value, Made) and value.kind == ON_LINE_IS)
        return value if whole and instruction.off == 0 else None
    bits = instruction.off if instruction.off in (8, 16, 32) else width
    if isinstance(value, Range):
        return moved(value, bits, wide=wide)
    if value is None or bits == width:
        return None if value is None else value & (1 << bits) - 1
    return signed(value & (1 << bits) - 1, bits) & (MASK if wide else MASK32)


def _number(op: int, a: int | Range, b: int | Range, width: int, *, is_signed: bool) -> Known:
    if op == NEG:
        return fold("sub", 0, a, width) if isinstance(a, int) else None
    if op not in NAMES:
        return None
    name = f"s{NAMES[op]}" if is_signed and NAMES[op] in ("div", "mod") else NAMES[op]
    if isinstance(a, Range) or isinstance(b, Range):
        return computed(name, a, b, width)
    mask = (1 << width) - 1
    return fold(name, a & mask, b & mask, width)

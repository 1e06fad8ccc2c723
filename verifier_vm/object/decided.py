# SPDX-License-Identifier: Apache-2.0
"""Which ways of conditional jumps the constants leave: what `const volatile` switches turn off is proven never to run.

Constants are propagated over feasible jumps only, to a fixed point (Wegman and Zadeck, TOPLAS 1991), without paths: it
ends quickly for objects whose paths are too many for the walk. Known are numbers, constants of .rodata as the loader
leaves them, and a function's arguments where all its callers give the same. All else is unknown, memory included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from verifier_vm.object.alu import MOV, NAMES, NEG
from verifier_vm.object.branch import JEQ, JNE, JSET, OPPOSITE, holds
from verifier_vm.object.decode import (
    ALU,
    ALU64,
    ATOMIC,
    BY_REGISTER,
    CALL,
    EXIT,
    JMP,
    JMP32,
    LDDW,
    LDX,
    SIGNED,
    STX,
    Instruction,
)
from verifier_vm.object.filled import MIRROR, RODATA, constants
from verifier_vm.object.flow import successors
from verifier_vm.object.kernel import exists
from verifier_vm.object.program import Program
from verifier_vm.object.values import MASK, MASK32, fold, signed

JUMPED, WENT_ON = 0, 1
CALLER_SAVED = 6  # r0 to r5


class At(NamedTuple):
    """A byte of a section of constants; without one, some address that is not 0."""

    section: str
    offset: int


Known = int | At | None  # None: it may be anything
Registers = tuple[Known, ...]
UNKNOWN: Registers = (None,) * 11


def ways_left(program: Program) -> dict[int, frozenset[int]]:
    """By pc of each conditional jump that can be reached: JUMPED, WENT_ON, or both. What cannot be reached is missing.

    `program` is as its loader leaves it (fill, apply_arguments). Enumerators that a loader takes from the kernel are
    taken for unknown here.
    """
    return _Propagation(program).run()


class _Propagation:
    """One object's: registers before each instruction that can be reached, and what each function returns."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._open = set(program.open)
        for constant in constants(program):
            if MIRROR.fullmatch(constant.name):
                self._open.update((constant.section, constant.offset + at) for at in range(constant.size))
        self._before: dict[int, Registers] = {}
        self._callers: dict[int, set[int]] = {}
        self._returned: dict[int, Known] = {}
        self._ways: dict[int, set[int]] = {}
        self._relocated = _relocated(program)
        self._function = {
            pc: function.start for function in program.functions.values() for pc in range(function.start, function.end)
        }
        self._pending: list[int] = []

    def run(self) -> dict[int, frozenset[int]]:
        for pc in _entries(self._program):
            self._reach(pc, UNKNOWN)
        while self._pending:
            self._step(self._pending.pop())
        return {pc: frozenset(ways) for pc, ways in self._ways.items()}

    def _reach(self, pc: int, registers: Registers) -> None:
        before = self._before.get(pc)
        joined = registers if before is None else _joined(before, registers)
        if joined != before:
            self._before[pc] = joined
            self._pending.append(pc)

    def _step(self, pc: int) -> None:
        instruction = self._program.code[pc] if 0 <= pc < len(self._program.code) else None
        if instruction is None:  # the object stage refuses such code
            return
        registers = self._before[pc]
        op = instruction.code & 0xF0
        if instruction.kind in (JMP, JMP32) and op == CALL:
            self._call(pc, instruction, registers)
        elif instruction.kind == JMP and op == EXIT:
            self._return(pc, registers[0])
        elif len(following := successors(pc, instruction)) == 2:
            ways = self._feasible(instruction, registers)
            self._ways.setdefault(pc, set()).update(ways)
            for way in ways:
                self._reach(following[way ^ 1], registers)
        else:
            for after in following:
                self._reach(after, self._after(pc, instruction, registers))

    def _call(self, pc: int, instruction: Instruction, registers: Registers) -> None:
        """Go into a function of the policy's own, and on where it is known to come back."""
        reference = instruction.reference
        kept = registers[CALLER_SAVED:]
        if reference is None or reference.kind != "function":
            self._reach(pc + 1, (*UNKNOWN[:CALLER_SAVED], *kept))
            return
        callee = reference.offset
        self._callers.setdefault(callee, set()).add(pc)
        self._reach(callee, (None, *registers[1:CALLER_SAVED], *UNKNOWN[CALLER_SAVED:]))
        if callee in self._returned:
            self._reach(pc + 1, (self._returned[callee], *UNKNOWN[1:CALLER_SAVED], *kept))

    def _return(self, pc: int, value: Known) -> None:
        function = self._function.get(pc, -1)
        joined = value if function not in self._returned else _meet(self._returned[function], value)
        if function not in self._returned or joined != self._returned[function]:
            self._returned[function] = joined
            self._pending += self._callers.get(function, ())

    def _feasible(self, instruction: Instruction, registers: Registers) -> tuple[int, ...]:
        op, width = instruction.code & 0xF0, 64 if instruction.kind == JMP else 32
        a = registers[instruction.dst]
        b = registers[instruction.src] if instruction.code & BY_REGISTER else instruction.imm & MASK
        if isinstance(a, At) and b == 0 and op in (JEQ, JNE) and width == 64:
            return (JUMPED,) if op == JNE else (WENT_ON,)
        if not isinstance(a, int) or not isinstance(b, int) or (op != JSET and op not in OPPOSITE):
            return (JUMPED, WENT_ON)
        taken = bool(a & b & (1 << width) - 1) if op == JSET else holds(op, a, b, width)
        return (JUMPED,) if taken else (WENT_ON,)

    def _after(self, pc: int, instruction: Instruction, registers: Registers) -> Registers:
        """The registers after an instruction that neither calls nor jumps."""
        kind, changed = instruction.kind, [instruction.dst]
        value: Known = None
        if kind in (ALU, ALU64):
            value = _computed(instruction, registers)
        elif instruction.code == LDDW:
            value = _immediate(instruction)
        elif kind == LDX:
            value = self._loaded(instruction, registers[instruction.src])
        elif kind == STX and instruction.code & 0xE0 == ATOMIC:
            changed = [0, instruction.src, instruction.dst]  # what it fetched
        else:
            changed = []
        if pc in self._relocated:
            value = None
        return tuple(value if index in changed else held for index, held in enumerate(registers))

    def _loaded(self, instruction: Instruction, pointer: Known) -> Known:
        if not isinstance(pointer, At) or not pointer.section.startswith(RODATA):
            return None
        size, at = instruction.size, signed((pointer.offset + instruction.off) & MASK)
        data = self._program.data.get(pointer.section, b"")
        if not 0 <= at <= len(data) - size or any((pointer.section, at + i) in self._open for i in range(size)):
            return None
        number = int.from_bytes(data[at : at + size], "little")
        return signed(number, 8 * size) & MASK if instruction.code & 0xE0 == SIGNED else number


def _entries(program: Program) -> Iterable[int]:
    """What the kernel may call: each function that no other one calls, or whose address is taken."""
    references = [(code, code.reference) for code in program.code if code and code.reference]
    called = {to.offset for code, to in references if to.kind == "function" and code.code == JMP | CALL}
    taken = {to.offset for code, to in references if to.kind == "function" and code.code != JMP | CALL}
    return sorted((program.functions.keys() - called) | taken)


def _relocated(program: Program) -> set[int]:
    """Where libbpf puts in what the kernel's types say."""
    return {
        program.base[section.index] + offset // 8
        for section in program.elf.sections if section.index in program.base
        for offset in program.extra.relocations.get(section.name, {})
    }  # fmt: skip


def _meet(one: Known, other: Known) -> Known:
    return one if one == other else None


def _joined(one: Registers, other: Registers) -> Registers:
    return tuple(map(_meet, one, other))


def _immediate(instruction: Instruction) -> Known:
    reference = instruction.reference
    if reference is None:
        return instruction.imm & MASK if instruction.src == 0 else None
    if reference.kind == "data":
        return At(reference.name, reference.offset)
    if reference.kind == "extern":
        return At("", 0) if exists(reference.name) else None
    return At("", 0)  # a map or a function


def _computed(instruction: Instruction, registers: Registers) -> Known:
    op, wide = instruction.code & 0xF0, instruction.kind == ALU64
    a = registers[instruction.dst]
    b = registers[instruction.src] if instruction.code & BY_REGISTER else instruction.imm & MASK
    if op == MOV and isinstance(b, At):
        return b if wide and instruction.off == 0 else None
    if op in NAMES and NAMES[op] == "add" and wide and isinstance(a, At) and isinstance(b, int):
        return At(a.section, signed((a.offset + b) & MASK)) if a.section else None
    if not isinstance(b, int) or (op != MOV and not isinstance(a, int)) or (op not in NAMES and op not in (MOV, NEG)):
        return None
    width = 64 if wide else 32
    if op == MOV:
        bits = instruction.off if instruction.off in (8, 16, 32) else width
        return signed(b & (1 << bits) - 1, bits) & (MASK if wide else MASK32) if bits < width else b & (1 << width) - 1
    name, number = NAMES.get(op, "sub"), a if isinstance(a, int) else 0
    if op == NEG:
        return fold("sub", 0, number, width)
    if instruction.off == 1 and name in ("div", "mod"):
        name = f"s{name}"
    mask = (1 << width) - 1
    return fold(name, number & mask, b & mask, width)

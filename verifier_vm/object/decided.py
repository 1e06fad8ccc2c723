# SPDX-License-Identifier: Apache-2.0
"""Which ways of conditional jumps are left by constants and by what the kernel can hand out: what `const volatile`
switches turn off, and what asks for a CPU below 0, is proven never to run.

Constants and intervals are propagated over feasible jumps only, to a fixed point (Wegman and Zadeck, TOPLAS 1991),
without paths: it ends quickly for objects whose paths are too many for the walk. Known are numbers, constants of
.rodata as the loader leaves them, what the kernel gives (given.py), and a function's arguments where all its callers
give the same. All else is unknown, memory included: another CPU may write it at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

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
from verifier_vm.object.given import INTERRUPTS_OFF, ON_LINE, argument, entries, field, reached_from, relocated, result
from verifier_vm.object.kernel import HELPERS, kernel_name
from verifier_vm.object.known import (
    CONTEXT,
    JUMPED,
    MASK_ON_LINE,
    MOST_HULLS,
    ON_LINE_IS,
    OWN,
    UNKNOWN,
    WENT_ON,
    At,
    Known,
    Made,
    Registers,
    applied,
    asked_on_line,
    immediate,
    meet,
)
from verifier_vm.object.program import Program
from verifier_vm.object.ranges import Range, outcomes
from verifier_vm.object.values import MASK, signed

CALLER_SAVED = 6  # r0 to r5


class Decided(NamedTuple):
    """By pc of each conditional jump that can be reached: JUMPED, WENT_ON, or both. What cannot be reached is missing.

    `asks` are jumps on whether a CPU is on line: (the way on which it is not, is it the executing CPU).
    """

    ways: Mapping[int, frozenset[int]]
    asks: Mapping[int, tuple[int, bool]]


def ways_left(program: Program, callbacks: Mapping[str, int] | None = None, cpus: int = 0) -> Decided:
    """What is decided of a program that is as its loader leaves it (fill, apply_arguments).

    `callbacks` are its functions' first pcs by their members. With `cpus`, on machines whose CPUs have lower numbers.
    Enumerators that a loader takes from the kernel are taken for unknown here.
    """
    return _Propagation(program, callbacks or {}, cpus).run()


class _Propagation:
    """One object's: registers before each instruction that can be reached, and what each function returns."""

    def __init__(self, program: Program, callbacks: Mapping[str, int], cpus: int) -> None:
        self._program, self._callbacks, self._cpus = program, callbacks, cpus
        self._from = reached_from(program, callbacks)
        self._hulls = Counter[tuple[str, int]]()
        self._open = set(program.open)
        for constant in constants(program):
            if MIRROR.fullmatch(constant.name):
                self._open.update((constant.section, constant.offset + at) for at in range(constant.size))
        self._before: dict[int, Registers] = {}
        self._callers: dict[int, set[int]] = {}
        self._returned: dict[int, Known] = {}
        self._ways: dict[int, set[int]] = {}
        self._relocated = relocated(program)
        self._function = {
            pc: function.start for function in program.functions.values() for pc in range(function.start, function.end)
        }
        self._pending: list[int] = []

    def run(self) -> Decided:
        for member, pc in self._callbacks.items():
            self._reach(pc, (None, Made(CONTEXT, member), *UNKNOWN[2:]))
        for pc in entries(self._program):
            if pc not in self._callbacks.values():
                self._reach(pc, UNKNOWN)
        while self._pending:
            self._step(self._pending.pop())
        asks = {
            pc: asked for pc in self._ways
            if (i := self._program.code[pc]) and (asked := asked_on_line(i, self._before[pc]))
        }  # fmt: skip
        return Decided({pc: frozenset(ways) for pc, ways in self._ways.items()}, asks)

    def _reach(self, pc: int, registers: Registers) -> None:
        before = self._before.get(pc)
        joined = registers
        if before is not None:
            more = self._hulls["joined", pc] < MOST_HULLS
            joined = tuple(meet(one, other, hulls=more) for one, other in zip(before, registers, strict=True))
        if joined != before:
            self._hulls["joined", pc] += before is not None
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
                self._reach(following[way ^ 1], self._told(instruction, registers, way))
        else:
            for after in following:
                self._reach(after, self._after(pc, instruction, registers))

    def _call(self, pc: int, instruction: Instruction, registers: Registers) -> None:
        """Go into a function of the policy's own, and on where it is known to come back."""
        reference = instruction.reference
        kept = registers[CALLER_SAVED:]
        if reference is None or reference.kind != "function":
            self._reach(pc + 1, (self._result(pc, instruction, registers), *UNKNOWN[1:CALLER_SAVED], *kept))
            return
        callee = reference.offset
        self._callers.setdefault(callee, set()).add(pc)
        self._reach(callee, (None, *registers[1:CALLER_SAVED], *UNKNOWN[CALLER_SAVED:-1], registers[-1]))
        if callee in self._returned:
            self._reach(pc + 1, (self._returned[callee], *UNKNOWN[1:CALLER_SAVED], *kept))

    def _return(self, pc: int, value: Known) -> None:
        function = self._function.get(pc, -1)
        known = function in self._returned
        more = self._hulls["returned", function] < MOST_HULLS
        joined = meet(self._returned[function], value, hulls=more) if known else value
        if not known or joined != self._returned[function]:
            self._hulls["returned", function] += known
            self._returned[function] = joined
            self._pending += self._callers.get(function, ())

    def _result(self, pc: int, instruction: Instruction, registers: Registers) -> Known:
        """What a helper or kfunc returns."""
        reference = instruction.reference
        if reference is None:
            return None
        helper = reference.kind == "helper"
        name = HELPERS.get(reference.offset, ("", 0))[0] if helper else kernel_name(reference.name)
        if name == "scx_bpf_get_online_cpumask":
            return Made(MASK_ON_LINE)
        if name == "bpf_cpumask_test_cpu" and registers[2] == Made(MASK_ON_LINE):
            own = isinstance(registers[1], Range) and registers[1].own
            return self._on_line(pc, registers) if own else Made(ON_LINE_IS)
        return result(name, self._cpus)

    def _on_line(self, pc: int, registers: Registers) -> Known:
        members = self._from.get(self._function.get(pc, -1), frozenset())
        if members and members <= ON_LINE:
            return 1
        known = registers[-1]
        same = bool(members) and members <= INTERRUPTS_OFF
        return known if isinstance(known, int) and same else Made(ON_LINE_IS, OWN)

    @staticmethod
    def _told(instruction: Instruction, registers: Registers, way: int) -> Registers:
        """The registers after a conditional jump that went that way."""
        asked = asked_on_line(instruction, registers)
        if asked is None or not asked[1]:
            return registers
        return (*registers[:-1], int(way != asked[0]))

    def _feasible(self, instruction: Instruction, registers: Registers) -> tuple[int, ...]:
        op, width = instruction.code & 0xF0, 64 if instruction.kind == JMP else 32
        a = registers[instruction.dst]
        b = registers[instruction.src] if instruction.code & BY_REGISTER else instruction.imm & MASK
        if isinstance(a, At) and b == 0 and op in (JEQ, JNE) and width == 64:
            return (JUMPED,) if op == JNE else (WENT_ON,)
        if not isinstance(a, int | Range) or not isinstance(b, int | Range) or (op != JSET and op not in OPPOSITE):
            return (JUMPED, WENT_ON)
        if isinstance(a, Range) or isinstance(b, Range):
            return tuple(JUMPED if taken else WENT_ON for taken in sorted(outcomes(op, a, b, width), reverse=True))
        taken = bool(a & b & (1 << width) - 1) if op == JSET else holds(op, a, b, width)
        return (JUMPED,) if taken else (WENT_ON,)

    def _after(self, pc: int, instruction: Instruction, registers: Registers) -> Registers:
        """The registers after an instruction that neither calls nor jumps."""
        kind, changed = instruction.kind, [instruction.dst]
        value: Known = None
        patched = pc in self._relocated
        if kind in (ALU, ALU64):
            value = applied(instruction, registers)
        elif instruction.code == LDDW:
            value = immediate(instruction)
        elif kind == LDX:
            value = self._loaded(instruction, registers[instruction.src])
            patched = patched and not instruction.field
        elif kind == STX and instruction.code & 0xE0 == ATOMIC:
            changed = [0, instruction.src, instruction.dst]  # what it fetched
        else:
            changed = []
        if patched:
            value = None
        return tuple(value if index in changed else held for index, held in enumerate(registers))

    def _loaded(self, instruction: Instruction, pointer: Known) -> Known:
        if isinstance(pointer, Made) and pointer.kind == CONTEXT:
            return argument(pointer.of, instruction.off, instruction.size, self._cpus)
        if instruction.field and instruction.code & 0xE0 != SIGNED:
            return field(instruction.field, instruction.size)
        if not isinstance(pointer, At) or not pointer.section.startswith(RODATA):
            return None
        size, at = instruction.size, signed((pointer.offset + instruction.off) & MASK)
        data = self._program.data.get(pointer.section, b"")
        if not 0 <= at <= len(data) - size or any((pointer.section, at + i) in self._open for i in range(size)):
            return None
        number = int.from_bytes(data[at : at + size], "little")
        return signed(number, 8 * size) & MASK if instruction.code & 0xE0 == SIGNED else number

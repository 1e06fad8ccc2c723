# SPDX-License-Identifier: Apache-2.0
"""The ALU of the walk: moves, arithmetic, and 64-bit immediates with what relocations make of them."""

from __future__ import annotations

from verifier_vm.object.decode import ALU64, BY_REGISTER, Instruction
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.kernel import MOST_TASKS, exists
from verifier_vm.object.record import Record
from verifier_vm.object.state import State
from verifier_vm.object.values import MASK, MASK32, Expr, Value, Values, signed

NAMES = {0x00: "add", 0x10: "sub", 0x20: "mul", 0x30: "div", 0x40: "or", 0x50: "and", 0x60: "lsh", 0x70: "rsh",
         0x90: "mod", 0xA0: "xor", 0xC0: "arsh"}  # fmt: skip
MOV, NEG = 0xB0, 0x80


class Alu:
    """Instructions that only compute; `looping` are the pcs that lie on loops."""

    def __init__(self, values: Values, record: Record, looping: set[int]) -> None:
        self._values, self._record, self._looping = values, record, looping

    def apply(self, state: State, instruction: Instruction, entry: str) -> None:
        """Carry out one of class ALU or ALU64."""
        wide, op = instruction.kind == ALU64, instruction.code & 0xF0
        if op == MOV:
            state.registers[instruction.dst] = self._moved(state, instruction, wide=wide)
            return
        value = self.register(state, instruction.dst)
        if op == NEG:
            result = self._values.compute("sub", 0, value, wide=wide)
        elif op not in NAMES:  # byte swaps
            result = self._values.make("swap", (instruction.code, instruction.imm), value)
        else:
            by_register = instruction.code & BY_REGISTER
            other = self.register(state, instruction.src) if by_register else instruction.imm & MASK
            name = NAMES[op]
            if instruction.off == 1 and name in ("div", "mod"):
                name = f"s{name}"
            result = self._values.compute(name, value, other, wide=wide)
            if (divisor := _divisor_of(name, value, other)) is not None and isinstance(result, Expr):
                result = self._values.make("share", (state.pc, state.chain), divisor)
            if name == "and":
                self.note_mask(result, entry)
        state.registers[instruction.dst] = self._settled(state, result)

    def register(self, state: State, index: int) -> Value:
        """What a register holds; something unknown for one that was never set."""
        value = state.registers[index] if index <= 10 else None
        return value if value is not None else self._values.make("any", "unset")

    def immediate(self, instruction: Instruction) -> Value:
        """The value of a 64-bit immediate."""
        if instruction.code != 0x18:
            raise ObjectError("the object uses packet loads, which no policy may", "code")
        reference = instruction.reference
        if reference is None:
            return instruction.imm & MASK
        if reference.kind == "extern":
            return self._values.make("extern", reference.name) if exists(reference.name) else 0
        if reference.kind == "function":
            return self._values.make("function", reference.offset)
        if reference.kind == "map":
            return self._values.make("map", reference.name)
        return self._values.add(self._values.make("data", reference.name), reference.offset)

    def _settled(self, state: State, value: Value) -> Value:
        settled = self._values.settle(value, (state.pc, state.chain))
        if settled is not value and isinstance(settled, Expr) and (state.looping or state.pc in self._looping):
            state.make_new(settled, self._values)
        return settled

    def _moved(self, state: State, instruction: Instruction, *, wide: bool) -> Value:
        if not instruction.code & BY_REGISTER:
            return instruction.imm & MASK if wide else instruction.imm & MASK32
        value = self.register(state, instruction.src)
        if instruction.off in (8, 16, 32):
            if isinstance(value, int):
                extended = signed(value & (1 << instruction.off) - 1, instruction.off) & MASK
                return extended if wide else extended & MASK32
            return self._values.make("extend", instruction.off, value)
        return value if wide else self._values.low(value)  # off 1 casts between an arena's two address spaces

    def note_mask(self, value: Value, entry: str) -> None:
        """Remember which flags of an argument were looked at, also behind a shift to the right."""
        if not isinstance(value, Expr) or not isinstance(value.b, int):
            return
        mask, inner = value.b, value.a
        while isinstance(inner, Expr) and inner.op in ("rsh", "low") and inner.a is not None:
            mask, inner = mask << (inner.b if isinstance(inner.b, int) and inner.b < 64 else 0), inner.a
        if isinstance(inner, Expr) and inner.op == "arg":
            self._record.masks.add((entry, str(inner.key), mask & MASK))


def _divisor_of(name: str, value: Value, other: Value) -> Expr | None:
    """What a number was divided by that may be more than it, so that 0 is left, or a multiple of that; else None.

    Only of a known number, no larger than a count can be: a slice of 20 ms is not less than how many wait.
    """
    if name in ("div", "sdiv") and isinstance(value, int) and isinstance(other, Expr):
        return other if value < MOST_TASKS else None
    if name in ("mul", "lsh") and isinstance(other, int):
        while isinstance(value, Expr) and value.op == "low" and value.a is not None:
            value = value.a
        if isinstance(value, Expr) and value.op == "share" and isinstance(value.a, Expr):
            return value.a
    return None

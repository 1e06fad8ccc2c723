# SPDX-License-Identifier: Apache-2.0
"""Walking every path of every callback with numbers where they are known: bounded, and in the same order every time.

A branch on what is not known goes both ways. Two paths that come to one place with the same live registers and the same
record of the task are one, unless what they know of memory and branches differs; after VISITS of those it is forgotten.
"""

from __future__ import annotations

from verifier_vm.object import limits
from verifier_vm.object.branch import JEQ, JNE, JSET, OPPOSITE, ORDERED, assume
from verifier_vm.object.calls import Calls
from verifier_vm.object.decode import (ALU, ALU64, BY_REGISTER, CALL, EXIT, JA, JMP, JMP32, LD, LDX, ST,
                                       Instruction)  # fmt: skip
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.flow import Flow, read_flow
from verifier_vm.object.kernel import HELPERS, exists
from verifier_vm.object.memory import Memory, is_atomic
from verifier_vm.object.program import Program
from verifier_vm.object.record import Call, Ending, Record
from verifier_vm.object.state import Frame, State
from verifier_vm.object.values import MASK, Expr, Value, Values, is_vtime, signed

ALU_NAMES = {0x00: "add", 0x10: "sub", 0x20: "mul", 0x30: "div", 0x40: "or", 0x50: "and", 0x60: "lsh", 0x70: "rsh",
             0x90: "mod", 0xA0: "xor", 0xC0: "arsh"}  # fmt: skip
MOV, NEG, MAY_GOTO = 0xB0, 0x80, 0xE0
ADDRESS_CAST = 1  # off of a 64-bit MOV: between an arena's two address spaces
LOOP_ROUNDS = 2  # a second round shows what one path does twice
# Helpers that call a function of the policy's within the callback: (argument that is it, arguments it gets, from where).
CALLBACK_HELPERS = {
    "loop": (1, (None, 2)),
    "for_each_map_elem": (1, (0, None, None, 2)),
    "user_ringbuf_drain": (1, (None, 2)),
}
LATER = ("timer_set_callback", "bpf_wq_set_callback_impl", "bpf_wq_set_callback")  # their second argument runs later


class Walk:
    """One object's walk; `record` is what it saw. Callbacks are walked one by one with `entry`."""

    def __init__(self, program: Program) -> None:
        self.record, self.values = Record(), Values()
        self._program, self._code = program, program.code
        self._flow: Flow = read_flow(program)
        self._memory = Memory(program, self.values, self.record, self._flow)
        self._calls = Calls(program, self.values, self.record, self._memory, self._flow)
        self._own_lines = _own_lines(program)
        self.later: dict[int, str] = {}
        self._entry = ""

    def entry(self, name: str, pc: int) -> None:
        """Walk the callback `name`, whose first instruction is at `pc`."""
        self._entry = name
        context = self.values.make("ctx")
        start = State(pc, [None, context, *[None] * 8, self.values.make("frame", 0)])
        self._pending, self._budget = [start], limits.STEPS_PER_ENTRY
        self._seen: dict[tuple[object, ...], list[State]] = {}
        self._visits: dict[tuple[object, ...], tuple[int, State]] = {}
        while self._pending:
            state = self._pending.pop()
            if self._budget <= 0 or self.record.steps >= limits.STEPS or self.values.full:
                self.record.incomplete[name] = "it has more paths than are walked"
                return
            self._run(state)

    def _run(self, state: State) -> None:
        """Follow one path until it ends, joins one that was walked, or splits."""
        code, joins = self._code, self._flow.joins
        going = True
        while going:
            instruction = code[state.pc] if 0 <= state.pc < len(code) else None
            if instruction is None:
                raise ObjectError(f"control in .{self._entry} runs out of the code", "code")
            if state.pc in joins and self._walked(state):
                return
            if state.pc in self._own_lines:
                state.line = state.pc
            self.record.steps += 1
            self._budget -= 1
            if self._budget <= 0:
                self._pending.append(state)
                return
            going = self._step(state, instruction)

    def _walked(self, state: State) -> bool:
        """Has this place been walked from with nothing less known? If too often, forget some of it."""
        live = self._flow.live[state.pc]
        place = (state.pc, tuple(frame.back for frame in state.frames))
        visits, last = self._visits.get(place, (0, state))
        if visits > limits.WIDEN_VISITS:
            state.forget_registers(last, live, self.values)
        state.forget_settled(self._flow)
        key = state.key(live)
        earlier = self._seen.setdefault(key, [])
        if any(state.covered_by(other) for other in earlier):
            return True
        if len(earlier) >= limits.VISITS:
            state.forget(earlier[-1])
            key = state.key(live)
            earlier = self._seen.setdefault(key, [])
            if any(state.covered_by(other) for other in earlier):
                return True
            if len(earlier) >= limits.VISITS:
                state.stack = {}
        kept = state.fork(state.pc)
        earlier.append(kept)
        self._visits[place] = (visits + 1, kept)
        return False

    def _step(self, state: State, instruction: Instruction) -> bool:
        kind = instruction.kind
        if kind in (ALU64, ALU):
            self._alu(state, instruction)
        elif kind == LDX:
            state.registers[instruction.dst] = self._memory.load(state, instruction, self._entry)
        elif kind in (JMP, JMP32):
            return self._jump(state, instruction)
        elif kind == LD:
            state.registers[instruction.dst] = self._load_immediate(state, instruction)
            state.pc += 1
        elif kind == ST:
            self._memory.store(state, instruction, instruction.imm & MASK, self._entry)
        elif is_atomic(instruction):
            self._memory.atomic(state, instruction, self._entry)
        else:
            self._memory.store(state, instruction, self._register(state, instruction.src), self._entry)
        state.pc += 1
        return True

    def _register(self, state: State, index: int) -> Value:
        value = state.registers[index] if index <= 10 else None
        return value if value is not None else self.values.make("any", "unset")

    def _load_immediate(self, state: State, instruction: Instruction) -> Value:
        if instruction.code != 0x18:
            raise ObjectError("the object uses packet loads, which no policy may", "code")
        reference = instruction.reference
        if reference is None:
            return instruction.imm & MASK
        if reference.kind == "extern":
            return self.values.make("extern", reference.name) if exists(reference.name) else 0
        if reference.kind == "function":
            return self.values.make("function", reference.offset)
        if reference.kind == "map":
            return self.values.make("map", reference.name)
        return self.values.add(self.values.make("data", reference.name), reference.offset)

    def _alu(self, state: State, instruction: Instruction) -> None:
        wide, op = instruction.kind == ALU64, instruction.code & 0xF0
        dst = instruction.dst
        if op == MOV:
            state.registers[dst] = self._moved(state, instruction, wide=wide)
            return
        value = self._register(state, dst)
        if op == NEG:
            state.registers[dst] = self._settled(state, self.values.compute("sub", 0, value, wide=wide))
            return
        if op not in ALU_NAMES:  # byte swaps
            state.registers[dst] = self.values.make("swap", (instruction.code, instruction.imm), value)
            return
        by_register = instruction.code & BY_REGISTER
        other = self._register(state, instruction.src) if by_register else instruction.imm & MASK
        name = ALU_NAMES[op]
        if instruction.off == 1 and name in ("div", "mod"):
            name = f"s{name}"
        result = self._settled(state, self.values.compute(name, value, other, wide=wide))
        state.registers[dst] = result
        if name == "and":
            self._note_mask(result)

    def _settled(self, state: State, value: Value) -> Value:
        settled = self.values.settle(value, (state.pc, tuple(frame.back for frame in state.frames)))
        if settled is not value and isinstance(settled, Expr) and (state.looping or state.pc in self._flow.looping):
            state.make_new(settled, self.values)
        return settled

    def _moved(self, state: State, instruction: Instruction, *, wide: bool) -> Value:
        if not instruction.code & BY_REGISTER:
            return instruction.imm & MASK if wide else instruction.imm & 0xFFFFFFFF
        value = self._register(state, instruction.src)
        if instruction.off in (8, 16, 32):
            if isinstance(value, int):
                extended = signed(value & (1 << instruction.off) - 1, instruction.off) & MASK
                return extended if wide else extended & 0xFFFFFFFF
            return self.values.make("extend", instruction.off, value)
        return value if wide else self.values.low(value)

    def _note_mask(self, value: Value) -> None:
        """Remember which flags of an argument were looked at, also behind a shift to the right."""
        if not isinstance(value, Expr) or not isinstance(value.b, int):
            return
        mask, inner = value.b, value.a
        while isinstance(inner, Expr) and inner.op in ("rsh", "low") and inner.a is not None:
            mask, inner = mask << (inner.b if isinstance(inner.b, int) and inner.b < 64 else 0), inner.a
        if isinstance(inner, Expr) and inner.op == "arg":
            self.record.masks.add((self._entry, str(inner.key), mask & MASK))

    def _jump(self, state: State, instruction: Instruction) -> bool:
        op = instruction.code & 0xF0
        if op == CALL:
            return self._call(state, instruction)
        if op == EXIT:
            return self._exit(state)
        if op == JA:
            state.pc += 1 + (instruction.imm if instruction.kind == JMP32 else instruction.off)
            return True
        target = state.pc + 1 + instruction.off
        if op == MAY_GOTO:
            self._pending.append(state.fork(target))
            state.pc += 1
            return True
        return self._branch(state, instruction, op, target)

    def _branch(self, state: State, instruction: Instruction, op: int, target: int) -> bool:
        wide = instruction.kind == JMP
        a = self._register(state, instruction.dst)
        b: Value = instruction.imm & MASK
        if instruction.code & BY_REGISTER:
            b = self._register(state, instruction.src)
        if not wide:
            a, b = self.values.low(a), self.values.low(b)
        if op == JSET:
            a, b, op = self.values.compute("and", a, b, wide=wide), 0, JNE
            self._note_mask(a)
        for value in (a, b):
            if isinstance(value, Expr):
                self.record.tested |= value.leaves
                if op in ORDERED and not state.path.compared and any(map(is_vtime, value.leaves)):
                    state.path = state.path._replace(compared=True)
        taken = state.fork(target)
        can_take = assume(taken, op, a, b, wide=wide)
        can_pass = assume(state, OPPOSITE[op], a, b, wide=wide) if op in OPPOSITE else True
        if can_take:
            self._after_branch(taken, op, a, b)
        if can_pass and op in OPPOSITE:
            self._after_branch(state, OPPOSITE[op], a, b)
        if can_take and can_pass:
            self._pending.append(taken)
        elif can_take:
            state.pc, state.known, state.path = target, taken.known, taken.path
            return True
        state.pc += 1
        return can_pass

    @staticmethod
    def _after_branch(state: State, op: int, a: Value, b: Value) -> None:
        """Where the result of keeping the task turns out an error, it was not kept."""
        pushed = state.path.pushed
        if pushed is None or not isinstance(a, Expr) or not isinstance(b, int) or pushed not in a.leaves:
            return
        failed = (op == JNE and b == 0) or (op not in (JEQ, JNE) and _below_zero(state, a))
        if failed:
            state.path = state.path._replace(kept=0, pushed=None)

    def _call(self, state: State, instruction: Instruction) -> bool:
        reference = instruction.reference
        looping = state.pc in self._flow.looping or state.looping
        if reference is None:
            raise ObjectError("a call to nothing", "code")
        if reference.kind == "function":
            return self._enter(state, reference.offset, tuple(state.registers[1:6]), state.pc + 1, looping=looping)
        name = HELPERS.get(reference.offset, ("", 0))[0] if reference.kind == "helper" else reference.name
        if (
            name.split("___")[0] in LATER
            and isinstance(state.registers[2], Expr)
            and state.registers[2].op == "function"
        ):
            self.later.setdefault(int(str(state.registers[2].key)), self._entry)
        if name in CALLBACK_HELPERS and self._loop(state, name):
            return True
        self._calls.apply(state, reference, self._entry, looping=looping)
        state.pc += 1
        return True

    def _loop(self, state: State, name: str) -> bool:
        """A helper that calls back: walk the function once, and once more; or not at all where it may do nothing."""
        index, sources = CALLBACK_HELPERS[name]
        callee = state.registers[1 + index]
        if not isinstance(callee, Expr) or callee.op != "function" or not isinstance(callee.key, int):
            return False
        count = state.registers[1] if name == "loop" else None
        if count == 0:
            return False
        arguments = tuple(
            self.values.make("any", ("callback", state.pc, i)) if source is None else self._register(state, 1 + source)
            for i, source in enumerate(sources)
        )
        reference = self._code[state.pc]
        self.record.add_call(Call(self._entry, name, (count if isinstance(count, int) else callee,), (), state.pc, state.line,
                                  state.path, state.exact, looping=True))  # fmt: skip
        if not isinstance(count, int):
            around = state.fork(state.pc)
            if reference is not None and reference.reference is not None:
                self._calls.apply(around, reference.reference, self._entry, looping=True)
            around.pc += 1
            self._pending.append(around)
        rounds = LOOP_ROUNDS - 1 if count != 1 else 0
        return self._enter(state, callee.key, arguments, state.pc + 1, looping=True, rounds=rounds)

    def _enter(
        self, state: State, pc: int, arguments: tuple[Value | None, ...], back: int, *, looping: bool, rounds: int = 0
    ) -> bool:
        if len(state.frames) + 1 >= limits.FRAMES:
            self.record.incomplete[self._entry] = "its calls nest too deeply"
            return False
        live = self._flow.live[back]
        saved = tuple(state.registers[i] if live >> i & 1 or rounds else None for i in range(6, 10))
        given = tuple(self._register(state, 1 + i) if value is None else value for i, value in enumerate(arguments))
        frame = Frame(back, saved, looping, rounds, pc, given if rounds else ())
        state.frames = (*state.frames, frame)
        depth = len(state.frames)
        state.registers = [None, *[*arguments, *[None] * 5][:5], *[None] * 4, self.values.make("frame", depth)]
        state.pc = pc
        return True

    def _exit(self, state: State) -> bool:
        result = self._register(state, 0)
        if not state.frames:
            low = self.values.low(result)
            negative = bool(low >> 31 & 1) if isinstance(low, int) else _below_zero(state, low)
            self.record.add_ending(
                Ending(self._entry, state.path, result, state.pc, state.line, state.exact, negative))  # fmt: skip
            return False
        frame, depth = state.frames[-1], len(state.frames)
        for place in [place for place in state.stack if place[0] >= depth]:
            del state.stack[place]
        state.frames = state.frames[:-1]
        if frame.rounds and result != 1:
            again = state.fork(frame.back)
            again.registers[6:10] = frame.saved
            if self._enter(again, frame.callee, frame.arguments, frame.back, looping=True, rounds=frame.rounds - 1):
                self._pending.append(again)
        if frame.callee and frame.looping and not frame.rounds and frame.arguments:
            result = self.values.make("any", ("rounds", frame.back))
        state.registers[1:6] = [None] * 5
        state.registers[0] = result
        state.registers[6:10] = frame.saved
        state.registers[10] = self.values.make("frame", depth - 1)
        state.pc = frame.back
        return True


def _own_lines(program: Program) -> set[int]:
    """Where a line of the policy's own begins: not a header's, nor the one that opens a function, to which the compiler
    also puts down how it ends."""
    found: set[int] = set()
    for function in program.functions.values():
        own = {
            pc: line
            for pc in range(function.start, function.end)
            if (line := program.lines.get(pc)) and not line[0].endswith(".h")
        }
        lowest = min((line[1] for line in own.values()), default=0)
        found.update(pc for pc, line in own.items() if line[1] != lowest or len({x[1] for x in own.values()}) == 1)
    return found


def _below_zero(state: State, value: Expr) -> bool:
    """Do the branches taken leave only negative values?"""
    ranges = (state.known.get((32, value)), state.known.get((64, value)))
    return any(not isinstance(r, bool) and r is not None and r.largest < 0 for r in ranges)

# SPDX-License-Identifier: Apache-2.0
"""Walking every path of every callback with numbers where they are known: bounded, and in the same order every time.

A branch on what is not known goes both ways. Two paths that come to one place with the same live registers and the same
record of the task are one, unless what they know of memory and branches differs; after VISITS of those it is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

from verifier_vm.object import limits
from verifier_vm.object.alu import Alu
from verifier_vm.object.asked import note_condition
from verifier_vm.object.branch import JNE, JSET, OPPOSITE, ORDERED, assume, below_zero
from verifier_vm.object.calls import Calls
from verifier_vm.object.decode import ALU, ALU64, BY_REGISTER, CALL, EXIT, JA, JMP, JMP32, LD, LDX, ST, Instruction
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.facts import comes_from
from verifier_vm.object.flow import read_flow
from verifier_vm.object.frames import LOOPS, Frames
from verifier_vm.object.kernel import CPU_COUNTERS, CPU_GIVERS, DELETES, ENDING, FIRST, HELPERS, kernel_name
from verifier_vm.object.memory import Memory, is_atomic
from verifier_vm.object.names import note_name
from verifier_vm.object.outcomes import heed_missing, heed_result
from verifier_vm.object.program import Program, own_lines
from verifier_vm.object.record import Condition, Ending, Record
from verifier_vm.object.state import State
from verifier_vm.object.values import MASK, Expr, Value, Values, is_vtime

MAY_GOTO = 0xE0
CPU_NUMBERS = (*CPU_GIVERS, *CPU_COUNTERS)
# Their second argument is a function that runs later, outside the callback.
LATER = ("timer_set_callback", "bpf_wq_set_callback_impl", "bpf_wq_set_callback")


class Walk:
    """One object's walk; `record` is what it saw, `later` the functions that a callback starts to run later.
    `decided` are conditional jumps, by pc, that are taken for known: whether they jump. `most_dispatched`: up to which
    what dispatch inserts is counted.
    """

    def __init__(
        self, program: Program, decided: Mapping[int, bool] | None = None, *, most_dispatched: int = 0
    ) -> None:
        self.record, self.values, self._decided = Record(), Values(), decided or {}
        self.later: dict[int, str] = {}
        self._code, self._own_lines = program.code, own_lines(program)
        self._flow = read_flow(program)
        self._alu = Alu(self.values, self.record, self._flow.looping)
        self._memory = Memory(program, self.values, self.record, self._flow)
        self._calls = Calls(program, self.values, self.record, self._memory, self._flow)
        self._calls.most_dispatched = most_dispatched
        self._widens = limits.COUNTED_VISITS if most_dispatched else limits.WIDEN_VISITS
        self._frames = Frames(self.values, self.record, self._flow, self._alu, self._calls)

    def entry(self, name: str, pc: int) -> None:
        """Walk the callback `name`, whose first instruction is at `pc`."""
        self._entry, self._budget = name, min(limits.STEPS_PER_ENTRY, limits.STEPS - self.record.steps)
        context, frame = self.values.make("ctx"), self.values.make("frame", 0)
        self._pending = [State(pc, [None, context, *[None] * 8, frame])]
        self._seen: dict[tuple[object, ...], list[State]] = {}
        self._visits: dict[tuple[object, ...], tuple[int, State]] = {}
        while self._pending:
            state = self._pending.pop()
            if self._budget <= 0 or self.values.full:
                self.record.incomplete[name] = "it has more paths than are walked"
                return
            self._run(state)

    def _run(self, state: State) -> None:
        """Follow one path until it ends, joins one that was walked, or splits."""
        code, joins, size, walked = self._code, self._flow.joins, len(self._code), self.record.walked
        while True:
            pc = state.pc
            instruction = code[pc] if 0 <= pc < size else None
            if instruction is None:
                raise ObjectError(f"control in .{self._entry} runs out of the code", "code")
            if pc in joins and self._walked(state):
                return
            walked.add(pc)
            if pc in self._own_lines:
                state.line = pc
            cost = 1 + state.weight()
            self.record.steps += cost
            self._budget -= cost
            if self._budget <= 0:
                self._pending.append(state)
                return
            if not self._step(state, instruction):
                return

    def _walked(self, state: State) -> bool:
        """Has this place been walked from with nothing less known? If too often, forget some of it."""
        live = self._flow.live[state.pc]
        place = (state.pc, state.chain)
        visits, last = self._visits.get(place, (0, state))
        if visits > self._widens and (state.looping or state.pc in self._flow.looping):
            state.forget_registers(last, live, self.values)
        state.forget_settled(self._flow)
        earlier = self._seen.setdefault(state.key(live), [])
        if any(state.covered_by(other) for other in earlier):
            return True
        if len(earlier) >= limits.VISITS:
            state.forget(earlier[-1])
            earlier = self._seen.setdefault(state.key(live), [])
            if any(state.covered_by(other) for other in earlier):
                return True
            if len(earlier) >= limits.VISITS:
                state.stack = {}
        kept = state.fork(state.pc)
        earlier.append(kept)
        self._visits[place] = (visits + 1, kept)
        return False

    def _step(self, state: State, instruction: Instruction) -> bool:
        """Carry out one instruction; False when the path ends here."""
        kind = instruction.kind
        if kind in (ALU64, ALU):
            self._alu.apply(state, instruction, self._entry)
        elif kind == LDX:
            state.registers[instruction.dst] = self._memory.load(state, instruction, self._entry)
        elif kind in (JMP, JMP32):
            return self._jump(state, instruction)
        elif kind == LD:
            state.registers[instruction.dst] = self._alu.immediate(instruction)
            state.pc += 1
        elif kind == ST:
            self._memory.store(state, instruction, instruction.imm & MASK, self._entry)
        elif is_atomic(instruction):
            self._memory.atomic(state, instruction, self._entry)
        else:
            self._memory.store(state, instruction, self._alu.register(state, instruction.src), self._entry)
        state.pc += 1
        return True

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
        a = self._alu.register(state, instruction.dst)
        b: Value = instruction.imm & MASK
        if instruction.code & BY_REGISTER:
            b = self._alu.register(state, instruction.src)
        if not wide:
            a, b = self.values.low(a), self.values.low(b)
        if op == JSET:
            a, b, op = self.values.compute("and", a, b, wide=wide), 0, JNE
            self._alu.note_mask(a, self._entry)
        if op not in OPPOSITE:
            raise ObjectError(f"an unknown kind of jump ({instruction.code:#x})", "code")
        self._note_test(state, op, a, b, 64 if wide else 32)
        taken = state.fork(target)
        can_take = assume(taken, op, a, b, wide=wide)
        can_pass = assume(state, OPPOSITE[op], a, b, wide=wide)
        for way, holds in ((taken, op), (state, OPPOSITE[op])):
            heed_result(way, holds, a, b)
            heed_missing(way, holds, a, b, first=self._entry in FIRST)
        if (jumps := self._decided.get(state.pc)) is not None:
            can_take, can_pass = can_take and jumps, can_pass and not jumps
            for way in (taken, state):
                way.path = way.path._replace(decided=True)
        if can_take and can_pass:
            self._pending.append(taken)
        elif can_take:
            state.pc, state.known, state.path, state.exact = target, taken.known, taken.path, taken.exact
            return True
        state.pc += 1
        return can_pass

    def _note_test(self, state: State, op: int, a: Value, b: Value, width: int) -> None:
        condition = Condition(op, a, b, width)
        note_condition(self.record, condition)
        if self._entry == "dispatch":
            self.record.add_test(self.record.tests, state.pc, condition)
        if comes_from(a, *CPU_NUMBERS) or comes_from(b, *CPU_NUMBERS):
            self.record.add_test(self.record.cpu_tests, state.pc, condition)
        note_name(state, self.record, op, a, b, self.values.made_of)
        for value, number in ((a, b), (b, a)):
            if isinstance(number, int) and comes_from(value, *CPU_GIVERS):
                self.record.cpu_limits.setdefault(number, (self._entry, state.line, state.pc))
        for value in (a, b):
            if isinstance(value, Expr):
                self.record.tested |= value.leaves
                if op in ORDERED and a not in (0, 1) and b not in (0, 1):
                    self.record.ordered |= value.leaves
                if op in ORDERED and not state.path.compared and any(map(is_vtime, value.leaves)):
                    state.path = state.path._replace(compared=True)

    def _call(self, state: State, instruction: Instruction) -> bool:
        reference = instruction.reference
        if reference is None:
            raise ObjectError("a call to nothing", "code")
        looping = state.pc in self._flow.looping or state.looping
        if reference.kind == "function":
            arguments = tuple(state.registers[1:6])
            return self._frames.enter(state, reference.offset, arguments, self._entry, looping=looping)
        helper = reference.kind == "helper"
        name = HELPERS.get(reference.offset, ("", 0))[0] if helper else kernel_name(reference.name)
        callee = state.registers[2]
        if name in LATER and isinstance(callee, Expr) and callee.op == "function" and isinstance(callee.key, int):
            self.later.setdefault(callee.key, self._entry)
        if name in LOOPS:
            followed, around = self._frames.loop(state, name, reference, self._entry)
            self._pending += [around] if around else []
            if followed:
                return True
        self._calls.apply(state, reference, self._entry, looping=looping)
        if name in ENDING:  # what comes after it runs for nobody: the kernel has taken the policy off
            self.record.add_ending(Ending(self._entry, state.path, 0, state.pc, state.line, state.exact))
            return False
        state.pc += 1
        return True

    def note_always(self) -> None:
        """Remember which maps hold something for every task, or cgroup: the callbacks that see it first are walked."""
        called = (code.reference for code in self._code if code and code.reference)
        if any(reference.kind == "helper" and reference.offset in DELETES for reference in called):
            return
        always = set[str]()
        for entry in FIRST:
            made = [ending.path.made for ending in self.record.endings.values()
                    if ending.entry == entry and not ending.negative and not ending.path.ended]  # fmt: skip
            if made and entry not in self.record.incomplete:
                always |= frozenset.intersection(*made)
        self._calls.always = frozenset(always)

    def _exit(self, state: State) -> bool:
        if state.frames:
            again = self._frames.leave(state, self._entry)
            self._pending += [again] if again else []
            return True
        result = self._alu.register(state, 0)
        low = self.values.low(result)
        negative = bool(low >> 31 & 1) if isinstance(low, int) else below_zero(state, low)
        self.record.add_ending(
            Ending(self._entry, state.path, result, state.pc, state.line, state.exact, negative))  # fmt: skip
        return False

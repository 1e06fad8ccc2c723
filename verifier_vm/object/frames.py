# SPDX-License-Identifier: Apache-2.0
"""Functions of the policy's own in the walk: entering one, coming back, and helpers that call one in a loop."""

from __future__ import annotations

from verifier_vm.object import limits
from verifier_vm.object.alu import Alu
from verifier_vm.object.calls import Calls
from verifier_vm.object.decode import Reference
from verifier_vm.object.flow import Flow
from verifier_vm.object.record import Call, Record
from verifier_vm.object.state import Frame, State
from verifier_vm.object.values import Expr, Value, Values

ROUNDS = 2  # a second round of a loop shows what one path does twice
# Helpers that call a function within the callback: which argument it is, and what it gets (None: not known).
LOOPS: dict[str, tuple[int, tuple[int | None, ...]]] = {
    "loop": (1, (None, 2)), "for_each_map_elem": (1, (0, None, None, 2)), "user_ringbuf_drain": (1, (None, 2)),
}  # fmt: skip


class Frames:
    """Calls that are followed."""

    def __init__(self, values: Values, record: Record, flow: Flow, alu: Alu, calls: Calls) -> None:
        self._values, self._record, self._flow, self._alu, self._calls = values, record, flow, alu, calls

    def enter(
        self, state: State, pc: int, arguments: tuple[Value | None, ...], entry: str, *, looping: bool, rounds: int = 0
    ) -> bool:
        """Go on at a function's first pc; False where calls nest deeper than the kernel allows."""
        if len(state.frames) + 1 >= limits.FRAMES:
            self._record.incomplete[entry] = "its calls nest too deeply"
            return False
        back = state.pc + 1
        live = self._flow.live[back]
        saved = tuple(state.registers[i] if live >> i & 1 or rounds else None for i in range(6, 10))
        given = tuple(self._values.make("any", "unset") if x is None else x for x in arguments) if rounds else ()
        state.frames = (*state.frames, Frame(back, saved, looping, rounds, pc, given))
        frame = self._values.make("frame", len(state.frames))
        state.registers = [None, *[*arguments, *[None] * 5][:5], *[None] * 4, frame]
        state.pc = pc
        return True

    def leave(self, state: State, entry: str) -> State | None:
        """Come back from a function; also gives the path on which a loop calls it once more, if there is one."""
        result = self._alu.register(state, 0)
        frame, depth = state.frames[-1], len(state.frames)
        for place in [place for place in state.stack if place[0] >= depth]:
            del state.stack[place]
        state.frames = state.frames[:-1]
        state.registers[1:6] = [None] * 5
        state.registers[6:10] = frame.saved
        state.registers[10] = self._values.make("frame", depth - 1)
        again = None
        if frame.looping and result != 0:
            self._record.stopping.add(frame.callee)
        if frame.rounds and result != 1:
            again = state.fork(frame.back - 1)
            if not self.enter(again, frame.callee, frame.arguments, entry, looping=True, rounds=frame.rounds - 1):
                again = None
        state.registers[0] = self._values.make("any", ("rounds", frame.back)) if frame.arguments else result
        state.pc = frame.back
        return again

    def loop(self, state: State, name: str, reference: Reference, entry: str) -> tuple[bool, State | None]:
        """A helper that calls back: whether it is followed, and the path on which it calls nothing."""
        index, sources = LOOPS[name]
        callee = state.registers[1 + index]
        count = state.registers[1] if name == "loop" else None
        if not isinstance(callee, Expr) or callee.op != "function" or not isinstance(callee.key, int) or count == 0:
            return False, None
        rounds = count if isinstance(count, int) else None
        targets = (callee if rounds is None else rounds, callee)
        self._record.add_call(
            Call(entry, name, targets, (), state.pc, state.line, state.path, state.exact, looping=True)
        )
        arguments = tuple(
            self._values.make("any", ("callback", state.pc, i)) if s is None else self._alu.register(state, 1 + s)
            for i, s in enumerate(sources)
        )
        around = None
        if rounds is None:
            around = state.fork(state.pc)
            self._calls.apply(around, reference, entry, looping=True)
            around.pc += 1
        more = 0 if rounds == 1 else ROUNDS - 1
        return self.enter(state, callee.key, arguments, entry, looping=True, rounds=more), around

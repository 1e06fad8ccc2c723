# SPDX-License-Identifier: Apache-2.0
"""One path of the walk: registers, stack, what memory holds, what branches told, and what became of the task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from verifier_vm.object import limits
from verifier_vm.object.flow import Flow
from verifier_vm.object.record import Path
from verifier_vm.object.values import Expr, Value, Values, root


class Range(NamedTuple):
    """What branches told of a value: bounds as unsigned and as signed number, and a few that it is not."""

    low: int
    high: int
    smallest: int
    largest: int
    other_than: frozenset[int] = frozenset()


class Frame(NamedTuple):
    """A call to come back from: where to, the caller's registers 6 to 9, whether it lies on a loop; `rounds` is how
    often the callee is still to be called again (bpf_loop), with `arguments`."""

    back: int
    saved: tuple[Value | None, ...]
    looping: bool
    rounds: int = 0
    callee: int = 0
    arguments: tuple[Value, ...] = ()


FOUND_AGAIN = ("storage", "element")  # a second lookup gives the same
Slot = tuple[int, Value]  # bytes, value


@dataclass(slots=True)
class State:
    """`stack` is by (frame, offset), `memory` by (base, offset), `known` by (width, value) or (operation, two values).

    `line` is the last pc on the path whose source line is the policy's own and not a header's. `exact` ends when
    something was forgotten to keep the walk bounded: the path may then be one that cannot be taken.
    """

    pc: int
    registers: list[Value | None]
    stack: dict[tuple[int, int], Slot] = field(default_factory=dict)
    memory: dict[tuple[Value, int], Slot] = field(default_factory=dict)
    known: dict[tuple[object, ...], Range | bool] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    path: Path = field(default_factory=Path)
    line: int = -1
    exact: bool = True

    def fork(self, pc: int) -> State:
        """The same path, going on elsewhere."""
        return State(pc, self.registers[:], dict(self.stack), dict(self.memory), dict(self.known), self.frames,
                     self.path, self.line, self.exact)  # fmt: skip

    @property
    def chain(self) -> tuple[int, ...]:
        """Where the calls it is in came from."""
        return tuple(frame.back for frame in self.frames)

    def weight(self) -> int:
        """What a step costs besides itself, by how much is known; with too much, it is forgotten."""
        held = len(self.memory) + len(self.known) + len(self.stack)
        if held > limits.HELD:
            self.memory, self.known, self.stack, self.exact = {}, {}, {}, False
        return held // 16

    @property
    def looping(self) -> bool:
        """Can a caller's loop bring the path here again?"""
        return any(frame.looping for frame in self.frames)

    def key(self, live: int) -> tuple[object, ...]:
        """What tells two paths at one pc apart for good: live registers, callers, and what happened to the task."""
        registers = tuple(_id(value) if live >> i & 1 else None for i, value in enumerate(self.registers[:10]))
        frames = tuple((f.back, tuple(map(_id, f.saved)), f.rounds) for f in self.frames)
        return self.pc, registers, frames, self.path, self.exact

    def covered_by(self, other: State) -> bool:
        """Does `other`, with the same key, know no more than this one, so that walking it covers this?"""
        return (
            other.stack.items() <= self.stack.items()
            and other.memory.items() <= self.memory.items()
            and other.known.items() <= self.known.items()
        )

    def forget(self, other: State) -> None:
        """Drop what this path knows and `other` does not, of stack, memory and branches."""
        self.stack = dict(self.stack.items() & other.stack.items())
        self.memory, self.known, self.exact = {}, {}, False

    def forget_registers(self, other: State, live: int, values: Values) -> None:
        """Drop the live registers in which the two differ."""
        for i in range(10):
            if (
                live >> i & 1
                and self.registers[i] is not other.registers[i]
                and self.registers[i] != other.registers[i]
            ):
                self.registers[i] = values.make("any", ("widened", self.pc, i))
        self.exact = False

    def forget_settled(self, flow: Flow) -> None:
        """Drop what nothing can ask about again: memory and stack that is not read any more, and what branches told of
        values that nothing holds any more."""
        live, loads, held = flow.live[self.pc], flow.loads[self.pc], set[Expr]()
        for i, value in enumerate(self.registers[:10]):
            if isinstance(value, Expr) and live >> i & 1:
                held.add(value)
        for frame in self.frames:
            loads |= flow.loads[frame.back]
            held.update(value for value in (*frame.saved, *frame.arguments) if isinstance(value, Expr))
        self._forget_stack(flow, held)
        held.update(value for _, value in self.stack.values() if isinstance(value, Expr))
        leaves: set[Expr] = set().union(*(value.leaves for value in held))
        if self.memory:
            for base, offset in list(self.memory):
                place: object = (base.key, offset) if isinstance(base, Expr) and base.op == "data" else offset
                if not loads >> flow.places.get(place, 1 << 20) & 1 or not _within_reach(base, leaves):
                    del self.memory[base, offset]
            leaves.update(leaf for _, value in self.memory.values() if isinstance(value, Expr) for leaf in value.leaves)
        if self.known and not any(value.op == "ctx" for value in held):  # with it any argument can be read again
            for test in list(self.known):
                if not all(_within_reach(value, leaves) for value in test if isinstance(value, Expr)):
                    del self.known[test]

    def _forget_stack(self, flow: Flow, held: set[Expr]) -> None:
        if not self.stack:
            return
        masks = [flow.stack[frame.back] for frame in self.frames] + [flow.stack[self.pc]]
        for value in (
            *held,
            *(value for _, value in self.stack.values()),
            *(value for _, value in self.memory.values()),
        ):
            base, _ = root(value)
            if isinstance(base, Expr) and base.op == "frame" and isinstance(base.key, int) and base.key < len(masks):
                masks[base.key] |= 1
        for frame_index, offset in list(self.stack):
            mask = masks[frame_index] if frame_index < len(masks) else 0
            size = self.stack[frame_index, offset][0]
            if not mask & 1 and not mask >> max(-offset - size + 1, 1) & (1 << size) - 1:
                del self.stack[frame_index, offset]

    def make_new(self, leaf: Expr, values: Values) -> None:
        """`leaf` is about to be made again, on a loop: what holds or tells of the old one must not speak of the new."""
        old = values.make("any", ("before", id(leaf)))

        def renamed(value: Value | None) -> Value | None:
            return old if isinstance(value, Expr) and leaf in value.leaves else value

        self.registers = [renamed(value) for value in self.registers]
        for place, (size, value) in list(self.stack.items()):
            if isinstance(value, Expr) and leaf in value.leaves:
                self.stack[place] = (size, old)
        for key, (_, value) in list(self.memory.items()):
            if any(isinstance(x, Expr) and leaf in x.leaves for x in (value, key[0])):
                del self.memory[key]
        for test in list(self.known):
            if any(isinstance(x, Expr) and leaf in x.leaves for x in test):
                del self.known[test]
        if self.frames:
            self.frames = tuple(f._replace(saved=tuple(map(renamed, f.saved))) for f in self.frames)

    def write_stack(self, frame: int, offset: int, size: int, value: Value | None) -> None:
        """Store on a stack; None for a value that is not known."""
        for near in range(offset - 7, offset + size):
            slot = self.stack.get((frame, near))
            if slot and near + slot[0] > offset:
                del self.stack[frame, near]
        if value is not None:
            self.stack[frame, offset] = (size, value)

    def read_stack(self, frame: int, offset: int, size: int) -> Value | None:
        """What a stack holds at a place; None when it is not known."""
        slot = self.stack.get((frame, offset))
        if slot is None:
            return self._part_of_number(frame, offset, size)
        if slot[0] == size:
            return slot[1]
        if slot[0] > size and isinstance(slot[1], int):
            return slot[1] & (1 << 8 * size) - 1
        return None

    def _part_of_number(self, frame: int, offset: int, size: int) -> Value | None:
        for near in range(offset - 7, offset):
            slot = self.stack.get((frame, near))
            if slot and isinstance(slot[1], int) and near + slot[0] >= offset + size:
                return slot[1] >> 8 * (offset - near) & (1 << 8 * size) - 1
        return None

    def clobber_stack(self, frame: int, offset: int, size: int) -> None:
        """Somebody may have written there."""
        for place in [p for p in self.stack if p[0] == frame and offset <= p[1] < offset + size]:
            del self.stack[place]


def _within_reach(value: Value, leaves: set[Expr]) -> bool:
    """Can a path come by the value again, if it holds these leaves?"""
    return isinstance(value, int) or all(leaf in leaves or leaf.op in FOUND_AGAIN for leaf in value.leaves)


def _id(value: Value | None) -> object:
    return id(value) if isinstance(value, Expr) else value

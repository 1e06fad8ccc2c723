# SPDX-License-Identifier: Apache-2.0
"""What a policy asks of time and of a task's number and level: each condition as a function of the one unknown.

The walk keeps comparisons as formulas. A formula is computed for a moment, a number or a level, all else that it is
made of being 0: whoever makes situations finds by trying which of them takes which way of a branch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from verifier_vm.object import limits
from verifier_vm.object.branch import JEQ, holds
from verifier_vm.object.facts import Facts, Place, place_of
from verifier_vm.object.record import Condition, Record
from verifier_vm.object.values import MASK, MASK32, Expr, Value, fold, leaves_of, signed

Kind = Literal["time", "pid", "level"]
CLOCKS = ("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "scx_bpf_now")
JIFFIES = ("jiffies64", "jiffies", "jiffies_64")
STARTED = ("start_time", "start_boottime")  # when a task did, by the same clocks
NUMBERS = ("pid", "tgid", "get_current_pid_tgid")
HZ = 250  # of Debian's kernels
FIRST_JIFFY = (1 << 32) - 300 * HZ  # INITIAL_JIFFIES
S, LEVEL_IDLE = 1_000_000_000, 20  # one beyond nice 19 stands for SCHED_IDLE
# sched_prio_to_weight (kernel/sched/core.c), which user space knows: each level is 1.25 of the next, from -20 to 19.
WEIGHTS = (
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
    1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15, 3,
)  # fmt: skip
Read = Callable[[Expr], int]


@dataclass(frozen=True, slots=True)
class Question:
    """One condition of a policy: `answer` is what it comes to for a moment (ns), a task's number, or a nice level.

    Of time, `since` says that it is about how long ago something was, not about how long the machine has been up.
    `constants` are the numbers in it.
    """

    kind: Kind
    answer: Callable[[int], bool]
    since: bool = False
    constants: frozenset[int] = frozenset()


def note_condition(record: Record, condition: Condition) -> None:
    """Keep a comparison of what a guest can choose."""
    if any(_kind(leaf) for value in (condition.a, condition.b) for leaf in leaves_of(value)):
        record.add_condition(condition)


def questions(facts: Facts) -> Iterator[Question]:
    """Every condition on time, a task's number or its level; of several kinds in one, the first that it names."""
    for condition in facts.record.conditions.values():
        formula = _Formula(facts, condition)
        kind = next((kind for leaf in formula.leaves if (kind := _kind(leaf))), None)
        if kind is not None:
            yield Question(kind, formula.answer, formula.since, formula.constants)


def of_time(facts: Facts, value: Value) -> Callable[[int], int] | None:
    """What a value comes to at a moment (ns), all else being what it is at first; None where no clock is in it."""
    formula = _Formula(facts, Condition(JEQ, value, 0, 64))
    return formula.first if formula.has_clock else None


def weight_of(level: int) -> int:
    """p->scx.weight at a nice level (sched_weight_to_cgroup in kernel/sched/sched.h: 1024 is 100)."""
    return min(max((WEIGHTS[level + 20] * 100 + 512) // 1024, 1), 10_000)


def _name(leaf: Expr) -> str:
    if leaf.op == "arg":
        return f"argument {leaf.key}"
    return str(leaf.key[0]) if leaf.op in ("ret", "load") and isinstance(leaf.key, tuple) else ""


def _kind(leaf: Expr) -> Kind | None:
    name = _name(leaf)
    if name in CLOCKS or name in JIFFIES or name in STARTED:
        return "time"
    if name in NUMBERS:
        return "pid"
    return "level" if name in _LEVELS else None


_LEVELS: dict[str, Callable[[int], int]] = {
    "scx.weight": weight_of,
    "argument weight": weight_of,
    "se.load.weight": lambda level: WEIGHTS[level + 20] << 10,
    **dict.fromkeys(("static_prio", "prio", "normal_prio"), lambda level: 120 + min(level, 19)),
}


class _Formula:
    """A condition that can be computed."""

    def __init__(self, facts: Facts, condition: Condition) -> None:
        self._facts, self._condition = facts, condition
        self._parts = Parts(facts.made_of)
        for value in (condition.a, condition.b):
            self._parts.look(value)
        self.leaves = tuple(self._parts.leaves)
        names = [_name(leaf) for leaf in self.leaves]
        self.has_clock = any(name in CLOCKS or name in JIFFIES for name in names)
        self._other = {leaf: self._given(leaf) for leaf in self.leaves}
        self.constants = frozenset((*self._parts.numbers, *self._other.values()))
        self.since = self.has_clock and any(self._is_before(leaf) for leaf in self.leaves)

    def answer(self, chosen: int) -> bool:
        """What the comparison comes to for that moment, number or level."""
        a, b = (self._at(value, chosen) for value in (self._condition.a, self._condition.b))
        return holds(self._condition.op, a, b, self._condition.width)

    def first(self, chosen: int) -> int:
        """What its first part comes to."""
        return self._at(self._condition.a, chosen)

    def _at(self, value: Value, chosen: int) -> int:
        return self._parts.compute(value, lambda leaf: self._read(leaf, chosen), {})

    def _read(self, leaf: Expr, chosen: int) -> int:
        name = _name(leaf)
        if name in CLOCKS or (name in STARTED and not self.has_clock):
            return chosen
        if name in JIFFIES:
            return chosen * HZ // S + (0 if self.since else FIRST_JIFFY)
        if name == "get_current_pid_tgid":
            return chosen << 32 | chosen
        if name in NUMBERS:
            return chosen
        if name in _LEVELS:  # beside something else that was chosen: the usual one
            return _LEVELS[name](chosen if -20 <= chosen <= LEVEL_IDLE else 0)
        return self._other[leaf]

    def _is_before(self, leaf: Expr) -> bool:
        """Is it a moment that was, or something that was kept?"""
        return _name(leaf) in STARTED or (_kind(leaf) is None and not self._is_constant(leaf))

    def _is_constant(self, leaf: Expr) -> bool:
        place = place_in_memory(leaf)
        return place is not None and place[0] == "data" and place not in self._facts.written

    def _given(self, leaf: Expr) -> int:
        """What a place in memory holds at first, or is a time ahead of the one at which it was written; else 0."""
        place = place_in_memory(leaf)
        if place is None:
            return 0
        if self._is_constant(leaf):
            data = self._facts.program.data.get(str(place[1]), b"")
            return int.from_bytes(data[place[2] : place[2] + leaf.bits // 8], "little")
        ahead = 0
        for value in self._facts.written.get(place, ()):
            if any(_kind(part) == "time" for part in leaves_of(value)):
                parts = Parts(self._facts.made_of)
                parts.look(value)
                ahead = max(ahead, parts.compute(value, lambda _: 0, {}))
        return ahead


def place_in_memory(leaf: Expr) -> Place | None:
    """(what, which, offset) of the policy's own memory that a value was read from."""
    base = leaf.a
    if leaf.op != "load" or not isinstance(leaf.key, tuple) or not isinstance(leaf.key[0], int):
        return None
    return place_of(base, leaf.key[0]) if base is not None else None


class Parts:
    """What a formula is made of: its leaves and its numbers; what is too large or too deep is a leaf."""

    def __init__(self, made_of: Mapping[Expr, Value]) -> None:
        self._made_of = made_of
        self.leaves: dict[Expr, None] = {}
        self.numbers: set[int] = set()
        self._inner: dict[Expr, tuple[Value, ...]] = {}

    def look(self, value: Value, depth: int = 0) -> None:
        """Collect the parts of a value."""
        if isinstance(value, int):
            self.numbers.add(value)
            return
        if value in self._inner or value in self.leaves:
            return
        parts = (self._made_of[value],) if value in self._made_of else _parts(value)
        if not parts or depth > limits.FORMULA_DEPTH or len(self._inner) > limits.FORMULA:
            self.leaves.setdefault(value)
            return
        self._inner[value] = parts
        self.numbers |= {value.key} if value.op == "off" and isinstance(value.key, int) else set()
        for part in parts:
            self.look(part, depth + 1)

    def compute(self, value: Value, read: Read, known: dict[Expr, int]) -> int:
        """The number that a value is where its leaves are what `read` says."""
        if isinstance(value, int):
            return value
        if value not in known:
            parts = self._inner.get(value)
            known[value] = (
                read(value) & MASK
                if parts is None
                else _apply(value, [self.compute(part, read, known) for part in parts], made=value in self._made_of)
            )
        return known[value]


def _parts(value: Expr) -> tuple[Value, ...]:
    if value.op in ("arg", "ret", "load", "any", "share", "mix", "element", "storage"):
        return ()
    return tuple(part for part in (value.a, value.b) if part is not None)


def _apply(value: Expr, parts: Sequence[int], *, made: bool) -> int:
    if made or len(parts) == 1:
        (a,) = parts
        if made or not isinstance(value.key, int):
            return a & MASK32 if value.op == "low" else a
        return (a + value.key) & MASK if value.op == "off" else signed(a & (1 << value.key) - 1, value.key) & MASK
    return fold(value.op, parts[0], parts[1], 64)

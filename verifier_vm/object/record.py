# SPDX-License-Identifier: Apache-2.0
"""What the walk saw: calls, writes, and how paths ended. Checks read these records and nothing else of the walk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from verifier_vm.object import limits
from verifier_vm.object.values import Expr, Value

KEY = "key"  # what a map's update is for, among the fields of its call

SOME_QUEUE, FOUND = -1, -2


class Path(NamedTuple):
    """What has happened to the callback's task so far on one path.

    inserted: pcs of its inserts, at most two; kept: 0 no, 1 perhaps, 2 in a queue, list or map of the policy's own;
    ended: the policy asked to be ended; compared: p's vtime was compared with something; moved: a task was moved to the
    local queue; checked: the result that says whether the last of these worked; looked: ids of the queues that dispatch
    looked into, SOME_QUEUE where it is not known which, FOUND where one had something; made: maps that hold something
    for the task or cgroup, where the kernel first shows it; decided: it came by a jump that the walk was told of;
    dispatched: how many tasks dispatch inserted, in a walk that counts them; more_left: what a look at the task's slice
    found less than, or as much as, is left.
    """

    inserted: tuple[int, ...] = ()
    kept: int = 0
    ended: bool = False
    compared: bool = False
    moved: bool = False
    checked: Expr | None = None
    looked: frozenset[int] = frozenset()
    made: frozenset[str] = frozenset()
    decided: bool = False
    dispatched: int = 0
    more_left: Value | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call as some path makes it: `entry` is the callback, `name` the kernel's name, `fields` what an argument
    struct on the stack held."""

    entry: str
    name: str
    args: tuple[Value, ...]
    fields: tuple[tuple[str, Value], ...]
    pc: int
    line: int
    path: Path
    exact: bool
    looping: bool
    result: Expr | None = None

    def field(self, name: str) -> Value | None:
        """What the argument struct held under that name; None when it is not known."""
        return next((value for key, value in self.fields if key == name), None)


@dataclass(frozen=True, slots=True)
class Write:
    """A write into a map's value, a global or a task: `member` is the task's field where it is one."""

    entry: str
    base: Value
    offset: int
    member: str
    value: Value
    pc: int
    line: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a path through a callback ended; `value` is what it returns, `negative` whether that is surely below 0 as an
    int, `line` the last source line before that."""

    entry: str
    path: Path
    value: Value
    pc: int
    line: int
    exact: bool
    negative: bool = False


class Condition(NamedTuple):
    """A comparison that some path makes, in `width` bits; `op` is the jump's."""

    op: int
    a: Value
    b: Value
    width: int


@dataclass(slots=True)
class Record:
    """All that the walk saw, each once.

    masks: (callback, argument, bits) of flags that were looked at; reads: (callback, field of p, after an insert?,
    pc), with a line; tested: results that some branch looked at; ordered: those that were held to be more or less than
    some number above 1; asked: callbacks that read p's affinity; stopping: functions that can end the bpf_loop they are
    called from; indexed: (callback, pc) where the executing CPU's id is an index; constants: (section, offset) of what
    was read of .rodata; incomplete: by callback, why not all of it was walked; walked: the pcs that some path came by;
    cpu_limits: numbers that a CPU's number was compared with, with callback, line and pc of the first time;
    cpu_tests: by pc, comparisons of CPUs' numbers; tests: by pc, all that dispatch compares; conditions: comparisons
    of what a guest can choose: time, a task's number, level or name; names: what a name's bytes were compared with,
    as (place, byte); refills: by (callback, pc), (line, slice) of slices given that may be longer than what the task
    has left.
    """

    calls: dict[tuple[object, ...], Call] = field(default_factory=dict)
    writes: dict[tuple[object, ...], Write] = field(default_factory=dict)
    endings: dict[tuple[object, ...], Ending] = field(default_factory=dict)
    masks: set[tuple[str, str, int]] = field(default_factory=set)
    reads: dict[tuple[str, str, bool, int], int] = field(default_factory=dict)
    tested: set[Expr] = field(default_factory=set)
    ordered: set[Expr] = field(default_factory=set)
    stopping: set[int] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    indexed: dict[tuple[str, int], int] = field(default_factory=dict)
    constants: set[tuple[str, int]] = field(default_factory=set)
    incomplete: dict[str, str] = field(default_factory=dict)
    walked: set[int] = field(default_factory=set)
    cpu_limits: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    cpu_tests: dict[int, set[Condition]] = field(default_factory=dict)
    tests: dict[int, set[Condition]] = field(default_factory=dict)
    conditions: dict[tuple[object, ...], Condition] = field(default_factory=dict)
    names: dict[frozenset[tuple[int, int]], None] = field(default_factory=dict)
    refills: dict[tuple[str, int], tuple[int, Value]] = field(default_factory=dict)
    steps: int = 0

    def add_call(self, call: Call) -> None:
        """Keep a call, once for each set of arguments and what had happened before it."""
        path = call.path._replace(checked=None)
        key = (
            call.entry,
            call.name,
            call.pc,
            *map(_id, call.args),
            *(_id(v) for _, v in call.fields),
            path,
            call.exact,
        )
        if self._has_room(call.entry):
            self.calls.setdefault(key, call)

    def add_write(self, write: Write) -> None:
        """Keep a write, once for each value."""
        key = (write.entry, write.pc, _id(write.base), write.offset, _id(write.value))
        if self._has_room(write.entry):
            self.writes.setdefault(key, write)

    def add_ending(self, ending: Ending) -> None:
        """Keep the end of a path, once for each outcome."""
        path = ending.path._replace(checked=None)
        key = (ending.entry, path, _id(ending.value), ending.line, ending.exact, ending.negative)
        if self._has_room(ending.entry):
            self.endings.setdefault(key, ending)

    def add_condition(self, condition: Condition) -> None:
        """Keep a comparison, once."""
        if len(self.conditions) < limits.CONDITIONS:
            self.conditions.setdefault((condition.op, _id(condition.a), _id(condition.b)), condition)

    @staticmethod
    def add_test(tests: dict[int, set[Condition]], pc: int, condition: Condition) -> None:
        """Keep a comparison, of `cpu_tests` or `tests`, by where it is."""
        kept = tests.setdefault(pc, set())
        if len(kept) < limits.TESTS:
            kept.add(condition)

    def add_name(self, held: Mapping[int, int]) -> None:
        """Keep what a task's name was compared with, by place."""
        if held and len(self.names) < limits.CONDITIONS:
            self.names.setdefault(frozenset(held.items()), None)

    def _has_room(self, entry: str) -> bool:
        if len(self.calls) + len(self.writes) + len(self.endings) < limits.EVENTS:
            return True
        self.incomplete[entry] = "it does more than is recorded"
        return False

    def by_name(self, *names: str) -> list[Call]:
        """The calls of those kernel names."""
        return [call for call in self.calls.values() if call.name in names]


def _id(value: Value) -> object:
    return value if isinstance(value, int) else id(value)

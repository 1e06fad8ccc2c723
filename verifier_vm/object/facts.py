# SPDX-License-Identifier: Apache-2.0
"""What an object is found to do, in the words of sched_ext: what checks ask of the walk's record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from policy_lake.model import Finding, Level
from verifier_vm.object.kernel import DSQ_BUILTIN, DSQ_GLOBAL, DSQ_LOCAL, DSQ_LOCAL_ON, INSERTS, MOVES
from verifier_vm.object.ops import Ops
from verifier_vm.object.program import Program
from verifier_vm.object.record import Call, Record
from verifier_vm.object.values import IDENTITY, Expr, Value, is_field, root, sure_bits

Place = tuple[str, object, int]  # what of the policy's own memory, which, and where in it


@dataclass(frozen=True, slots=True)
class Insert:
    """An insert into a DSQ: `vtime` is None for one at the end; `moved` when it comes from another DSQ."""

    call: Call
    task: Value
    dsq: Value
    slice_ns: Value | None
    vtime: Value | None
    flags: Value
    moved: bool = False


@dataclass(frozen=True)
class Facts:
    """One analysed object. `setters` says which callback started a timer; its entry is then "timer". `made_of` is what
    the names of arithmetic stand for."""

    program: Program
    ops: Ops
    record: Record
    setters: dict[str, str]
    made_of: Mapping[Expr, Value] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Does the policy have all those callbacks?"""
        return all(name in self.ops.callbacks for name in names)

    def flag(self, bit: int) -> bool:
        """Is that bit of ops.flags set?"""
        return bool(self.ops.numbers["flags"] & bit)

    @cached_property
    def inserts(self) -> tuple[Insert, ...]:
        """Every insert that some path makes."""
        return tuple(self._inserts())

    def _inserts(self) -> Iterator[Insert]:
        for call in self.record.calls.values():
            a = call.args
            if call.name == "scx_bpf_dsq_insert":
                yield Insert(call, a[0], a[1], a[2], None, a[3])
            elif call.name == "scx_bpf_dsq_insert_vtime":
                yield Insert(call, a[0], a[1], a[2], a[3], a[4])
            elif call.name in INSERTS:
                dsq, slice_ns, vtime, flags = (call.field(n) for n in ("dsq_id", "slice", "vtime", "enq_flags"))
                if dsq is not None and slice_ns is not None and vtime is not None and flags is not None:
                    yield Insert(call, a[0], dsq, slice_ns, vtime, flags)
            elif call.name in MOVES:
                yield Insert(call, a[1], a[2], None, a[3] if call.name.endswith("_vtime") else None, a[3], moved=True)

    @cached_property
    def written(self) -> dict[Place, list[Value]]:
        """What is written to the policy's own memory, by place."""
        places: dict[Place, list[Value]] = {}
        for write in self.record.writes.values():
            if place := place_of(write.base, write.offset):
                places.setdefault(place, []).append(write.value)
        return places

    @cached_property
    def created(self) -> tuple[tuple[Value, Call], ...]:
        """The ids that DSQs are created with."""
        return tuple((call.args[0], call) for call in self.record.by_name("scx_bpf_create_dsq"))

    @cached_property
    def consumed(self) -> tuple[tuple[Value, Call], ...]:
        """The ids of the DSQs that tasks are taken from: to the local one, or by an iterator that moves them."""
        ids = [(call.args[0], call) for call in self.record.by_name("scx_bpf_dsq_move_to_local")]
        if self.record.by_name(*MOVES):
            ids += [(call.args[1], call) for call in self.record.by_name("bpf_iter_scx_dsq_new")]
        return tuple(ids)

    def place(self, entry: str, line: int = -1, pc: int = -1) -> str:
        """FILE:LINE where there is line information, else the callback and the number of the instruction in it."""
        line_at = self.program.lines.get(line)
        start = self.ops.callbacks.get(entry, -1)
        if line_at is None and start >= 0:
            function = self.program.functions[start]
            own = [at for pc_ in range(function.start, function.end)
                   if (at := self.program.lines.get(pc_)) and not at[0].endswith(".h")]  # fmt: skip
            line_at = min(own, key=lambda at: at[1], default=None)
        if line_at is not None and line_at[0]:
            return f"{line_at[0]}:{line_at[1]}"
        return f"{entry}, instruction {pc - start}" if pc >= 0 and start >= 0 else entry

    def finding(self, bug: str, level: Level, reason: str, at: Call | str | None, advice: str) -> Finding:
        """A finding at a call, a callback or the table; on a path that may be none a rejection is only `unknown`."""
        if not isinstance(at, Call):
            return Finding(bug, level, reason, self.place(at) if at else self.ops.name, advice)
        if not at.exact and level == "reject":
            level = "unknown"
        return Finding(bug, level, reason, self.place(at.entry, at.line, at.pc), advice)

    def complete(self, entry: str) -> bool:
        """Was all of a callback walked?"""
        return entry not in self.record.incomplete


def local_on(dsq: Value) -> bool:
    """Is it surely LOCAL_ON of some CPU?"""
    return sure_bits(dsq) & DSQ_LOCAL_ON == DSQ_LOCAL_ON


def builtin(dsq: Value) -> bool:
    """Is it surely one of the kernel's own DSQs?"""
    return bool(sure_bits(dsq) & DSQ_BUILTIN)


def local(dsq: Value) -> bool:
    """Is it surely a CPU's own DSQ?"""
    return dsq == DSQ_LOCAL or local_on(dsq)


def user_id(dsq: Value) -> int | None:
    """The id of a DSQ of the policy's own, where it is known."""
    return dsq if isinstance(dsq, int) and not dsq & DSQ_BUILTIN else None


def dsq_text(dsq: Value) -> str:
    """A DSQ as a person would name it."""
    if isinstance(dsq, int):
        names = {DSQ_LOCAL: "SCX_DSQ_LOCAL", DSQ_GLOBAL: "SCX_DSQ_GLOBAL"}
        on = f"SCX_DSQ_LOCAL_ON|{dsq & 0xFFFFFFFF}" if local_on(dsq) else f"{dsq:#x}"
        return names.get(dsq, on)
    if local_on(dsq):
        return "SCX_DSQ_LOCAL_ON|cpu"
    return "one computed at run time"


def comes_from(value: Value, *names: str) -> list[Expr]:
    """The results of those functions, and the arguments of those names, that a value was made of."""
    leaves = value.leaves if isinstance(value, Expr) else frozenset()
    return [leaf for leaf in leaves if (leaf.op == "ret" and isinstance(leaf.key, tuple) and leaf.key[0] in names)
            or (leaf.op == "arg" and leaf.key in names)]  # fmt: skip


def place_of(base: Value, offset: int) -> Place | None:
    """Where a pointer points in the policy's own memory; two elements of one map are one place."""
    inner, more = root(base)
    if isinstance(inner, Expr) and inner.op in ("data", "element", "storage"):
        return inner.op, inner.key, offset + more
    return None


def is_of_the_task(value: Value) -> bool:
    """Is it the callback's task, or a number that the kernel gave it, and no other task has meanwhile?"""
    base, _ = root(value)
    if isinstance(base, Expr) and base.op == "arg" and base.key == "p":
        return True
    return isinstance(base, Expr) and any(is_field(leaf, name) for leaf in base.leaves for name in IDENTITY)

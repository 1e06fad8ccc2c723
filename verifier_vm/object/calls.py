# SPDX-License-Identifier: Apache-2.0
"""What calls do in the walk: results by name, writes through pointers, and what becomes of the task at hand."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.object.btf import FUNC, PTR
from verifier_vm.object.decode import Reference
from verifier_vm.object.facts import comes_from
from verifier_vm.object.flow import Flow
from verifier_vm.object.kernel import (
    ARRAYS,
    CONSUMES,
    ENDING,
    FIRST,
    HELPERS,
    INSERTS,
    KEEPING,
    MOVES,
    NEED_NOT_COME,
    READ_ONLY_HELPERS,  # fmt: skip
    READ_ONLY_KFUNCS,
    UPDATED,
    kernel_name,
)
from verifier_vm.object.memory import Memory
from verifier_vm.object.names import COMM_ROOM, COPIES, in_name, note_call
from verifier_vm.object.numbers import new_numbers, next_number
from verifier_vm.object.program import Program
from verifier_vm.object.record import KEY, SOME_QUEUE, Call, Path, Record
from verifier_vm.object.refills import SETTER, note_slice
from verifier_vm.object.state import State
from verifier_vm.object.values import Expr, Value, Values, is_task, root

# Members of the structs that kfuncs take by pointer: (name, offset, bytes).
ARGUMENT_STRUCTS: dict[str, tuple[int, tuple[tuple[str, int, int], ...]]] = {
    "__scx_bpf_dsq_insert_vtime": (1, (("dsq_id", 0, 8), ("slice", 8, 8), ("vtime", 16, 8), ("enq_flags", 24, 8))),
    "__scx_bpf_select_cpu_and": (2, (("prev_cpu", 0, 4), ("wake_flags", 8, 8), ("flags", 16, 8))),
}
WORDS = (4, 8)  # bytes
CPU_ID = "get_smp_processor_id"
MAY_KEEP = ("ringbuf_output", "kptr_xchg", "timer_start")
# Masks that say of no task where it may run.
OF_NO_TASK = ("scx_bpf_get_online_cpumask", "scx_bpf_get_possible_cpumask")
ASKS = (
    "bpf_cpumask_test_cpu",
    "bpf_cpumask_intersects",
    "bpf_cpumask_subset",
    "scx_bpf_select_cpu_dfl",
    "scx_bpf_select_cpu_and",
    "__scx_bpf_select_cpu_and",
)  # where a task may run
TASK_STORAGE = ("task_storage_get", "cgrp_storage_get")
MOST_CLOBBERED = 512


class Calls:
    """The effect of a helper or kfunc on a path."""

    def __init__(self, program: Program, values: Values, record: Record, memory: Memory, flow: Flow) -> None:
        self._program, self._values, self._record, self._memory, self._flow = program, values, record, memory, flow
        self._known_sizes: dict[str, list[int]] = {}
        self.always: frozenset[str] = frozenset()  # maps that hold something for every task or cgroup
        self.most_dispatched = 0  # up to which what dispatch inserts is counted

    def apply(self, state: State, reference: Reference, entry: str, *, looping: bool) -> None:
        """Carry out a call that is not followed; its result is in register 0 afterwards, 1 to 5 are gone."""
        helper = reference.kind == "helper"
        name = (
            HELPERS.get(reference.offset, (f"helper {reference.offset}", 5))[0]
            if helper
            else kernel_name(reference.name)
        )
        count = HELPERS.get(reference.offset, ("", 5))[1] if helper else self._flow.counts.get(reference.name, 5)
        args = tuple(v if v is not None and i < count else self._unset() for i, v in enumerate(state.registers[1:6]))
        fields = self._fields(state, name, args, entry)
        result = self._result(state, name, args, entry, looping=looping)
        leaf = result if isinstance(result, Expr) else None
        before = state.path
        call = Call(entry, name, args, fields, state.pc, state.line, before, state.exact, looping, leaf)
        self._record.add_call(call)
        note_call(state, self._record, args, self._memory.comm, self._program.data)
        if name == SETTER:
            note_slice(state, self._record, entry, args[1])
        state.path = self._path_after(state, name, args, leaf, entry)
        self._clobber(state, name, "" if helper else reference.name, args, entry)
        state.registers[0] = result
        state.registers[1:6] = [None] * 5

    def _unset(self) -> Expr:
        return self._values.make("any", "unset")

    def _fields(self, state: State, name: str, args: tuple[Value, ...], entry: str) -> tuple[tuple[str, Value], ...]:
        if name == "map_update_elem":
            return tuple(self._updated(state, args, entry))
        if name not in ARGUMENT_STRUCTS:
            return ()
        index, members = ARGUMENT_STRUCTS[name]
        return tuple((m, self._memory.read(state, args[index], offset, size, entry)) for m, offset, size in members)

    def _updated(self, state: State, args: tuple[Value, ...], entry: str) -> Iterator[tuple[str, Value]]:
        declared = self._program.maps.get(_map_name(args[0]))
        sizes = (declared.key_size, declared.value_size) if declared else (0, 0)
        for field, pointer, size in zip((KEY, UPDATED), args[1:3], sizes, strict=True):
            if size in WORDS and (field == KEY or entry in NEED_NOT_COME):
                yield field, self._memory.read(state, pointer, 0, size, entry)

    def _result(self, state: State, name: str, args: tuple[Value, ...], entry: str, *, looping: bool) -> Value:
        result: Value
        if name in TASK_STORAGE and isinstance(args[1], Expr):
            result = self._values.make("storage", _map_name(args[0]), args[1])
            if _map_name(args[0]) in self.always and entry not in FIRST:
                result = self._values.make("sure", None, result)
        elif name in ("map_lookup_elem", "map_lookup_percpu_elem"):
            result = self._element(state, args, entry)
        elif name in ("this_cpu_ptr", "get_current_task_btf"):
            result = self._values.make("sure", None, self._values.make("ret", (name, state.pc)))
        elif name == "bpf_iter_num_next":
            result = next_number(state, self._values, args, looping=looping)
        elif name == "bpf_task_acquire":
            result = args[0]
        elif name == CPU_ID:  # the same throughout a callback, which cannot migrate
            result = self._values.make("ret", (CPU_ID,))
        else:
            result = self._fresh(state, (name, state.pc, state.chain), looping=looping)
        return result

    def _fresh(self, state: State, key: tuple[object, ...], *, looping: bool) -> Expr:
        leaf = self._values.make("ret", key)
        if looping:
            state.make_new(leaf, self._values)
        return leaf

    def _element(self, state: State, args: tuple[Value, ...], entry: str) -> Value:
        """A lookup of one key twice gives one element; an array has one at every index below its size."""
        declared = self._program.maps.get(str(args[0].key)) if isinstance(args[0], Expr) else None
        key = self._memory.read(state, args[1], 0, declared.key_size or 4 if declared else 4, entry)
        self._memory.note_index(state, key, entry)
        element = self._values.make("element", (declared.name if declared else state.pc), key)
        if declared and declared.kind in ARRAYS and isinstance(key, int) and key < max(declared.max_entries, 1):
            return self._values.make("sure", None, element)
        return element

    def _clobber(self, state: State, name: str, extern: str, args: tuple[Value, ...], entry: str) -> None:
        if name in COPIES and isinstance(args[1], int):
            self._probe_read(state, args, entry, name)
            return
        if name == "bpf_iter_num_new":
            new_numbers(state, self._values, args)
        if name in READ_ONLY_HELPERS or name in READ_ONLY_KFUNCS or name.startswith("bpf_iter_num"):
            return
        sizes = self._sizes(extern)
        for index, value in enumerate(args):
            base, offset = root(value)
            if isinstance(base, Expr) and base.op == "frame" and isinstance(base.key, int):
                state.clobber_stack(base.key, offset, sizes[index])
            elif isinstance(base, Expr) and base.op in ("element", "storage", "data"):
                for place in [place for place in state.memory if place[0] is base]:
                    del state.memory[place]
        if name == "scx_bpf_select_cpu_dfl":  # what it tells through its last argument is a bool
            base, offset = root(args[3])
            if isinstance(base, Expr) and base.op == "frame" and isinstance(base.key, int):
                state.write_stack(
                    base.key, offset, 1, self._values.make("ret", ("is_idle", state.pc, state.chain), bits=1)
                )

    def _sizes(self, extern: str) -> list[int]:
        """How many bytes a kfunc may write through each of its arguments, by the object's BTF."""
        if extern not in self._known_sizes:
            btf = self._program.btf
            prototype = btf.get(btf.get(btf.find(extern, FUNC)).value) if extern else btf.get(0)
            sizes = [MOST_CLOBBERED] * 5
            for index, parameter in enumerate(btf.parameters(prototype)[:5]):
                pointer = btf.get(btf.resolve(parameter))
                if pointer.kind == PTR and btf.resolve(pointer.value):
                    sizes[index] = btf.size(pointer.value) or MOST_CLOBBERED
            self._known_sizes[extern] = sizes
        return self._known_sizes[extern]

    def _probe_read(self, state: State, args: tuple[Value, ...], entry: str, name: str) -> None:
        """BPF_CORE_READ copies a field to the stack: it then holds what a load would have given."""
        size = args[1] if isinstance(args[1], int) else 0
        base, offset = root(args[0])
        if not isinstance(base, Expr) or base.op != "frame" or not isinstance(base.key, int):
            return
        read = self._copied(state, args[2], size, entry) if name != "get_current_comm" else self._own_name(state, size)
        state.clobber_stack(base.key, offset, max(size, 1))
        for at, n, value in read:
            state.write_stack(base.key, offset + at, n, value)

    def _own_name(self, state: State, size: int) -> list[tuple[int, int, Value]]:
        task = self._values.make("ret", ("get_current_task_btf", state.pc))
        return [(at, 8, self._memory.name_part(state, task, at, 8)) for at in range(0, min(size, COMM_ROOM) - 7, 8)]

    def _copied(self, state: State, source: Value, size: int, entry: str) -> list[tuple[int, int, Value]]:
        """(place, bytes, value) of what a copy holds: what one load gives, or of a name all of it."""
        named = in_name(state, *root(source), self._memory.comm) is not None
        pieces = [(at, min(8, size - at)) for at in range(0, min(size, COMM_ROOM), 8)] if named else [(0, size)]
        return [
            (at, count, self._memory.read(state, source, at, count, entry))
            for at, count in pieces
            if count in (1, 2, 4, 8) and isinstance(source, Expr)
        ]

    def _path_after(self, state: State, name: str, args: tuple[Value, ...], result: Expr | None, entry: str) -> Path:
        """What has become of the task at hand."""
        path = state.path
        if name in INSERTS and is_task(args[0]) and entry in ("select_cpu", "enqueue"):
            path = path._replace(inserted=(*path.inserted, state.pc)[:2], checked=result)
        elif name in INSERTS and entry == "dispatch" and path.dispatched < self.most_dispatched:
            path = path._replace(dispatched=path.dispatched + 1)
        elif name in ENDING:
            path = path._replace(ended=True)
        elif name in CONSUMES and entry == "dispatch":
            path = path._replace(moved=True, checked=result, looked=path.looked | {_queue(args[0])})
        elif name in CONSUMES or name in MOVES:
            path = path._replace(moved=True, looked=path.looked | {SOME_QUEUE})
        elif name in KEEPING:
            path = path._replace(kept=2)
        elif name == "map_push_elem" or (name == "map_update_elem" and self._names_task(state, args)):
            path = path._replace(kept=2, checked=result)
        elif name in MAY_KEEP and path.kept == 0:
            path = path._replace(kept=1)
        elif name in ASKS and not any(comes_from(value, *OF_NO_TASK) for value in args):
            self._record.asked.add(entry)
        return path

    def _names_task(self, state: State, args: tuple[Value, ...]) -> bool:
        """Does a map update say which task it is about, in key or value?"""
        for pointer in args[1:3]:
            base, offset = root(pointer)
            if not isinstance(base, Expr) or base.op != "frame":
                continue
            held = [
                value for (frame, at), (_, value) in state.stack.items() if frame == base.key and 0 <= at - offset < 64
            ]
            if any(self._memory.identifies(value) for value in held):
                return True
        return False


def _map_name(value: Value) -> str:
    """The name of a map, where it is known."""
    return str(value.key) if isinstance(value, Expr) and value.op == "map" else repr(value)


def _queue(dsq: Value) -> int:
    return dsq if isinstance(dsq, int) else SOME_QUEUE

# SPDX-License-Identifier: Apache-2.0
"""The conditional jumps of a policy's object: which of the kernel's are its own, and which ways are error paths.

The kernel's BPF verifier puts jumps of its own beside a policy's (a lookup or a loop inlined, a division guarded, a
load that may fault), and takes out those that cannot be taken. The JIT turns each jump that is left into a comparison
and a jump, which are known by their place in the source and their bytes.

bpf_for() is one condition, whether the loop ends, however often the compiler writes it; what it compares with its
bounds for the BPF verifier's sake is none.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from policy_lake.knobs import OPS_USE, values_of
from verifier_vm.coverage.error_paths import JUMPED, WENT_ON, Graph, called, doomed, is_null_check, null_way, nulls
from verifier_vm.coverage.failed_calls import FailedCalls, returns_number
from verifier_vm.object import limits
from verifier_vm.object.btfext import LINE_BYTES, read_tables, records
from verifier_vm.object.decided import Decided, ways_left
from verifier_vm.object.decode import BY_REGISTER, CALL, JMP, Instruction
from verifier_vm.object.filled import KernelValues, fill
from verifier_vm.object.flow import Flow, read_flow, successors
from verifier_vm.object.kicks import leaves_out_a_kick
from verifier_vm.object.ops import Ops, apply_arguments, read_ops
from verifier_vm.object.program import Function, Program, read_program

Place = tuple[str, int, int]  # file, line, column
Condition = tuple[Place, bytes, int]  # … the comparison as the JIT writes it, the condition's number in x86
LOOP = ("bpf_iter_num_next",)
LEFT_OUT = ("exit", "dump", "dump_cpu", "dump_task")  # callbacks that run when something has gone wrong, or when asked
JSET, MAY_GOTO = 0x40, 0xE0
# By BPF's operation: the condition's number in x86's Jcc. By BPF's register: x86's.
_CONDITIONS = {0x10: 4, 0x20: 7, 0x30: 3, 0x40: 5, 0x50: 5, 0x60: 15, 0x70: 13, 0xA0: 2, 0xB0: 6, 0xC0: 12, 0xD0: 14}
_REGISTERS = (0, 7, 6, 2, 1, 8, 3, 13, 14, 15, 5)


@dataclass(slots=True)
class Conditions:
    """An object's conditional jumps; `error` are the ways (0: jumped, 1: went on) that are error paths.

    `dead` are the ways that constants close, and what the kernel hands out; `dead_in` the same by function, where one
    source line may be compiled into several. `bounds` are loops' comparisons with their bounds, `loop_ends` those by
    which they end, with that way. `callbacks` are the functions of the callbacks that count; `failing` what is known of
    functions by their first pc. `passed_on` are the names of functions that are given to the kernel to be called, as a
    timer's is, by their first place.
    """

    known: set[Condition] = field(default_factory=set)
    by_place: dict[Place, set[Condition]] = field(default_factory=dict)
    error: dict[Condition, set[int]] = field(default_factory=dict)
    dead: dict[Condition, set[int]] = field(default_factory=dict)
    dead_in: dict[str, dict[Condition, set[int]]] = field(default_factory=dict)
    bounds: set[Condition] = field(default_factory=set)
    loop_ends: dict[Condition, int] = field(default_factory=dict)
    callbacks: frozenset[str] = frozenset()
    failing: dict[int, bool] = field(default_factory=dict)
    passed_on: dict[Place, str] = field(default_factory=dict)

    def closed_in(self, function: str) -> dict[Condition, set[int]]:
        """The ways that are dead in a function, or, where its name is not known, in all."""
        own = self.dead_in.get(function, {})
        return {one: self.dead.get(one, set()) | own.get(one, set()) for one in {*self.dead, *own}}


def read_conditions(data: bytes, arguments: Sequence[str] = ()) -> Conditions:
    """The conditional jumps of an object with its loader's words; ObjectError when it is none, or has not what they
    set.
    """
    program, ops = _loaded(data, arguments)
    left, places = ways_left(program, callbacks_of(ops)), _places(program)
    found = Conditions()
    found.callbacks = frozenset(
        program.functions[pc].name for member, pc in ops.callbacks.items() if member not in LEFT_OUT
    )
    found.passed_on = _passed_on(program, places)
    loops, failed, flow = _loops(program, places), FailedCalls(program), read_flow(program)
    done: set[int] = set()
    for function in sorted(program.functions.values(), key=lambda f: (f.start, -f.end)):
        if function.start not in done:
            done.update(range(function.start, function.end))
            _read_function(program, function, places, loops, left, failed, flow, found)
    return found


def _read_function(
    program: Program, function: Function, places: dict[int, Place], loops: set[Place],
    left: Decided, failed: FailedCalls, flow: Flow, found: Conditions,
) -> None:  # fmt: skip
    graph = {pc: successors(pc, i) for pc in range(function.start, function.end) if (i := program.code[pc])}
    ending, null_ways = doomed(program, graph), nulls(program, graph, found.failing)
    failed_ways = failed.ways(graph, function.name, null_ways)
    place: Place = ("", 0, 0)
    for pc in range(function.start, function.end):
        place = places.get(pc, place)
        instruction = program.code[pc]
        if instruction is None or len(graph[pc]) < 2:
            continue
        condition = (place, comparison(instruction), _CONDITIONS.get(instruction.code & 0xF0, -1))
        on, to = graph[pc]
        ways = {way for way, pc_after in ((WENT_ON, on), (JUMPED, to)) if pc_after in ending}
        ways |= {by_pc[pc] for by_pc in (null_ways, failed_ways) if pc in by_pc}
        ways |= _without_a_kick(program, function, graph, flow, left, pc)
        # One source line is compiled in several places, and what is an error path in one must be so in each.
        ways &= found.error.get(condition, ways)
        found.error[condition] = ways
        closed = {JUMPED, WENT_ON} - left.ways.get(pc, frozenset())
        for dead in (found.dead, found.dead_in.setdefault(function.name, {})):
            dead[condition] = dead.get(condition, closed) & closed
        found.known.add(condition)
        found.by_place.setdefault(place, set()).add(condition)
        if place in loops and is_null_check(instruction):
            found.loop_ends[condition] = null_way(instruction)
        elif place in loops:
            found.bounds.add(condition)


def ways_beyond(data: bytes, arguments: Sequence[str], cpus: int) -> dict[Place, set[int]]:
    """By place, the ways that no jump there takes on a machine whose CPUs have numbers below `cpus`; ObjectError as
    read_conditions.
    """
    program, ops = _loaded(data, arguments)
    left = ways_left(program, callbacks_of(ops), cpus)
    found: dict[Place, set[int]] = {}
    for pc, place in enumerate(place_by_pc(program)):
        instruction = program.code[pc]
        if instruction is not None and len(successors(pc, instruction)) == 2:
            closed = {JUMPED, WENT_ON} - left.ways.get(pc, frozenset())
            found[place] = found.get(place, closed) & closed
    return found


def _loaded(data: bytes, arguments: Sequence[str]) -> tuple[Program, Ops]:
    program = read_program(data)
    ops = read_ops(program, values_of(arguments).get(OPS_USE, ""))
    fill(program, KernelValues())
    apply_arguments(program, ops, arguments)
    return program, ops


def callbacks_of(ops: Ops) -> dict[str, int]:
    """First pcs of the functions by callback; none of a policy whose CPUs have other numbers than the kernel's."""
    return {} if ops.by_cid else ops.callbacks


def _without_a_kick(
    program: Program, function: Function, graph: Graph, flow: Flow, left: Decided, pc: int
) -> set[int]:  # fmt: skip
    if pc not in left.asks:
        return set()
    off_line, own = left.asks[pc]
    returns = returns_number(program, function.name)
    harmless = leaves_out_a_kick(program, graph, flow, pc, off_line, own=own, returns=returns)
    return {off_line} if harmless else set()


def comparison(instruction: Instruction) -> bytes:
    """What the kernel's x86 JIT writes before the jump (arch/x86/net/bpf_jit_comp.c); empty for may_goto."""
    op, dst = instruction.code & 0xF0, _REGISTERS[instruction.dst]
    if op == MAY_GOTO:
        return b""
    wide = 0x48 if instruction.kind == JMP else 0
    rex = wide | (0x41 if dst > 7 else 0)
    if instruction.code & BY_REGISTER:
        return _by_register(rex, 0x85 if op == JSET else 0x39, dst, _REGISTERS[instruction.src])
    if op != JSET and instruction.imm == 0:
        return _by_register(rex, 0x85, dst, dst)
    prefix = bytes([rex]) if rex else b""
    if op == JSET:
        return prefix + bytes([0xF7, 0xC0 | dst & 7]) + struct.pack("<i", instruction.imm)
    if -128 <= instruction.imm < 128:
        return prefix + bytes([0x83, 0xF8 | dst & 7]) + struct.pack("<b", instruction.imm)
    return prefix + bytes([0x81, 0xF8 | dst & 7]) + struct.pack("<i", instruction.imm)


def _by_register(rex: int, opcode: int, dst: int, src: int) -> bytes:
    rex |= 0x44 if src > 7 else 0
    return (bytes([rex]) if rex else b"") + bytes([opcode, 0xC0 | (src & 7) << 3 | dst & 7])


def place_by_pc(program: Program) -> list[Place]:
    """By pc, the place in the source that an instruction comes from."""
    begins, found, place = _places(program), list[Place](), ("", 0, 0)
    for pc in range(len(program.code)):
        place = begins.get(pc, place)
        found.append(place)
    return found


def _places(program: Program) -> dict[int, Place]:
    """By pc, where a line or column begins."""
    section = program.elf.named(".BTF.ext")
    if section is None or not section.data:
        return {}
    bases = {s.name: program.base[s.index] for s in program.elf.sections if s.index in program.base}
    found: dict[int, Place] = {}
    for _, name, places in records(section.data, read_tables(section.data)[1], LINE_BYTES, limits.LINES):
        base = bases.get(program.btf.string(name))
        for place in places if base is not None else ():
            at, file, _, position = struct.unpack_from("<IIII", section.data, place)
            name_of = program.btf.string(file).removeprefix("./")
            found[(base or 0) + at // 8] = (name_of, position >> 10, position & 1023)
    return found


def _passed_on(program: Program, places: dict[int, Place]) -> dict[Place, str]:
    given = {
        i.reference.offset
        for i in program.code
        if i is not None and i.reference is not None and i.reference.kind == "function" and i.code != JMP | CALL
    }
    starts = {function.start: function.name for function in program.functions.values()}
    return {places[start]: starts[start] for start in given if start in places and start in starts}


def _loops(program: Program, places: dict[int, Place]) -> set[Place]:
    """Where bpf_for() and the like stand."""
    place: Place = ("", 0, 0)
    found = set()
    for pc, instruction in enumerate(program.code):
        place = places.get(pc, place)
        if instruction is not None and instruction.code == JMP | CALL and called(instruction) in LOOP:
            found.add(place)
    return found

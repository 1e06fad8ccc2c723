# SPDX-License-Identifier: Apache-2.0
"""The control flow of a program: where paths join, which instructions lie on a loop, which registers are read later."""

from __future__ import annotations

from dataclasses import dataclass

from verifier_vm.object import limits
from verifier_vm.object.btf import FUNC, FUNC_PROTO
from verifier_vm.object.decode import (
    ALU,
    ALU64,
    ATOMIC,
    BY_REGISTER,
    CALL,
    EXIT,
    JA,
    JMP,
    JMP32,
    LD,
    LDX,
    STX,
    Instruction,
)
from verifier_vm.object.kernel import HELPERS
from verifier_vm.object.program import Function, Program

MOV, NEG, END = 0xB0, 0x80, 0xD0
CALLER_SAVED = 0b111111


@dataclass(slots=True)
class Flow:
    """By pc: where jumps land, what lies on a loop, and bit masks of what is read later on.

    live: registers read before they are written; loads: `places` that are loaded from (an offset, or a data section's
    name and offset); stack: bit n for the n-th byte below the frame's end, bit 0 when the stack's address is taken.
    `counts` is how many arguments a function takes.
    """

    joins: set[int]
    looping: set[int]
    live: list[int]
    loads: list[int]
    stack: list[int]
    places: dict[object, int]
    counts: dict[str, int]

    def bit(self, place: object) -> int:
        """The mask of one place of memory; beyond PLACES all share the last one."""
        return 1 << self.places.setdefault(place, min(len(self.places), limits.PLACES))


def successors(pc: int, instruction: Instruction) -> tuple[int, ...]:
    """Where control may go next within the function."""
    op = instruction.code & 0xF0
    if instruction.kind not in (JMP, JMP32) or op == CALL:
        return (pc + (2 if instruction.code == 0x18 else 1),)
    if op == EXIT:
        return ()
    if op == JA:
        return (pc + 1 + (instruction.imm if instruction.kind == JMP32 else instruction.off),)
    return pc + 1, pc + 1 + instruction.off


def read_flow(program: Program) -> Flow:
    """The flow of every function."""
    size = len(program.code) + 2
    flow = Flow(set(), set(), [0] * size, [0] * size, [0] * size, {}, _argument_counts(program))
    covered: set[int] = set()
    for function in sorted(program.functions.values(), key=lambda f: f.start):
        if function.start in covered:
            continue
        covered.update(range(function.start, function.end))
        graph = {pc: successors(pc, i) for pc in range(function.start, function.end) if (i := program.code[pc])}
        flow.joins.update(to for pc, tos in graph.items() for to in tos if to != pc + 1)
        flow.looping |= _on_loops(graph, function)
        _read_later(program, graph, flow)
    return flow


def _on_loops(graph: dict[int, tuple[int, ...]], function: Function) -> set[int]:
    """Instructions from which control can come back to them: Tarjan's components, without recursion."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    on_loops: set[int] = set()
    work = [(function.start, iter(graph.get(function.start, ())))]
    index[function.start] = low[function.start] = 0
    stack.append(function.start)
    on_stack.add(function.start)
    while work:
        pc, following = work[-1]
        to = next((t for t in following if t in graph), None)
        if to is None:
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[pc])
            if low[pc] == index[pc]:
                component = []
                while True:
                    component.append(stack.pop())
                    on_stack.discard(component[-1])
                    if component[-1] == pc:
                        break
                if len(component) > 1 or pc in graph[pc]:
                    on_loops.update(component)
        elif to not in index:
            index[to] = low[to] = len(index)
            stack.append(to)
            on_stack.add(to)
            work.append((to, iter(graph[to])))
        elif to in on_stack:
            low[pc] = min(low[pc], index[to])
    return on_loops


def _argument_counts(program: Program) -> dict[str, int]:
    """How many arguments each function of the object's BTF takes."""
    counts = {}
    for type_ in program.btf.types:
        if type_.kind == FUNC:
            prototype = program.btf.get(type_.value)
            if prototype.kind == FUNC_PROTO:
                counts[type_.name] = min(prototype.count, 5)
    return counts


def _read_later(program: Program, graph: dict[int, tuple[int, ...]], flow: Flow) -> None:
    """Fill in what is read later on, backwards until nothing changes."""
    found = {}
    for pc in graph:
        instruction = program.code[pc]
        if instruction is not None:
            found[pc] = (*effects(instruction, flow.counts), *_places(instruction, flow))
    order = sorted(graph, reverse=True)
    live, loads, stack, last = flow.live, flow.loads, flow.stack, len(flow.live)
    for _ in range(max(limits.ROUNDS // max(len(order), 1), 3)):
        changed = False
        for pc in order:
            reads, writes, loads_now, stack_now = found[pc]
            live_now = 0
            for to in graph[pc]:
                if 0 <= to < last:
                    live_now |= live[to]
                    loads_now |= loads[to]
                    stack_now |= stack[to]
            live_now = reads | live_now & ~writes
            if live_now != live[pc] or loads_now != loads[pc] or stack_now != stack[pc]:
                live[pc], loads[pc], stack[pc], changed = live_now, loads_now, stack_now, True
        if not changed:
            return
    for pc in order:  # it would take more: take it that everything is read
        live[pc], loads[pc], stack[pc] = (1 << 11) - 1, (1 << limits.PLACES + 1) - 1, 1


def _places(instruction: Instruction, flow: Flow) -> tuple[int, int]:
    """(memory, stack) that an instruction may read, as masks."""
    kind = instruction.kind
    if instruction.reference is not None and instruction.reference.kind == "data":
        return flow.bit((instruction.reference.name, instruction.reference.offset)), 0
    if kind in (ALU, ALU64) and instruction.code & BY_REGISTER and instruction.src == 10:
        return 0, 1
    if kind == LDX or (kind == STX and instruction.code & 0xE0 == ATOMIC):
        pointer = instruction.src if kind == LDX else instruction.dst
        if pointer != 10:
            return flow.bit(instruction.off), 0
        first = -instruction.off - instruction.size
        return 0, ((1 << instruction.size) - 1) << first + 1 if 0 <= first < 512 else 1
    return 0, 0


def effects(instruction: Instruction, counts: dict[str, int]) -> tuple[int, int]:
    """(registers read, registers written) as bit masks."""
    kind, op = instruction.kind, instruction.code & 0xF0
    dst, src = 1 << instruction.dst, 1 << instruction.src
    by_register = src if instruction.code & BY_REGISTER else 0
    reads, writes = dst, 0  # ST
    if kind in (ALU, ALU64):
        reads, writes = (by_register if op not in (NEG, END) else 0) | (0 if op == MOV else dst), dst
    elif kind == LD:
        reads, writes = 0, dst
    elif kind == LDX:
        reads, writes = src, dst
    elif kind == STX:
        atomic, compares = instruction.code & 0xE0 == ATOMIC, instruction.imm == 0xF1
        reads = dst | src | (atomic and compares)
        writes = src if atomic and instruction.imm & 1 and not compares else 0
    elif op == CALL:
        reads, writes = (_arguments(instruction, counts), CALLER_SAVED) if kind == JMP else (dst, 0)
    elif kind in (JMP, JMP32):
        reads = 1 if op == EXIT else 0 if op == JA else dst | by_register
    return reads, writes


def _arguments(instruction: Instruction, counts: dict[str, int]) -> int:
    reference = instruction.reference
    count = 5
    if reference is not None and reference.kind == "helper":
        count = HELPERS.get(reference.offset, ("", 5))[1]
    elif reference is not None:
        count = counts.get(reference.name, 5)
    return ((1 << count) - 1) << 1

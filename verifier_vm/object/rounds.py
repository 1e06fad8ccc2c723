# SPDX-License-Identifier: Apache-2.0
"""How often a callback comes by one of its instructions at most: by the bounds of the loops round it, where they are
known: bpf_for() and bpf_loop() with numbers.
"""

from __future__ import annotations

from verifier_vm.object.decode import CALL, JMP
from verifier_vm.object.facts import Facts
from verifier_vm.object.flow import successors
from verifier_vm.object.kernel import HELPERS, kernel_name
from verifier_vm.object.limits import FRAMES
from verifier_vm.object.program import Function, Program
from verifier_vm.object.values import MASK32, Expr, root, signed

Graph = dict[int, tuple[int, ...]]


def most_rounds(facts: Facts, entry: str, pc: int, depth: int = 0) -> int | None:
    """How often one call of `entry` executes the instruction at most; None where that is not known."""
    function = _function_of(facts.program, pc)
    here = _rounds_within(facts, entry, function, pc) if function and depth <= FRAMES else None
    if function is None or here is None or function.start == facts.ops.callbacks.get(entry):
        return here
    total, sites = 0, _sites(facts, entry, function)
    if not sites:  # it is called back, by what has no number
        return None
    for site, times in sites:
        around = most_rounds(facts, entry, site, depth + 1)
        if around is None or times is None:
            return None
        total += around * times
    return here * total


def _function_of(program: Program, pc: int) -> Function | None:
    return next((f for f in program.functions.values() if f.start <= pc < f.end), None)


def _sites(facts: Facts, entry: str, function: Function) -> list[tuple[int, int | None]]:
    """Where a function is called from in `entry`, and how often at each time: once, or bpf_loop's number."""
    walked, code = facts.record.walked, facts.program.code
    sites: list[tuple[int, int | None]] = [
        (pc, 1) for pc in sorted(walked) if (i := code[pc]) and i.reference
        and i.code == JMP | CALL and i.reference.kind == "function" and i.reference.offset == function.start
    ]  # fmt: skip
    for call in facts.record.by_name("loop"):
        callee = call.args[1]
        if call.entry == entry and isinstance(callee, Expr) and callee.key == function.start:
            sites.append((call.pc, call.args[0] if isinstance(call.args[0], int) else None))
    return sites


def _rounds_within(facts: Facts, entry: str, function: Function, pc: int) -> int | None:
    code = facts.program.code
    graph = {at: successors(at, i) for at in range(function.start, function.end) if (i := code[at])}
    loop = _loop_of(graph, pc)
    steps = {at for at in loop if _called(facts.program, at) == "bpf_iter_num_next"}
    rest = {at: tuple(to for to in graph[at] if to in loop and to not in steps) for at in loop - steps}
    if any(_loop_of(rest, at) for at in rest):
        return None  # some loop goes round by another way
    if not steps:
        return 1
    # A compiler may write one call of next twice; what it goes on with is one place of the stack.
    iterators = {root(call.args[0]) for call in facts.record.by_name("bpf_iter_num_next") if call.pc in steps}
    most = _longest(facts, entry)
    return most ** len(iterators) if most is not None else None


def _longest(facts: Facts, entry: str) -> int | None:
    """The most rounds of any bpf_for() of a callback."""
    lengths = []
    for call in facts.record.by_name("bpf_iter_num_new"):
        first, end = call.args[1], call.args[2]
        if call.entry == entry:
            if not isinstance(first, int) or not isinstance(end, int):
                return None
            lengths.append(signed(end & MASK32, 32) - signed(first & MASK32, 32))
    return max(0, *lengths) if lengths else None


def _loop_of(graph: Graph, pc: int) -> set[int]:
    """All that can be come by from an instruction on the way back to it; empty where there is none."""
    forward = _reached(graph, pc)
    if pc not in forward:
        return set()
    before: dict[int, list[int]] = {}
    for at, following in graph.items():
        for to in following:
            before.setdefault(to, []).append(at)
    return forward & _reached({at: tuple(froms) for at, froms in before.items()}, pc)


def _reached(graph: Graph, pc: int) -> set[int]:
    found: set[int] = set()
    pending = list(graph.get(pc, ()))
    while pending:
        at = pending.pop()
        if at not in found:
            found.add(at)
            pending += graph.get(at, ())
    return found


def _called(program: Program, pc: int) -> str:
    instruction = program.code[pc]
    if instruction is None or instruction.code != JMP | CALL or instruction.reference is None:
        return ""
    reference = instruction.reference
    if reference.kind == "helper":
        return HELPERS.get(reference.offset, ("", 0))[0]
    return kernel_name(reference.name) if reference.kind != "function" else ""

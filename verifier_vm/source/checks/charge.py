# SPDX-License-Identifier: Apache-2.0
"""Virtual time that is paid: by weight the wrong way round or not at all (F16), by what is left of a slice (F17)."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.source import words
from verifier_vm.source.leaves import Leaves, leaves_of
from verifier_vm.source.tree import KEEPS_VALUE, Found, Function, Node, Program

BY_SLICE = "CPU time is charged by what is left of the slice: who is preempted, which zeroes it, pays for a whole one"
BY_RUNTIME = "charge p->se.sum_exec_runtime less what it was in running (sx_mark_cpu_time, sx_cpu_time_since)"
INVERTED = "the heavier a task, the more it pays: CPU time is multiplied by its weight"
IGNORED = "CPU time is charged as it is, and nothing ever looks at a task's weight"
DIVIDE = "divide by the weight: sx_scale_by_weight(cpu_ns, p->scx.weight)"
_USED = "sum_exec_runtime"


def check(program: Program) -> Iterator[Found]:
    """All of this family."""
    knows_weight = _knows_weight(program)
    for function in program.reached_from("stopping", "quiescent", "dequeue", "tick", "running", "enqueue"):
        for node, value in vtime_given(function):
            paid = leaves_of(program, function, value)
            by_slice = _subtracts_slice(program, function, value)
            if by_slice:
                yield Found("F17", "suspicion", BY_SLICE, node.line, BY_RUNTIME)
            used = by_slice or paid.read(_USED) or bool(paid.calls & words.CPU_TIME)
            if used and _multiplies_by_weight(program, function, value, paid):
                yield Found("F16", "suspicion", INVERTED, node.line, DIVIDE)
            elif used and not knows_weight:
                yield Found("F16", "suspicion", IGNORED, node.line, DIVIDE)


def _knows_weight(program: Program) -> bool:
    handled = "set_weight" in program.ops or "cgroup_set_weight" in program.ops
    names = ("weight", "prio", "nice", "share")
    return handled or any(
        node.text and any(name in node.text.lower() for name in names)
        for function in program.functions.values()
        for node in function.body.walk()
        if node.kind in ("field", "name", "call")
    )


def _subtracts_slice(program: Program, function: Function, value: Node) -> bool:
    """Whether a value is a slice less what is left of it."""
    for node in _resolved(program, function, value):
        if node.kind == "binary" and node.text == "-" and leaves_of(program, function, node.kids[1]).read("scx.slice"):
            return True
    return False


def _multiplies_by_weight(program: Program, function: Function, value: Node, paid: Leaves) -> bool:
    """`used * weight / 100`, with no division by a weight anywhere."""
    if paid.calls & words.SCALES or not paid.read("weight"):
        return False
    times = divided = False
    for node in _resolved(program, function, value):
        if node.kind == "binary" and node.text in ("*", "/"):
            times |= node.text == "*" and any(leaves_of(program, function, kid).read("scx.weight") for kid in node.kids)
            divided |= node.text == "/" and leaves_of(program, function, node.kids[1]).read("weight")
            divided |= node.text == "/" and bool(leaves_of(program, function, node.kids[1]).globals)
    return times and not divided


def _resolved(program: Program, function: Function, value: Node, depth: int = 4) -> Iterator[Node]:
    """An expression's nodes, with those of what its local variables were given, and of what its calls return."""
    for node in value.walk():
        yield node
        if depth and node.kind == "name" and node.text in function.locals:
            for given in function.given.get(node.text, ()):
                yield from _resolved(program, function, given, depth - 1)
        elif depth and node.kind == "call":
            callee = program.function(node.text)
            for returned in callee.returns if callee else ():
                for kid in returned.kids:
                    yield from _resolved(program, callee or function, kid, depth - 1)


def vtime_given(function: Function) -> Iterator[tuple[Node, Node]]:
    """Every place where a task's vtime is set, with what it is given."""
    for node in function.body.walk():
        is_set = node.called in words.SETS_VTIME and len(node.kids) > 1
        if is_set or (node.text in KEEPS_VALUE and node.kids[0].path.endswith("scx.dsq_vtime")):
            yield node, node.kids[1]

# SPDX-License-Identifier: Apache-2.0
"""Virtual time that is owed: credit without limit (F14), none at the start (F15), a clock that goes back (F18)."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.source import words
from verifier_vm.source.checks.charge import vtime_given
from verifier_vm.source.leaves import leaves_of
from verifier_vm.source.tree import KEEPS_VALUE, Found, Function, Node, Program

_COMPARISONS = frozenset({"<", "<=", ">", ">="})


def check(program: Program) -> Iterator[Found]:
    """All of this family."""
    ordered = [
        (node, leaves_of(program, function, *values))
        for function in program.reached_from("enqueue", "select_cpu", "dispatch")
        for node, values in program.inserts(function)
    ]
    by_vtime = [node for node, paid in ordered if paid.read("scx.dsq_vtime") and not paid.calls & words.CLOCKS]
    if by_vtime and not _has_lower_limit(program):
        yield Found(
            "F14", "suspicion", "a task comes back from sleep with all the credit it saved, and runs till it is used",
            by_vtime[0].line, "clamp before inserting: vtime = sx_clamp_vtime(p->scx.dsq_vtime, clock, lag, lead)",
        )  # fmt: skip
    if by_vtime and not _given_at_start(program) and not _has_lower_limit(program):
        yield Found(
            "F15", "suspicion", "a new task has no vtime of its own: nothing sets it in enable", by_vtime[0].line,
            "add an enable callback with sx_set_vtime(p, clock)",
        )  # fmt: skip
    for function in program.functions.values() if ordered else ():  # without a queue by vtime it is nobody's clock
        yield from _clock_goes_back(program, function)


def _given_at_start(program: Program) -> bool:
    starts = program.reached_from("enable", "init_task", "runnable")
    return any(True for function in starts for _ in vtime_given(function))


def _has_lower_limit(program: Program) -> bool:
    """Whether anything may lift a vtime: a clamp, a comparison that leads to another, a function we do not know."""
    functions = program.functions.values()
    return any(_may_lift(program, function, node) for function in functions for node in function.body.walk())


def _may_lift(program: Program, function: Function, node: Node) -> bool:
    if node.kind == "call":
        known = node.called in words.NO_CLAMP or program.function(node.text)
        return not known and any(_is_vtime(program, function, kid) for kid in node.kids)
    if node.kind == "choose" and len(node.kids) == 3:
        return _lower_bound(program, function, node.kids[0])
    if node.kind != "if" or not _lower_bound(program, function, node.kids[0]):
        return False
    given = [inner for inner in node.kids[1].walk() if inner.kind == "binary" and inner.text in KEEPS_VALUE]
    lifted = [
        inner for inner in given if not (inner.kids[0].kind == "name" and inner.kids[0].text in program.variables)
    ]
    returned = any(inner.kind == "return" and inner.kids for inner in node.kids[1].walk())
    return bool(lifted) or returned or any(node.kids[1].calls(words.SETS_VTIME))


def _lower_bound(program: Program, function: Function, condition: Node) -> bool:
    """Whether a condition compares a vtime with something other than a bound that lies ahead."""
    for node in condition.walk():
        if node.kind == "call" and len(node.kids) == 2:
            sides = node.kids
        elif node.kind == "binary" and node.text in _COMPARISONS:
            sides = node.kids
            if sides[0].kind == "binary" and sides[0].text == "-":  # (s64)(a - b) < 0
                sides = sides[0].kids
        else:
            continue
        for left, right in (sides, sides[::-1]):
            if _is_vtime(program, function, left) and not _is_ahead(program, function, right):
                return True
    return False


def _is_vtime(program: Program, function: Function, node: Node) -> bool:
    return leaves_of(program, function, node).read("scx.dsq_vtime")


def _is_ahead(program: Program, function: Function, bound: Node) -> bool:
    """Whether a bound is a global clock and something on top of it."""
    made = leaves_of(program, function, bound)
    return bool(made.globals) and "+" in made.operators and not made.operators & {"-", "-="} and not made.params


def _clock_goes_back(program: Program, function: Function) -> Iterator[Found]:
    """F18: a global is given a task's vtime, whether that is more or less than it has."""
    guarded: set[int] = set()
    for node in function.body.walk():
        if node.kind in ("if", "choose", "for", "while") and node.kids:
            guarded.update(id(inner) for kid in node.kids[1:] for inner in kid.walk())
    walked = function.body.walk()
    compares = any(
        node.called == "sx_before" or (node.kind == "binary" and node.text in _COMPARISONS) for node in walked
    )
    for node in function.body.walk():
        if node.kind != "binary" or node.text != "=" or node.kids[0].kind != "name":
            continue
        clock, value = node.kids[0].text, node.kids[1]
        if clock not in program.variables or clock in function.locals or id(node) in guarded or compares:
            continue
        if _is_task_vtime(program, function, value, clock):
            yield Found(
                "F18", "suspicion", f"{clock} goes back whenever a task with less vtime comes to run", node.line,
                f"only move it on: sx_advance_vtime(&{clock}, p->scx.dsq_vtime)",
            )  # fmt: skip


def _is_task_vtime(program: Program, function: Function, value: Node, clock: str) -> bool:
    """Whether a value is a task's vtime, or a local made of one with no call that may have lifted it to the clock."""
    if value.kind == "field":
        return value.path.endswith("scx.dsq_vtime")
    made = leaves_of(program, function, value)
    return value.kind == "name" and made.read("scx.dsq_vtime") and not made.calls and clock not in made.globals

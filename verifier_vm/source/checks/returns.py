# SPDX-License-Identifier: Apache-2.0
"""Answers that nobody looks at (F02 of making a queue, F26 of a map that keeps a task), and failing (F27 to F29)."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.source import words
from verifier_vm.source.tree import Found, Function, Node, Program

NO_MEMORY = ("an allocation that fails",)  # nothing else keeps a queue from being made
_OFTEN = ("select_cpu", "enqueue", "dequeue", "dispatch", "runnable", "running", "stopping", "quiescent", "tick",
          "init_task", "exit_task", "enable", "disable", "set_cpumask", "cgroup_init", "cgroup_move")  # fmt: skip


def check(program: Program) -> Iterator[Found]:
    """All of this family."""
    for function in program.functions.values():
        for node in _unread(function, words.CREATES):
            yield Found(
                "F02", "suspicion", f"nobody looks at whether {node.called} made the queue", node.line,
                "return the error from init: without the queue, the first insert ends the policy",
                NO_MEMORY,
            )  # fmt: skip
    for function in program.reached_from("enqueue"):
        yield from _lost_in_a_map(function)
    yield from _fails_always(program)
    for function in program.reached_from(*_OFTEN):
        for node in function.body.calls(words.ERRORS):
            yield Found(
                "F29", "suspicion", "a callback that runs while tasks, CPUs and cgroups come and go ends the policy",
                node.line, "end it only for what can never happen: what was not found is a race, and no failure",
            )  # fmt: skip


def _unread(function: Function, names: frozenset[str]) -> Iterator[Node]:
    """Calls whose answer is dropped, cast to void, or kept in a variable that nobody reads."""
    for statement in _statements(function.body):
        if statement.kind == "call" and statement.called in names:
            yield statement
        elif statement.kind == "variable" and statement.kids and _is_unread(function, statement.text):
            value = statement.kids[-1]
            if value.kind == "call" and value.called in names:
                yield value
        elif statement.kind == "binary" and statement.text == "=" and statement.kids[0].kind == "name":
            value = statement.kids[1]
            unread = statement.kids[0].text in function.locals and _is_unread(function, statement.kids[0].text)
            if unread and value.kind == "call" and value.called in names:
                yield value


def _is_unread(function: Function, name: str) -> bool:
    written = sum(
        node.kind == "binary" and node.text == "=" and node.kids[0].kind == "name" and node.kids[0].text == name
        for node in function.body.walk()
    )
    named = sum(node.kind == "name" and node.text == name for node in function.body.walk())
    return named == written


def _statements(body: Node) -> Iterator[Node]:
    """What stands by itself: in a block, or as the whole of a branch or of a loop's body."""
    for node in body.walk():
        if node.kind in ("block", "case", "label"):
            yield from node.kids
        elif node.kind == "if":
            yield from node.kids[1:]
        elif node.kind in ("for", "while"):
            yield node.kids[-1]
        elif node.kind == "do":
            yield node.kids[0]


def _lost_in_a_map(function: Function) -> Iterator[Found]:
    """F26: the only place that keeps the task is a map that may be full."""
    kept_besides = any(function.body.calls(words.PLACES))
    for node in _unread(function, words.PUSHES):
        level = "note" if kept_besides else "suspicion"
        yield Found(
            "F26", level, f"nobody looks at whether {node.called} had room: a task that finds none never runs again",
            node.line, "where it fails, insert the task into a queue",
        )  # fmt: skip


def _fails_always(program: Program) -> Iterator[Found]:
    """F27, F28: a callback that says no to every task or cgroup."""
    for op, bug, what in (("init_task", "F27", "fork"), ("cgroup_init", "F28", "mkdir of a cgroup")):
        function = program.ops.get(op)
        if function is None or not function.returns:
            continue
        values = [node.kids[0].value if node.kids else None for node in function.returns]
        if all(value is not None and value < 0 for value in values):
            reason = f"{op} always fails, and with it every {what}"
            yield Found(bug, "suspicion", reason, function.returns[0].line, "return 0 where it went well")

# SPDX-License-Identifier: Apache-2.0
"""What an insert leaves behind: reading it back (F38), inserting another task (F08), queues destroyed in use (F34)."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.source import words
from verifier_vm.source.flow import Facts, Walk
from verifier_vm.source.tree import Found, Function, Node, Program


def check(program: Program) -> Iterator[Found]:
    """All of this family."""
    for function in program.functions.values():
        walk = _ReadsBack()
        walk.run(function.body)
        yield from walk.found
    for op in ("select_cpu", "enqueue"):
        if op in program.ops:
            yield from _another_task(program.ops[op], op)
    last = set(program.reached_from("exit"))
    for function in program.reached_from(*(op for op in program.ops if op != "exit")):
        for node in function.body.calls(words.DESTROYS):
            if function not in last:
                yield Found(
                    "F34", "suspicion", "a queue is destroyed while the policy goes on", node.line,
                    "leave it: the kernel frees all queues when a policy goes",
                )  # fmt: skip


class _ReadsBack(Walk):
    """Facts: tasks that have been inserted and not been exchanged for another since."""

    def __init__(self) -> None:
        self.found: list[Found] = []

    def called(self, node: Node, facts: Facts) -> Facts:
        if node.called in words.PLACES - words.PLACES_ON_IDLE - {"sx_insert_woken_kthread"}:
            task = node.kids[words.TASK] if node.kids else None
            if task is not None and task.kind == "name":
                return facts | {task.text}
        return facts

    def used(self, node: Node, facts: Facts) -> Facts:
        if node.kind == "field" and node.root.kind == "name" and node.root.text in facts:
            for field in ("slice", "dsq_vtime"):
                if node.path.endswith(f"scx.{field}"):
                    self.found.append(Found(
                        "F38", "suspicion", f"p->scx.{field} is read after the insert: 7.3 gives the old one",
                        node.line, "keep what was given to the insert in a variable",
                    ))  # fmt: skip
        return facts


def _another_task(function: Function, op: str) -> Iterator[Found]:
    """F08: what select_cpu and enqueue insert is not the task they were called for."""
    own = function.params[1] if len(function.params) > 1 else ""
    for node in function.body.calls(words.PLACES):
        task = node.kids[words.TASK] if node.kids else None
        if task is None or task.kind != "name" or task.text == own or task.text not in function.locals:
            continue
        given = function.given.get(task.text, [])
        if given and all(value.kind == "call" for value in given):
            yield Found(
                "F08", "suspicion", f"{op} inserts another task than the one it was called for", node.line,
                "insert others from dispatch only",
            )  # fmt: skip

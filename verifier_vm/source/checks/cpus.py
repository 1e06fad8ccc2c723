# SPDX-License-Identifier: Apache-2.0
"""CPUs by number: one that may be negative (F11), that is not allowed (F10, F12), that is the executing one (F39)."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.source import words
from verifier_vm.source.flow import Facts, Walk
from verifier_vm.source.leaves import leaves_of
from verifier_vm.source.tree import Found, Function, Node, Program

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


def check(program: Program) -> Iterator[Found]:
    """All of this family."""
    for function in program.functions.values():
        walk = _MaybeNegative(function is program.ops.get("select_cpu"))
        walk.run(function.body)
        yield from walk.found
        yield from _sent_anywhere(program, function)
    yield from _chosen_anywhere(program)
    for function in program.reached_from("running", "stopping"):
        for node in function.body.calls({"bpf_get_smp_processor_id"}):
            yield Found(
                "F39", "suspicion", "bpf_get_smp_processor_id in running or stopping, where it may be another CPU",
                node.line, "use sx_task_cpu(p) (scx_bpf_task_cpu)",
            )  # fmt: skip


class _MaybeNegative(Walk):
    """Facts: variables that hold what looking for an idle CPU gave, and have not been compared with anything."""

    def __init__(self, is_select_cpu: bool) -> None:
        self.is_select_cpu = is_select_cpu
        self._in_condition = False
        self.found: list[Found] = []

    def assigned(self, name: str, value: Node | None, facts: Facts) -> Facts:
        if value is not None and _negative(value, facts):
            return facts | {name}
        return facts - {name}

    def called(self, node: Node, facts: Facts) -> Facts:
        if node.called in words.KICKS and node.kids and _negative(node.kids[0], facts):
            self._say("a CPU is kicked whose number may be negative: none was idle", node)
        elif node.called in words.PLACES and len(node.kids) > words.DSQ and _sent_to(node.kids[words.DSQ]):
            target = _sent_to(node.kids[words.DSQ])
            if target is not None and _negative(target, facts):
                self._say("a task is sent to a CPU whose number may be negative: none was idle", node)
        elif node.called not in words.KICKS | words.PLACES:  # whoever is given it may well look at it
            return facts - {kid.text for kid in node.kids if kid.kind == "name"}
        return facts

    def refined(self, condition: Node, holds: bool, facts: Facts) -> Facts:
        """After `cpu >= 0` it is none, after `cpu < 0` it still may be; any other look at it counts as care."""
        looked_at = {node.text for node in condition.walk() if node.kind == "name"} & facts
        if condition.kind == "binary" and condition.text in _COMPARISONS and condition.kids[0].kind == "name":
            value = condition.kids[1].value
            is_negative = value is not None and value < 0
            if {"<": value == 0, "<=": value == -1, "==": is_negative}.get(condition.text) and holds:
                return facts
            if {">=": value == 0, ">": value == -1, "!=": is_negative}.get(condition.text) and not holds:
                return facts
        return facts - looked_at

    def _binary(self, node: Node, facts: Facts) -> Facts:
        """A comparison whose outcome is kept counts as care: what becomes of it is not followed."""
        after = super()._binary(node, facts)
        if node.text in _COMPARISONS and not self._in_condition:
            return after - {kid.text for kid in node.kids if kid.kind == "name"}
        return after

    def _condition(self, node: Node, facts: Facts) -> Facts:
        before, self._in_condition = self._in_condition, True
        try:
            return super()._condition(node, facts)
        finally:
            self._in_condition = before

    def returned(self, node: Node, facts: Facts) -> None:
        if self.is_select_cpu and node.kids and _negative(node.kids[0], facts):
            self._say("select_cpu may return a negative number: where no CPU was idle", node)

    def _say(self, reason: str, node: Node) -> None:
        advice = "ask whether the number is 0 or more; else use prev_cpu, or kick nobody"
        self.found.append(Found("F11", "suspicion", reason, node.line, advice))


def _negative(node: Node, facts: Facts) -> bool:
    if node.kind == "call":
        return node.called in words.IDLE_OR_NEGATIVE
    return node.kind == "name" and node.text in facts


def _sent_to(dsq: Node) -> Node | None:
    """The CPU in `SCX_DSQ_LOCAL_ON | cpu`."""
    if dsq.kind == "binary" and dsq.text in ("|", "+"):
        for base, cpu in (dsq.kids, dsq.kids[::-1]):
            if base.kind == "name" and base.text == "SCX_DSQ_LOCAL_ON":
                return cpu
    return None


def _sent_anywhere(program: Program, function: Function) -> Iterator[Found]:
    """F10: a task sent to a CPU by number, and nobody near asks whether it may run there."""
    for node in function.body.calls(words.PLACES):
        target = _sent_to(node.kids[words.DSQ]) if len(node.kids) > words.DSQ else None
        if target is None or _asked(program, function):
            continue
        came_from = leaves_of(program, function, target)
        if came_from.calls - words.COUNTS_CPUS or came_from.opaque or came_from.params - _numbers(function):
            continue
        if came_from.operators or came_from.constants or not (came_from.params or came_from.fields):
            yield Found(
                "F10", "suspicion", "a task is sent to a CPU by its number, where it may not run", node.line,
                "ask sx_can_run_on(p, cpu) first, or insert into a queue of your own and let sx_move_to_local choose",
            )  # fmt: skip


def _numbers(function: Function) -> set[str]:
    return set(function.params[1:]) if function.name.startswith("____") else set()


def _asked(program: Program, function: Function) -> bool:
    """Whether a function, one that it calls, or one that calls it, looks at where a task may run."""
    near = {callee.name: callee for callee in program.reached(function)}
    for other in program.functions.values():
        if function in program.reached(other):
            near[other.name] = other
    return any(_asks(other) for other in near.values())


def _asks(function: Function) -> bool:
    return any(
        (node.kind == "call" and node.called in words.ASKS_AFFINITY)
        or (node.kind == "field" and node.text in words.ASKS_AFFINITY_FIELDS)
        for node in function.body.walk()
    )


def _chosen_anywhere(program: Program) -> Iterator[Found]:
    """F12: select_cpu computes a CPU from numbers alone."""
    function = program.ops.get("select_cpu")
    if function is None or any(_asks(other) for other in program.reached(function)):
        return
    for node in function.returns:
        if not node.kids:
            continue
        chosen = leaves_of(program, function, node.kids[0])
        if chosen.calls - words.COUNTS_CPUS or chosen.opaque or chosen.fields - {"pid", "tgid"}:
            continue
        computed = chosen.operators & {"+", "-", "%", "&", "^", "*", "++"} or not chosen.params
        if computed:
            yield Found(
                "F12", "suspicion", "select_cpu proposes a CPU computed from numbers alone, where the task may not run",
                node.line, "return what sx_select_cpu_dfl or sx_pick_idle_cpu(p->cpus_ptr, 0) gives, or prev_cpu",
            )  # fmt: skip

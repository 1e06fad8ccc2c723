# SPDX-License-Identifier: Apache-2.0
"""Time that is given away: slices that do not end (F19), long loops (F36), yields ignored (F40)."""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.source import words
from verifier_vm.source.tree import KEEPS_VALUE, Found, Function, Node, Program

LONG_SLICE_NS = 1_000_000_000
LONG_LOOP = 100_000  # rounds; even at 5 ns each a CPU stands still for half a millisecond
_ENDLESS = (1 << 64) - 1


def check(program: Program) -> Iterator[Found]:
    """All of this family."""
    for function in program.functions.values():
        for node in function.body.calls(words.INSERTS):
            if len(node.kids) > words.SLICE:
                yield from _slice(node, node.kids[words.SLICE])
    for function in program.reached_from(*words.LOCKED):
        yield from _loops(program, function)
    yield from _yield_ignored(program)
    for op in ("cgroup_set_weight", "cgroup_set_bandwidth"):
        handler = program.ops.get(op)
        if handler and not any(node.kind in ("call", "binary") for node in handler.body.walk()):
            yield Found(
                "F41", "suspicion", f"{op} is there and does nothing: the cgroup's share is void", handler.line,
                "keep what it is told and honour it in enqueue, or leave the callback out",
            )  # fmt: skip


def _slice(node: Node, given: Node) -> Iterator[Found]:
    value = given.value
    if value is None:
        return
    if value & _ENDLESS == _ENDLESS:
        reason = "a slice without end: whoever gets it keeps its CPU until somebody kicks it"
    elif value > LONG_SLICE_NS:
        reason = f"a slice of {value / 1e9:.3g} s"
    else:
        return
    yield Found("F19", "suspicion", reason, node.line, "give a few milliseconds, fewer the more tasks wait")


def _loops(program: Program, function: Function) -> Iterator[Found]:
    for node in function.body.walk():
        rounds = _rounds(node)
        if rounds is not None and rounds > LONG_LOOP and not _ends_early(program, node):
            yield Found(
                "F36", "suspicion", f"a loop of {rounds} rounds while the run queue is locked", node.line,
                "do a few per call, or do it in a timer",
            )  # fmt: skip


def _rounds(node: Node) -> int | None:
    if node.kind == "call" and node.called == "bpf_loop" and node.kids:
        return node.kids[0].value
    if node.kind != "for" or len(node.kids) < 2:
        return None
    for kid in node.kids[:-1]:
        for call in kid.calls({"bpf_iter_num_new"}):  # bpf_for, bpf_repeat
            start, end = (call.kids[1].value, call.kids[2].value) if len(call.kids) == 3 else (None, None)
            return None if start is None or end is None else end - start
        if kid.kind == "binary" and kid.text in ("<", "<=", "!="):  # for (i = 0; i < N; i++)
            return kid.kids[1].value
    return None


def _ends_early(program: Program, node: Node) -> bool:
    """Whether a loop, or the function that bpf_loop calls, can say that it is enough."""
    if node.kind == "for":
        return _is_left(node.kids[-1])
    called = program.function(node.kids[1].text) if len(node.kids) > 1 and node.kids[1].kind == "name" else None
    return called is None or any(given.kids and given.kids[0].value != 0 for given in called.returns)


def _is_left(node: Node, *, in_loop: bool = False) -> bool:
    """Whether a loop's body can end the loop: its bound, which BPF demands, then says nothing of how long it takes."""
    if node.kind == "return" or (node.kind == "jump" and node.text == "goto"):
        return True
    if node.kind == "jump" and node.text == "break" and not in_loop:
        return True
    inner = in_loop or node.kind in ("for", "while", "do", "switch")
    return any(_is_left(kid, in_loop=inner) for kid in node.kids)


def _yield_ignored(program: Program) -> Iterator[Found]:
    handler = program.ops.get("yield")
    if handler is None:
        return
    for function in program.reached(handler):
        for node in function.body.walk():
            written = node.kind == "binary" and node.text in KEEPS_VALUE and node.kids[0].kind == "field"
            if node.kind == "call" and not node.text.startswith("__sync_") and not program.function(node.text):
                return  # a setter, a kick, or something that may be one
            if written and "slice" in node.kids[0].text:
                return
    yield Found(
        "F40", "suspicion", "yield leaves the slice as it is: who yields keeps the CPU", handler.line,
        "end the slice, sx_set_slice(from, 0), or leave the callback out: the kernel then does it",
    )  # fmt: skip

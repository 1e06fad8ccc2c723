# SPDX-License-Identifier: Apache-2.0
"""The head of shared queues: which inserts have SCX_ENQ_HEAD, or may have it (F18)."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.model import Finding
from verifier_vm.object.facts import Facts, Insert, builtin, dsq_text, local
from verifier_vm.object.kernel import ENQ_HEAD_BIT
from verifier_vm.object.record import SOME_QUEUE
from verifier_vm.object.values import MASK, Expr, Value, sure_bits

DEPTH = 12  # of a formula of flags that is looked through: what is deeper may be anything
GIVEN = "enq_flags"


def check_orders(facts: Facts) -> Iterator[Finding]:
    """A finding for each shared queue into whose head some may go."""
    advice = (
        "Insert at the tail, without SCX_ENQ_HEAD; keep the head for those that are to go on, such as who was preempted"
        " with time left, and for kernel threads."
    )
    for dsq, inserts in _shared(facts).items():
        ahead = [insert for insert in inserts if _may_be_at_head(facts, insert)]
        if not ahead:
            continue
        queue = "a DSQ" if dsq == SOME_QUEUE else dsq_text(dsq) if builtin(dsq) else f"DSQ {dsq:#x}"
        every = all(not insert.moved and sure_bits(insert.flags) & ENQ_HEAD_BIT for insert in inserts)
        reason = (
            f"every insert into {queue} has SCX_ENQ_HEAD: who comes last goes first, and the first may never run"
            if every
            else f"an insert into {queue} can have SCX_ENQ_HEAD: who has it each time goes before all that wait there"
        )
        yield facts.finding("F18", "suspicion", reason, ahead[0].call, advice)


def queues_with_a_head(facts: Facts) -> frozenset[int]:
    """Ids of the shared queues into whose head some insert goes, or may go; SOME_QUEUE for ids not known."""
    return frozenset(
        dsq for dsq, inserts in _shared(facts).items() if any(_may_be_at_head(facts, insert) for insert in inserts)
    )


def _shared(facts: Facts) -> dict[int, list[Insert]]:
    queues: dict[int, list[Insert]] = {}
    for insert in facts.inserts:
        if insert.vtime is None and not local(insert.dsq):
            queues.setdefault(insert.dsq if isinstance(insert.dsq, int) else SOME_QUEUE, []).append(insert)
    return queues


def _may_be_at_head(facts: Facts, insert: Insert) -> bool:
    return bool(_own_bits(facts, insert.flags) & ENQ_HEAD_BIT)


def _own_bits(facts: Facts, value: Value | None, depth: int = DEPTH) -> int:
    """The bits that a value of flags may have by the policy's doing: what the kernel gave enqueue is the kernel's."""
    if not isinstance(value, Expr):
        return value or 0
    made_of = facts.made_of.get(value)
    given = value.op == "arg" and value.key == GIVEN
    every = (1 << value.bits) - 1
    if given or not depth or (value.a is None and made_of is None):
        return 0 if given else every
    a, b = (_own_bits(facts, part, depth - 1) for part in (value.a if made_of is None else made_of, value.b))
    by = value.b if isinstance(value.b, int) else None
    bits = every
    match value.op:
        case "or" | "add" | "xor":
            bits = a | b
        case "off" if isinstance(value.key, int):
            bits = a | value.key
        case "and":
            bits = a & b
        case "low" | "mix":
            bits = a & every
        case "lsh" if by is not None:
            bits = a << by & MASK
        case "rsh" if by is not None:
            bits = a >> by
        case _:
            pass
    return bits

# SPDX-License-Identifier: Apache-2.0
"""How a policy takes turns, where that asks for a situation: several looks in one dispatch, a clock of virtual time."""

from __future__ import annotations

from verifier_vm.object.facts import Facts, place_of
from verifier_vm.object.rounds import most_rounds
from verifier_vm.object.values import Expr, is_vtime


def looks_again(facts: Facts) -> bool:
    """Whether one dispatch may look into queues more than once by one line, as which takes several tasks, or passes by
    several queues: it may take what others could run, or leave out the last.
    """
    looks = (call for call in facts.record.by_name("scx_bpf_dsq_move_to_local") if call.entry == "dispatch")
    return any(most_rounds(facts, call.entry, call.pc) != 1 for call in looks)


def keeps_clock(facts: Facts) -> bool:
    """Whether running writes a task's vtime to the policy's own memory, and tasks are ordered by theirs."""
    ordered = any(insert.vtime is not None for insert in facts.inserts)
    return ordered and any(
        isinstance(write.value, Expr) and place_of(write.base, write.offset) is not None
        for write in facts.record.writes.values()
        if write.entry == "running" and any(map(is_vtime, getattr(write.value, "leaves", ())))
    )

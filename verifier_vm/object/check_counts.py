# SPDX-License-Identifier: Apache-2.0
"""The check of counts: whether dispatch stops to serve a queue once one has run out (F03)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy_lake.model import Finding
from verifier_vm.object.counts import closings
from verifier_vm.object.facts import Facts
from verifier_vm.object.record import FOUND, SOME_QUEUE
from verifier_vm.situations import Situation


def check_counts(facts: Facts) -> Iterator[Finding]:
    """One finding for each place at which a count decides."""
    advice = (
        "Let the count decide which queue comes first, or how many tasks are moved, but have every dispatch look into"
        " every queue before the CPU idles; or fill the count up again where the policy itself comes by."
    )
    for closing in closings(facts):
        known = sorted(queue for queue in closing.queues if queue not in (FOUND, SOME_QUEUE))
        queues = f"DSQ {', '.join(f'{queue:#x}' for queue in known)}" if known else "its queues"
        turn, goes = closing.turn, "rises" if closing.turn.count.step > 0 else "falls"
        reason = (
            f"dispatch can pass {queues} by for good once a count that only {goes} has taken {turn.steps} steps,"
            f" from {turn.count.start}"
        )
        place = facts.place("dispatch", facts.program.line_of(turn.pc), turn.pc)
        yield replace(Finding("F03", "suspicion", reason, place, advice), situations=(Situation.COUNTED_OUT,))

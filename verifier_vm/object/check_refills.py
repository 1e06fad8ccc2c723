# SPDX-License-Identifier: Apache-2.0
"""The check of refills: callbacks that give a task a slice while it has one, so that its turn may never end (F19)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy_lake.model import Finding
from verifier_vm.object.facts import Facts
from verifier_vm.object.kernel import ENQ_MIGRATION_DISABLED
from verifier_vm.situations import Situation

ADVICE = (
    "Give a slice where a task is inserted, or to prev in dispatch when nobody waits; in tick set it to 0 to end a"
    " turn, and leave a task that is interrupted what is left."
)
_RELEASE_ADVICE = (
    "Set SCX_OPS_ENQ_MIGRATION_DISABLED, so that enqueue gets that task, too, or leave cpu_release out: who is"
    " interrupted then goes on with what is left of its slice."
)
# Each is called while a task has its turn, or before the kernel looks whether it is over, and what shows a turn that
# is filled up there: a tick comes to hogs of any level, the others to who is interrupted.
_TURNS = {
    "tick": ("at each tick", (Situation.HOGS, Situation.NICE)),
    "running": ("whenever it goes on", (Situation.HOGS, Situation.PULSE, Situation.PREEMPTED)),
    "stopping": ("when it is stopped", (Situation.HOGS, Situation.PULSE, Situation.PREEMPTED)),
    "timer": ("by a timer", (Situation.HOGS, Situation.NICE)),
}


def check_refills(facts: Facts) -> Iterator[Finding]:
    """One suspicion for each of those callbacks, at the first place that gives more than is left."""
    yield from _released(facts)
    said = set[str]()
    for (entry, pc), (line, value) in sorted(facts.record.refills.items(), key=lambda item: item[0]):
        name = "timer" if entry.startswith("timer") else entry  # several are told apart by a number
        if name not in _TURNS or name in said:
            continue
        said.add(name)
        when, shown_by = _TURNS[name]
        length = f"of {value / 1e6:g} ms" if isinstance(value, int) else "computed at run time"
        reason = f"{name} gives a task a slice {length} {when}: a turn that is filled up before it ends never does"
        yield replace(Finding("F19", "suspicion", reason, facts.place(entry, line, pc), ADVICE), situations=shown_by)


def _released(facts: Facts) -> Iterator[Finding]:
    """Seen on 7.3: of two tasks bound to a CPU with a pulse of real time, the second never ran."""
    calls = [call for call in facts.record.calls.values()
             if call.entry == "cpu_release" and call.name.startswith("scx_bpf_reenqueue_local")]  # fmt: skip
    if not calls or facts.flag(ENQ_MIGRATION_DISABLED):
        return
    first = min(calls, key=lambda call: call.pc)
    reason = (
        "cpu_release has the kernel enqueue again whom it interrupted, and that is the current task, whose migration is"
        " disabled while a BPF program runs: the kernel keeps such a one on its CPU and gives it a whole slice"
    )
    finding = Finding("F19", "suspicion", reason, facts.place(first.entry, first.line, first.pc), _RELEASE_ADVICE)
    yield replace(finding, situations=(Situation.PULSE, Situation.PREEMPTED))

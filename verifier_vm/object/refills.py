# SPDX-License-Identifier: Apache-2.0
"""Slices that a task is given while it has one, as the walk meets them: those that may be longer than what is left."""

from __future__ import annotations

from verifier_vm.object.record import Record
from verifier_vm.object.state import State
from verifier_vm.object.values import Value

SETTER = "scx_bpf_task_set_slice"


def note_slice(state: State, record: Record, entry: str, value: Value) -> None:
    """Keep where a callback gives a slice that may be longer than the task's own: not 0, and no cut after a look."""
    more = state.path.more_left
    cuts = value is more or (isinstance(value, int) and isinstance(more, int) and value <= more)
    if value != 0 and not cuts:
        record.refills.setdefault((entry, state.pc), (state.line, value))

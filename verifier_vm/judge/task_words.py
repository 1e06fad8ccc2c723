# SPDX-License-Identifier: Apache-2.0
"""A task of a dump in words: where it stands, and for how long it has waited."""

from __future__ import annotations

from verifier_vm.judge.dump import GLOBAL_DSQ, LOCAL_DSQ, Task


def place_in_words(task: Task) -> str:
    """Where a task stands, for people."""
    if task.dsq is None:
        return "in no queue" if task.in_custody else "between queues"
    return f"in {queue_in_words(task.dsq)}"


def queue_in_words(dsq: int | None) -> str:
    if dsq == LOCAL_DSQ:
        return "its CPU's local queue"
    return "the global queue" if dsq == GLOBAL_DSQ else f"queue 0x{dsq or 0:x}"


def waits(task: Task) -> str:
    return f"{task.name} has waited {place_in_words(task)} for {seconds(task)}"


def seconds(task: Task) -> str:
    return f"{task.waited_ms / 1000:.1f} s"

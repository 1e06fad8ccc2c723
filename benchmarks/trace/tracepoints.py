# SPDX-License-Identifier: Apache-2.0
"""Which tracepoints a recording takes, which fields of them, and which of their events concern one command."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.trace.perf_data import Event

SWITCH, WAKING, EXEC, NEW, RENAME = (
    "sched/sched_switch", "sched/sched_waking", "sched/sched_process_exec", "task/task_newtask", "task/task_rename",
)  # fmt: skip
SOFT_IN, SOFT_OUT = "irq/softirq_entry", "irq/softirq_exit"
# The fields wanted of each, in the order in which trace_build.py takes them.
WANTED = {
    SWITCH: ("prev_pid", "prev_prio", "prev_state", "next_pid"), WAKING: ("pid",), EXEC: ("pid", "old_pid"),
    NEW: ("pid", "comm", "clone_flags"), RENAME: ("pid", "newcomm"), SOFT_IN: ("vec",), SOFT_OUT: ("vec",),
}  # fmt: skip
# Of the soft interrupts those of timers, block devices and RCU wake for reasons of their own. Left out are reception
# from the network (3), since over the loopback device the sender itself carries its packet to the receiver in one,
# and balancing (7), which wakes nobody.
SOFT_FILTER = "vec!=3&&vec!=7"


def descendants(events: Iterable[Event], root: int) -> set[int]:
    """The ids of `root` and of every task descended from it, from its `task_newtask` events in the order of time."""
    known = {root}
    for event in events:
        if event.name == NEW and event.current in known:
            known.add(event.fields[0])
    return known


def concerns(event: Event, known: set[int]) -> bool:
    """Whether an event says anything of the tasks with ids in `known`, or of the CPUs' interrupts."""
    if event.name in (SOFT_IN, SOFT_OUT):
        return True
    if event.name == SWITCH and (event.fields[3] in known or (event.current == 0) != (event.fields[3] == 0)):
        return True  # also who goes idle or ceases to be: whether others have the CPU
    return event.current in known or event.fields[0] in known

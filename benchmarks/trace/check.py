# SPDX-License-Identifier: Apache-2.0
"""Whether a trace can be replayed to its end: tasks are made once, edges are used once, nothing waits for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.comm import COMM_BYTES, comm_bytes
from benchmarks.trace.tasks import EXIT, FORK, NAME, NICE, SHARES, SLEEP, THREAD, WAIT, WAKE, Trace, TraceInfo
from policy_lake.limits import LONGEST_NAME, TRACE_CPUS, TRACE_TASKS, TRACE_US, WORKLOAD_FOOTPRINT_KIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CLOCKS_APART = 1.01  # what the clocks of a host's CPUs may make of it


def first_fault(trace: Trace) -> str:
    """What is wrong, naming the field and the row; empty if nothing is."""
    return (
        task_fault(trace.task)
        or _shape_fault(trace)
        or _argument_fault(trace)
        or _edge_fault(trace)
        or _order_fault(trace)
        or _time_fault(trace)
    )


def task_fault(task: NDArray[np.int64]) -> str:
    """What is wrong with the column `task`, before a trace is made of it, whose size the last task's number sets."""
    if len(task) == 0:
        return "field 'task': zero tasks, so there is nothing to replay"
    steps = np.diff(task)
    if task[0] != 0 or ((steps != 0) & (steps != 1)).any():
        row = 0 if task[0] else int(np.nonzero((steps != 0) & (steps != 1))[0][0]) + 1
        return f"field 'task', row {row}: tasks are not numbered one after the other"
    if task[-1] >= TRACE_TASKS:
        return f"field 'task': {task[-1] + 1} tasks, and a guest bears at most {TRACE_TASKS}"
    return ""


def info_fault(info: TraceInfo) -> str:
    """What is wrong with what is known beside the operations."""
    ranges = {
        "cpus": (1, TRACE_CPUS), "wall_us": (1, TRACE_US), "quiet_us": (0, TRACE_US), "wakeups": (0, 2**53),
        "busy_share": (0, 2), "stolen_share": (0, 2),
    }  # fmt: skip
    for field, (low, high) in ranges.items():
        if not low <= (value := getattr(info, field)) <= high:
            return f"field '{field}': must be above 0" if low == 1 > value else f"field '{field}': {value} is too much"
    if len(info.names) > TRACE_TASKS or len(info.delays_us) > len(SHARES) or len(info.kernel) > LONGEST_NAME:
        return "field 'names', 'delays_us' or 'kernel': longer than in any trace"
    if not all(0 <= delay_us <= TRACE_US for delay_us in info.delays_us):
        return "field 'delays_us': not from 0 to a day"
    if max(len(comm_bytes(name)) for name in (info.command, *info.names)) > COMM_BYTES:
        return f"field 'names': a name of more than {COMM_BYTES} bytes is none of a task's"
    return _footprint_fault(info)


def _footprint_fault(info: TraceInfo) -> str:
    if not info.footprints_kib.keys() <= {info.command, *info.names}:
        return "field 'footprints_kib': a name that is none of field 'names'"
    limit = WORKLOAD_FOOTPRINT_KIB
    if not all(limit.low <= kib <= limit.high for kib in info.footprints_kib.values()):
        return f"field 'footprints_kib': not from 1 to {limit.high} KiB"
    return ""


def _shape_fault(trace: Trace) -> str:
    last = np.zeros(len(trace), dtype=bool)
    last[trace.starts[1:] - 1] = True
    if ((trace.op == EXIT) != last).any():
        row = int(np.nonzero((trace.op == EXIT) != last)[0][0])
        return f"field 'op', row {row}: 'exit' must be the last operation of each task, and of no other place"
    return ""


def _argument_fault(trace: Trace) -> str:
    ranges = {
        FORK: (1, trace.tasks - 1), THREAD: (1, trace.tasks - 1), NAME: (0, len(trace.info.names) - 1),
        NICE: (-20, 19), SLEEP: (0, 2**31 - 1),
    }  # fmt: skip
    for op, (low, high) in ranges.items():
        wrong = (trace.op == op) & ((trace.arg < low) | (trace.arg > high))
        if wrong.any():
            row = int(np.nonzero(wrong)[0][0])
            return f"field 'arg', row {row}: must be from {low} to {high}, not {trace.arg[row]}"
    if int(trace.after_us.sum()) > TRACE_US:
        return "field 'after_us': more than a day of CPU time"
    return ""


def _time_fault(trace: Trace) -> str:
    """CPU time that is none, or a task's own that its command's makespan has no room for."""
    if not trace.after_us.any():
        return "field 'after_us': no CPU time at all, so there is nothing to replay"
    own = np.add.reduceat(trace.after_us + np.where(trace.op == SLEEP, trace.arg, 0), trace.starts[:-1])
    # Each operation is rounded to 1 us by itself.
    over = np.nonzero(own > trace.info.wall_us * _CLOCKS_APART + np.diff(trace.starts))[0]
    if len(over):
        task = int(over[0])
        return (
            f"field 'wall_us': {trace.info.wall_us} us of makespan have no room for task {task}, "
            f"which runs and sleeps for {own[task]} us"
        )
    return ""


def _edge_fault(trace: Trace) -> str:
    made = np.sort(trace.arg[(trace.op == FORK) | (trace.op == THREAD)])
    if not np.array_equal(made, np.arange(1, trace.tasks)):
        return "field 'arg': a task is made twice, or never"
    wakes, waits = (np.sort(trace.arg[trace.op == op]) for op in (WAKE, WAIT))
    edges = np.arange(len(wakes))
    if not np.array_equal(wakes, edges) or not np.array_equal(waits, edges):
        return "field 'arg': an edge is not woken once and waited for once"
    return ""


def _order_fault(trace: Trace) -> str:
    """Runs every task as far as it comes without time; what is left then waits for itself (or makes itself)."""
    ops, args = trace.op.tolist(), trace.arg.tolist()  # a tenth of the time that it takes with numpy's own numbers
    at = trace.starts[:-1].tolist()
    woken = [False] * int((trace.op == WAKE).sum())
    sleepers: dict[int, int] = {}
    ready, ended = [0], 0
    while ready:
        task = ready.pop()
        while True:
            i = at[task]
            op, arg = ops[i], args[i]
            if op == WAIT and not woken[arg]:
                sleepers[arg] = task
                break
            at[task] += 1
            if op == WAKE:
                woken[arg] = True
                ready += [sleepers.pop(arg)] if arg in sleepers else []
            elif op in (FORK, THREAD):
                ready.append(arg)
            elif op == EXIT:
                ended += 1
                break
    if ended == trace.tasks:
        return ""
    stuck = f"task {min(sleepers.values())} waits for a wake-up" if sleepers else "a task is never made that"
    return f"field 'arg': {stuck} that never comes"

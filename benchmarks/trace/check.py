# SPDX-License-Identifier: Apache-2.0
"""Whether a trace can be replayed to its end: tasks are made once, edges are used once, nothing waits for ever."""

from __future__ import annotations

import numpy as np

from benchmarks.trace.tasks import EXIT, FORK, NAME, NICE, SLEEP, THREAD, WAIT, WAKE, Trace

MOST_TASKS = 200_000
_MOST_US = 86_400_000_000


def first_fault(trace: Trace) -> str:
    """What is wrong, naming the field and the row; empty if nothing is."""
    return _shape_fault(trace) or _argument_fault(trace) or _edge_fault(trace) or _order_fault(trace)


def _shape_fault(trace: Trace) -> str:
    if len(trace) == 0:
        return "field 'task': zero tasks, so there is nothing to replay"
    steps = np.diff(trace.task)
    if trace.task[0] != 0 or ((steps != 0) & (steps != 1)).any():
        row = 0 if trace.task[0] else int(np.nonzero((steps != 0) & (steps != 1))[0][0]) + 1
        return f"field 'task', row {row}: tasks are not numbered one after the other"
    if trace.tasks > MOST_TASKS:
        return f"field 'task': {trace.tasks} tasks, and a guest bears at most {MOST_TASKS}"
    last = np.zeros(len(trace), dtype=bool)
    last[trace.starts[1:] - 1] = True
    if ((trace.op == EXIT) != last).any():
        row = int(np.nonzero((trace.op == EXIT) != last)[0][0])
        return f"field 'op', row {row}: 'exit' must be the last operation of each task, and of no other place"
    if trace.info.wall_us < 1 or trace.info.cpus < 1:
        return f"field '{'cpus' if trace.info.cpus < 1 else 'wall_us'}': must be above 0"
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
    if int(trace.after_us.sum()) > _MOST_US:
        return "field 'after_us': more than a day of CPU time"
    if max((len(name.encode()) for name in trace.info.names), default=0) > 15:
        return "field 'names': a name of more than 15 bytes is none of a task's"
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
    at = trace.starts[:-1].copy()
    woken = np.zeros(int((trace.op == WAKE).sum()), dtype=bool)
    sleepers: dict[int, int] = {}
    ready, ended = [0], 0
    while ready:
        task = ready.pop()
        while True:
            i = int(at[task])
            op, arg = int(trace.op[i]), int(trace.arg[i])
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

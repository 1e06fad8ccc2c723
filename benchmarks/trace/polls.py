# SPDX-License-Identifier: Apache-2.0
"""Waits with a time limit: a task that waits for another, and looks up at intervals in vain.

The kernel tells each look as a wake-up by a timer, so a recording holds sleeps where the task waited for an event. In a
replay they must not take the time that they took: how often it looked hangs on when the event came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.trace.tasks import SLEEP, WAIT, WAKE, Trace, at_us, replace_ops

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

# A look costs this much CPU time at most, and this share of the interval: more is work that the timer was set for.
LOOK_US, LOOK_SHARE = 200, 0.02
LEAST_US = 1000  # of an interval: shorter ones are pauses
LEAST_LOOKS = 3  # of one length in a task, so that it is an interval and no chance
NEARLY = 0.02  # by which lengths of one interval differ: a timer's slack, and the way to the CPU
COARSE = 1.05  # times of the original have six significant bits
RECENT = 4


def without_looks(trace: Trace) -> tuple[Trace, int]:
    """The trace with the sleeps of such waits taken out, and how many those were.

    Sleeps before a wait belong to it if nothing but a look lies between, none is longer than an interval of the task's,
    and the wait ended within one. Their CPU time and the original's time off it pass to what comes next.
    """
    waits = np.nonzero(trace.op == WAIT)[0]
    if not len(waits) or not (trace.op == SLEEP).any():
        return trace, 0
    at, woken = at_us(trace), np.zeros(len(waits), dtype=np.int64)
    woken[trace.arg[trace.op == WAKE]] = at[trace.op == WAKE]
    intervals: dict[int, list[int]] = {}
    out = np.zeros(len(trace), dtype=bool)
    for wait in waits.tolist():
        task = int(trace.task[wait])
        if task not in intervals:
            intervals[task] = _intervals(trace, task)
        if known := intervals[task]:
            looks = list(_before(trace, wait))
            lasted_us = int(woken[trace.arg[wait]] - at[wait])
            out[_of_one_wait(trace, at, looks, known, lasted_us)] = True
    return (_less(trace, out), int(out.sum())) if out.any() else (trace, 0)


def _intervals(trace: Trace, task: int) -> list[int]:
    """The lengths that several sleeps of the task have, each the shortest of its like, in us."""
    span = trace.span(task)
    piece = slice(span.start, span.stop)
    lengths = np.sort(trace.arg[piece][trace.op[piece] == SLEEP])
    found, first = [], 0
    for index, length in enumerate(lengths.tolist()):
        if length > lengths[first] * (1 + NEARLY):
            first = index
        if index - first + 1 == LEAST_LOOKS and lengths[first] >= LEAST_US:
            found.append(int(lengths[first]))
    return found


def _before(trace: Trace, wait: int) -> Iterator[int]:
    """The sleeps right before a wait, the last first, as long as only looks lie between."""
    start, at = trace.span(int(trace.task[wait])).start, wait
    while at > start and trace.op[at - 1] == SLEEP:
        if trace.after_us[at] > min(LOOK_US, LOOK_SHARE * trace.arg[at - 1]):
            return
        at -= 1
        yield at


def _of_one_wait(trace: Trace, at: Times, looks: list[int], intervals: list[int], lasted_us: int) -> list[int]:
    """Those of the sleeps, the last first, that are looks of the wait behind them.

    All but the first are as long as the interval. That one is shorter if an earlier wait, which was woken and found
    that it was for nothing, had used up part of it.
    """
    for interval in intervals:
        longest = interval * (1 + NEARLY)
        if lasted_us > longest * COARSE:
            continue
        own: list[int] = []
        for look in looks:
            if trace.arg[look] > longest:
                break
            if trace.arg[look] < interval:
                own += [look] if _is_the_rest(trace, at, look, interval) else []
                break
            own.append(look)
        if own:
            return own
    return []


def _is_the_rest(trace: Trace, at: Times, look: int, interval: int) -> bool:
    """Whether a sleep ends an interval after one of the waits before it began, of the RECENT operations before it."""
    start = max(trace.span(int(trace.task[look])).start, look - RECENT)
    waits = (at[index] for index in range(start, look) if trace.op[index] == WAIT)
    end = at[look] + trace.arg[look]
    return any(abs(end - wait - interval) <= (COARSE - 1) * interval for wait in waits)


def _less(trace: Trace, out: NDArray[np.bool_]) -> Trace:
    """Without those operations; none is a task's last."""
    after, off = trace.after_us.copy(), trace.off_us.copy()
    for index in np.nonzero(out)[0].tolist():
        after[index + 1] += after[index]
        off[index + 1] += off[index]
    kept = ~out
    return replace_ops(trace, trace.task[kept], trace.op[kept], after[kept], off[kept], trace.arg[kept])

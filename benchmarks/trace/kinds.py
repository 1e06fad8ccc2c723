# SPDX-License-Identifier: Apache-2.0
"""What kind of work a recording is of, by what its tasks do: so what its owner waits for."""

from __future__ import annotations

import numpy as np

from benchmarks.descriptor import Kind
from benchmarks.trace.polls import without_looks
from benchmarks.trace.tasks import EXIT, FORK, SLEEP, THREAD, WAIT, Trace, at_us

PROCESSES = 8  # that a build has at least, most of its CPU time in such as end long before it does
SHORT = 0.5  # of the run
MOSTLY = 0.5  # of the CPU time
TURNS_PER_S = 50.0  # of CPU time: a server's turns are shorter than 20 ms, each begun by a message or a timer


def kind_of(trace: Trace) -> tuple[Kind, str]:
    """The kind, and by what it is told, in one phrase.

    A build makes processes that come and go, and they do the work. A service answers: its tasks are there all the time
    and are woken for short turns. All else computes: a batch.
    """
    trace, _ = without_looks(trace)
    total_us = max(1, int(trace.after_us.sum()))
    made, short_us = _short_lived(trace)
    share = short_us / total_us
    if made >= PROCESSES and share >= MOSTLY:
        return "build", f"{made} processes are made, and {share:.0%} of the CPU time is in short-lived ones"
    turns = int(((trace.op == SLEEP) | (trace.op == WAIT)).sum())
    rate = turns / (total_us / 1e6)
    if rate >= TURNS_PER_S:
        return "service", f"its tasks wait {rate:.0f} times per second of CPU time, for each other or from outside"
    return "batch", f"its tasks compute: they wait {rate:.3g} times per second of CPU time"


def _short_lived(trace: Trace) -> tuple[int, int]:
    """How many processes are made, and the CPU time in us of tasks that live shortly."""
    at = at_us(trace)
    ends, whole_us = at[trace.op == EXIT], max(1, int(at.max()))
    makes = np.nonzero((trace.op == FORK) | (trace.op == THREAD))[0]
    born = np.zeros(trace.tasks, dtype=np.int64)
    born[trace.arg[makes]] = at[makes]
    short = ends - born < SHORT * whole_us
    cpu_us = np.bincount(trace.task, weights=trace.after_us, minlength=trace.tasks)
    short[0] = False  # task 0 is the command itself
    return int((trace.op == FORK).sum()), int(cpu_us[short].sum())

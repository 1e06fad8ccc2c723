# SPDX-License-Identifier: Apache-2.0
"""Which bug the words mean with which sched_ext (7.3) takes a policy off, and what to change.

A message that several bugs cause gets the likeliest, and the advice names the others. Ids are those of docs/bugs.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """A bug's id, and what to change."""

    bug: str
    advice: str


_LOST = Cause(
    "F01",
    "A runnable task was not run in time: look for a path of enqueue that neither inserts nor keeps it, and for a queue"
    " that dispatch does not empty (F03).",
)
_PINNED = Cause(
    "F13",
    "A task bound to one CPU waits in a queue that this CPU does not reach: insert such tasks into SCX_DSQ_LOCAL, or"
    " let every CPU look at every queue before it keeps the previous task.",
)
_CROWDED = Cause(
    "F26", "With many tasks some are lost or never reached: a full map, a bounded queue, an error that is ignored."
)
_SLEEPERS_FIRST = Cause(
    "F14", "Tasks that slept long monopolise the CPUs: let none wake with a vtime before now - slice."
)
_NEWBORN_FIRST = Cause("F15", "New tasks run before all others: start them at the current vtime, in enable.")
_LAST_IDLES = Cause("F24", "A CPU idles while its only task is runnable: handle SCX_ENQ_LAST, or do not set the flag.")
_BEHIND_RT = Cause(
    "F31", "Tasks wait on the local queue of a CPU that a real-time task holds: keep them in a shared queue."
)
_REFILLED = Cause(
    "F19",
    "Tasks beside a periodic real-time task wait without end: a slice that is filled up whenever its task goes on"
    " (running) never ends. Leave it what is left.",
)
_OUTSIDE = Cause(
    "F37",
    "The policy has a ring buffer to a program in user space, and nothing runs beside it here: it must schedule all"
    " tasks, that program's too, while such a program is late.",
)
# By the thread that the kernel names (COMM[PID] failed to run): what its workload was made to bring out.
_STALLED = (
    (re.compile(r"kworker|ksoftirqd|migration|rcu|cpuhp"), _PINNED),
    (re.compile(r"W5-(?:wanderer|driven|narrow)|W6-pinned|W13-pinned|W10-walker"), _PINNED),
    (re.compile(r"W3-"), _CROWDED),
    (re.compile(r"W7-hog"), _SLEEPERS_FIRST),
    (re.compile(r"W8-hog"), _NEWBORN_FIRST),
    (re.compile(r"W11-"), _LAST_IDLES),
    (re.compile(r"W13-"), _BEHIND_RT),
    (re.compile(r"W21-pinned"), _REFILLED),
    (re.compile(r"W23-|W25-herd"), _CROWDED),
)
_DISABLED = (
    ("F02", r"non-existent DSQ", "Create the queue in init, and return its error."),
    ("F04", r"invalid DSQ ID", "Only queues of your own can be created or consumed: ids below 1 << 63."),
    ("F05", r"cannot use vtime ordering", "Built-in queues are FIFO: insert by vtime into a queue of your own."),
    ("F06", r"already had (?:FIFO|PRIQ)", "A queue is FIFO or ordered by vtime, never both: use two."),
    ("F07", r"already direct-dispatched", "Insert a task once on every path, and return after it."),
    ("F08", r"but trying to direct-dispatch", "select_cpu and enqueue may insert only the task they were given."),
    ("F09", r"dispatch buffer overflow", "Insert no more tasks in one dispatch than scx_bpf_dispatch_nr_slots says."),
    (
        "F10",
        r"not allowed for|cannot move migration disabled",
        "Test the task's cpus_ptr and nr_cpus_allowed before SCX_DSQ_LOCAL_ON, or use SCX_DSQ_LOCAL.",
    ),
    ("F11", r"invalid CPU", "Check a CPU's number before it is returned, kicked or used in SCX_DSQ_LOCAL_ON."),
    (
        "F22",
        r"built-in idle tracking is disabled",
        "update_idle turns the kernel's idle tracking off: set SCX_OPS_KEEP_BUILTIN_IDLE, or do not ask for it.",
    ),
    (
        "F42",
        r"per-node idle tracking",
        "With SCX_OPS_BUILTIN_IDLE_PER_NODE call the _node functions only, without it only the others.",
    ),
    ("F24", r"ENQ_LAST", "SCX_OPS_ENQ_LAST needs an enqueue that puts such a task on its CPU's local queue."),
    ("F32", r"SCX_ENQ_IMMED on a non-local|reenqueue limit", "SCX_ENQ_IMMED is for local queues of idle CPUs only."),
    ("F33", r"cannot be used with SCX_KICK_IDLE", "Kick with SCX_KICK_IDLE or with SCX_KICK_PREEMPT, not with both."),
    ("F34", r"in-use dsq|destroyed dsq", "Let the kernel free queues; destroy none that may hold tasks."),
    ("F30", r"cpu \d+ going", "Give the policy cpu_online and cpu_offline: without them any hotplug ends it."),
    (
        "F19",
        r"watchdog failed to check in",
        "Nothing let the kernel's own tasks run: a slice without end, whose task nobody preempts, or a callback that"
        " takes too long (F36).",
    ),
    (
        "F36",
        r"soft lockup|hard LOCKUP|rcu.*(?:stall|starved)",
        "A callback runs too long: bound its loops and its walks over queues.",
    ),
    ("init", r"ops\.init\(\) failed", "init returned the error in brackets: test every call in it."),
    ("F27", r"ops\.init_task\(\) failed", "init_task must not fail: it returned the error in brackets."),
    ("exit", r"unregistered from BPF", "The policy ended itself with scx_bpf_exit: leave that to its loader."),
    ("F29", r"scx_bpf_error", "The policy ended itself: a look-up that misses is a task that came or went, no error."),
)
_CAUSES = tuple((re.compile(pattern), Cause(bug, advice)) for bug, pattern, advice in _DISABLED)
_COMM = re.compile(r"(?P<comm>\S+)\[\d+\] failed to run for")
UNKNOWN = Cause("kernel", "")


def cause_of_exit(words: str, *, needs_a_program: bool = False, everybody: bool = False) -> Cause:
    """What made the kernel take a policy off with these words.

    `needs_a_program` if its maps look like it does, `everybody` if most threads were stuck, not only the one named.
    """
    if stuck := _COMM.search(words):
        return cause_of_stall("" if everybody else stuck["comm"], needs_a_program=needs_a_program)
    return next((cause for pattern, cause in _CAUSES if pattern.search(words)), UNKNOWN)


def cause_of_stall(comm: str, *, needs_a_program: bool) -> Cause:
    """What most likely keeps a thread of that name from running."""
    if needs_a_program:
        return _OUTSIDE
    return next((cause for pattern, cause in _STALLED if pattern.search(comm)), _LOST)


def place_of(words: str) -> str:
    """The workload whose thread the kernel's words name ("W6"); empty when they name none of ours."""
    thread = re.search(r"\b(W\d+)-\w+\[", words)
    return thread[1] if thread else ""

# SPDX-License-Identifier: Apache-2.0
"""Which bug the words mean with which sched_ext (7.3) takes a policy off, and what to change.

A message that several bugs cause gets the likeliest, which is a guess, and the advice names the others; cause.py knows
better where the kernel wrote down who ran. Advice must not be another bug of the list. Ids are those of docs/bugs.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from policy_lake.model import Basis


@dataclass(frozen=True, slots=True)
class Cause:
    """A bug's id, what to change, and whether the words alone show that it is this bug."""

    bug: str
    advice: str
    basis: Basis = "evidence"


LOST = Cause(
    "F01",
    "A runnable task was not run in time: look for a path of enqueue that neither inserts nor keeps it, for one that is"
    " kept in a map and never taken out, and for a queue that dispatch does not empty (F03).",
)
PINNED = Cause(
    "F13",
    "A task bound to one CPU waits in a queue that this CPU does not reach: let every CPU look at every queue in which"
    " tasks of that CPU may stand, bound ones in order with all others.",
)
CROWDED = Cause(
    "F26", "With many tasks some are lost or never reached: a full map, a bounded queue, an error that is ignored."
)
SLEEPERS_FIRST = Cause(
    "F14", "Tasks that slept long monopolise the CPUs: let none wake with a vtime before now - slice."
)
NEWBORN_FIRST = Cause("F15", "New tasks run before all others: start them at the current vtime, in enable.")
BACKWARDS = Cause(
    "F18",
    "Some are put ahead of the others again and again: let the queue's clock only go forward, charge every task what it"
    " used, and let none wake (F14) or start (F15) far behind the clock.",
)
LAST_FIRST = Cause(
    "F18",
    "In a queue that is not ordered by vtime those that came later go first: insert at the tail, and keep SCX_ENQ_HEAD"
    " for those that are to go on, such as who was preempted with time left; where dispatch picks from a queue, let it"
    " pick who waited long as well.",
)
LAST_IDLES = Cause(
    "F24",
    "A CPU idles while its only task is runnable: without SCX_OPS_ENQ_LAST the kernel keeps it on; with the flag,"
    " enqueue must put a task that comes with SCX_ENQ_LAST where this CPU finds it.",
)
BEHIND_RT = Cause(
    "F31", "Tasks wait on the local queue of a CPU that a real-time task holds: keep them in a shared queue until a CPU"
    " asks for one in dispatch."
)  # fmt: skip
ENDLESS = Cause(
    "F19",
    "Nobody else runs before a slice ends: give slices of milliseconds, or kick a CPU with SCX_KICK_PREEMPT when a task"
    " waits for it.",
)
NOT_EMPTIED = Cause(
    "F03",
    "No CPU that may run the task takes from its queue: let dispatch look into every queue that tasks of that CPU may"
    " stand in, the longest unserved first where there are several, and whatever a look-up or a test there finds.",
)
_IN_ORDER = (
    "let bound tasks stand in order with the others, or let dispatch compare the first of both or take by turns."
)
LOCAL_FIRST = Cause(
    "F43",
    "A CPU's local queue is served before all others, so whoever is always inserted there goes first: insert bound"
    f" tasks into a queue of the policy's own, and {_IN_ORDER}",
)
GLOBAL_FIRST = Cause(
    "F43",
    "The kernel looks into SCX_DSQ_GLOBAL before it calls dispatch: while somebody always stands there, nobody whom"
    " dispatch takes is run. Insert all into queues of the policy's own, and let dispatch take from them by turns.",
)
BOUND_FIRST = Cause("F43", f"What bound tasks stand in is always served before the queue of all others: {_IN_ORDER}")
STORM = Cause(
    "F33",
    "The CPUs are made to switch before anybody gets work done: kick with SCX_KICK_PREEMPT only for a task that is to"
    " run before the one that does. Who is preempted is enqueued again: to kick at each enqueue never ends.",
    "evidence",
)
KICK_LOST = Cause(
    "kernel",
    "The kernel waits for a kick that was never delivered, in its own clean-up: look at what the policy kicks with"
    " SCX_KICK_WAIT, and try it on another kernel.",
    "guess",
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
    "guess",
)
# By the thread that the kernel names (COMM[PID] failed to run): what its workload was made to bring out.
_STALLED = (
    (re.compile(r"kworker|ksoftirqd|migration|rcu|cpuhp"), PINNED),
    (re.compile(r"W5-(?:wanderer|driven|narrow)|W6-pinned|W13-pinned|W10-walker"), PINNED),
    (re.compile(r"W3-"), CROWDED),
    (re.compile(r"W7-hog"), SLEEPERS_FIRST),
    (re.compile(r"W8-hog"), NEWBORN_FIRST),
    (re.compile(r"W11-"), LAST_IDLES),
    (re.compile(r"W13-"), BEHIND_RT),
    (re.compile(r"W21-pinned"), _REFILLED),
    (re.compile(r"W23-|W25-herd"), CROWDED),
)
_DISABLED = (
    (
        "F04",
        r"invalid DSQ ID 0x[89a-f][0-9a-f]{15}",
        "Only queues of your own can be created or consumed: ids below 1 << 63.",
    ),
    (
        "F02",
        r"non-existent DSQ|invalid DSQ ID",
        "Create every queue before anybody is inserted into it (in init, a cgroup's in cgroup_init), and return the"
        " error; where an id is computed, create one for every value that it may have.",
    ),
    ("F05", r"cannot use vtime ordering", "Built-in queues are FIFO: insert by vtime into a queue of your own."),
    ("F06", r"already had (?:FIFO|PRIQ)", "A queue is FIFO or ordered by vtime, never both: use two."),
    ("F07", r"already direct-dispatched", "Insert a task once on every path, and return after it."),
    ("F08", r"but trying to direct-dispatch", "select_cpu and enqueue may insert only the task they were given."),
    ("F09", r"dispatch buffer overflow", "Insert no more tasks in one dispatch than scx_bpf_dispatch_nr_slots says."),
    (
        "F10",
        r"not allowed for|cannot move migration disabled",
        "Before SCX_DSQ_LOCAL_ON test that the CPU is in the task's cpus_ptr, and that the task may migrate; else"
        " insert it into a queue that all its CPUs look into.",
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
    ("F24", r"ENQ_LAST", "SCX_OPS_ENQ_LAST needs an enqueue: without the flag the kernel keeps the last task on."),
    ("F32", r"SCX_ENQ_IMMED on a non-local|reenqueue limit", "SCX_ENQ_IMMED is for local queues of idle CPUs only."),
    ("F33", r"cannot be used with SCX_KICK_IDLE", "Kick with SCX_KICK_IDLE or with SCX_KICK_PREEMPT, not with both."),
    ("F34", r"in-use dsq|destroyed dsq", "Let the kernel free queues; destroy none that may hold tasks."),
    ("F30", r"cpu \d+ going", "Give the policy cpu_online and cpu_offline: without them any hotplug ends it."),
    (
        "F19?",
        r"watchdog failed to check in",
        "Nothing let the kernel's own tasks run: a slice without end, whose task nobody preempts, or a callback that"
        " takes too long (F36).",
    ),
    (
        "F36?",
        r"soft lockup|hard LOCKUP|rcu.*(?:stall|starved)",
        "A callback runs too long: bound its loops and its walks over queues.",
    ),
    ("init", r"ops\.init\(\) failed", "init returned the error in brackets: test every call in it."),
    ("F27", r"ops\.init_task\(\) failed", "init_task must not fail: it returned the error in brackets."),
    ("exit", r"unregistered from BPF", "The policy ended itself with scx_bpf_exit: leave that to its loader."),
    ("F29?", r"scx_bpf_error", "The policy ended itself: a look-up that misses is a task that came or went, no error."),
)
# A question mark: several bugs end like that, and this is the likeliest.
_CAUSES = tuple(
    (re.compile(pattern), Cause(bug.rstrip("?"), advice, "guess" if bug.endswith("?") else "evidence"))
    for bug, pattern, advice in _DISABLED
)
_KICK = re.compile(r"free_kick_syncs|irq_work_sync")
_COMM = re.compile(r"(?P<comm>\S+)\[\d+\] failed to run for")
UNKNOWN = Cause("kernel", "", "guess")


def cause_of_exit(words: str, *, needs_a_program: bool = False, everybody: bool = False) -> Cause:
    """What made the kernel take a policy off with these words.

    `needs_a_program` if its maps look like it does, `everybody` if most threads were stuck, not only the one named.
    """
    if stuck := _COMM.search(words):
        return cause_of_stall("" if everybody else stuck["comm"], needs_a_program=needs_a_program)
    return next((cause for pattern, cause in _CAUSES if pattern.search(words)), UNKNOWN)


def cause_of_warnings(lines: Iterable[str], first: str) -> Cause:
    """What made the kernel warn, by its `first` warning and the backtrace in its log."""
    return KICK_LOST if any(map(_KICK.search, (*lines, first))) else cause_of_exit(first)


def cause_of_stall(comm: str, *, needs_a_program: bool) -> Cause:
    """What most likely keeps a thread of that name from running: a guess."""
    return _OUTSIDE if needs_a_program else replace(cause_of_name(comm), basis="guess")


def cause_of_name(comm: str) -> Cause:
    """What the workload of a thread of that name was made to bring out."""
    return next((cause for pattern, cause in _STALLED if pattern.search(comm)), LOST)


def place_of(words: str) -> str:
    """The workload whose thread the kernel's words name ("W6"); empty when they name none of ours."""
    thread = re.search(r"\b(W\d+)-\w+\[", words)
    return thread[1] if thread else ""

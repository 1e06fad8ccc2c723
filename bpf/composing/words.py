# SPDX-License-Identifier: Apache-2.0
"""What each choice does, in words: the essay of a composition that brings none of its own."""

from __future__ import annotations

import textwrap

from bpf.composition import Composition, Essay

COLUMNS = 120
ORDER = {
    "fifo": "first come, first served",
    "woken": "whoever wakes is due at once; a task whose slice ended is due expired_wait_ns later, so waking "
        "tasks pass it",
    "vtime": "virtual time, which is CPU time divided by weight, turned into the real time at which the clock "
        "will get there; a task that slept brings back a credit of at most lag_ns, and none is put off by more "
        "than wait_ns",
    "deadline": "deadline: nice 0 is due after deadline_ns, a heavier task the sooner and a lighter one the later, by "
    "its weight, up to wait_ns",
    "shortest": "expected burst, the CPU time between a wake-up and the next sleep: the longer a task's bursts are, or "
    "the present one already is, the longer it is put off, by `stretch` times that and at most wait_ns",
    "interactive": "how a task's turns end: one whose turns all end in sleep is due at once, one that always "
        "uses up its slice is put off by wait_ns, and others in between",
    "longest": "CPU time used so far: a task that has used long_ns is due at once, one with less is put off the "
        "more, up to wait_ns; short bursts, up to burst_ns, go before all",
}  # fmt: skip
QUEUES = {"one": "One queue for the machine", "llc": "A queue for each last-level cache", "cpu": "A queue for each CPU"}
PLACE = {
    "kernel": "A task that wakes takes an idle CPU if there is one, by the kernel's choice.",
    "previous": "A task that wakes takes the CPU it last ran on if that is idle, also beside a busy sibling, "
        "else another idle one.",
    "core": "A task that wakes takes a CPU of a whole idle core if there is one, never its waker's for the "
        "waker's sake, else any idle CPU.",
    "warm": "A task that wakes takes an idle CPU that ran something less than warm_ns ago, its own before the "
        "lowest, so that work stays on few CPUs, and a cold one only if there is none.",
    "two": "A task that wakes takes an idle CPU if there is one; else the shorter of two queues, its own CPU's "
        "and one more.",
}  # fmt: skip
SLICE = {
    "bounded": "",
    "weight": "Slices are as long as the task's weight is high, within bounds.",
    "burst": "A task whose bursts are long gets a slice that holds one, up to long_slice_ns.",
}
PREEMPT = {
    "none": "",
    "woken": "Who wakes and finds no idle CPU ends a turn that has lasted protect_ns.",
    "earlier": "Who finds no idle CPU ends a turn that has lasted protect_ns if the task that runs would be due "
        "later than it by margin_ns.",
}  # fmt: skip
STEAL = {
    "none": "",
    "empty": "A CPU whose queue is empty takes from another's, and every visit_every-th turn another's goes first.",
    "imbalance": "A CPU whose queue is empty takes from another's, and every second turn from one that is "
        "clearly longer.",
    "overdue": "A CPU whose queue is empty takes from another's, and every second turn from one whose "
        "first is overdue by overdue_ns.",
}  # fmt: skip
CLASS = {
    "none": "",
    "nice": "Tasks of positive nice level are background work, which is put off by background_wait_ns more.",
    "burst": "Tasks whose bursts are longer than burst_ns are background work, which is put off by "
        "background_wait_ns more.",
    "kthread": "All but kernel threads are put off by background_wait_ns more.",
}  # fmt: skip
GUARD = {"round": "", "short": "What has waited aged_ns past its due time is let in for a short turn, so that "
    "the order holds for the rest."}  # fmt: skip
GOOD = {
    "fifo": "Throughput of tasks that are alike.", "woken": "Wake-up latency beside CPU-bound work.",
    "vtime": "Sharing a machine by nice level.", "deadline": "Latency by nice level.",
    "shortest": "Many short requests beside few long ones: their mean time.",
    "interactive": "Tasks that sleep of themselves beside those that never do.",
    "longest": "Makespan of jobs of unknown and unequal length.",
}  # fmt: skip
WEAK = {
    "fifo": "Answering fast while CPUs are busy.",
    "woken": "Throughput of CPU-bound tasks.",
    "vtime": "Finishing one long job early.", "deadline": "Tasks of one nice level, which run in order of arrival.",
    "shortest": "The longest tasks, which wait for the others.",
    "interactive": "Tasks that sleep often and need much CPU time.",
    "longest": "Latency and mean completion time of short jobs.",
}  # fmt: skip
WORKLOADS = {"woken": ("wakeup",), "vtime": ("batch", "wakeup"), "deadline": ("wakeup",), "shortest": ("wakeup",),
             "interactive": ("wakeup",)}  # fmt: skip


def what(c: Composition) -> str:
    """What it does, sentence by sentence."""
    first = (
        f"{QUEUES[c.queues]}, ordered by {ORDER[c.order]}."
        if c.order != "fifo"
        else f"{QUEUES[c.queues]}, {ORDER['fifo']}."
    )
    sentences = (
        first, PLACE[c.place], STEAL[c.steal], SLICE[c.slice], PREEMPT[c.preempt], CLASS[c.classes], GUARD[c.guard],
    )  # fmt: skip
    return " ".join(sentence for sentence in sentences if sentence)


def essay_of(c: Composition) -> Essay:
    """Its own essay, or one from the choices."""
    values = [value for name, value in c.mechanisms() if value != "none"]
    deaf = c.order not in ("vtime", "deadline") and c.classes != "nice" and c.slice != "weight"
    made = Essay(
        f"composed of {', '.join(values)}",
        GOOD[c.order],
        WEAK[c.order] + (" Nice levels are ignored." if deaf else ""),
        WORKLOADS.get(c.order, ("batch",)),
    )
    return c.essay or made


def opening(c: Composition) -> str:
    """The comment that a policy opens with, as bpf/library.py reads it."""
    essay = essay_of(c)
    sections = {
        "What": essay.what or what(c),
        "Good for": essay.good_for,
        "Weak at": essay.weak_at,
        "Mechanisms": ", ".join(f"{name}={value}" for name, value in c.mechanisms()),
        "Workloads": ", ".join(essay.workloads),
    }
    lines = [f"{c.name} - {essay.title}", ""]
    for head, text in sections.items():
        lines += textwrap.wrap(f"{head}: {text}", COLUMNS - 3, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(["/*", *(f" * {line}".rstrip() for line in lines), " */"])

# SPDX-License-Identifier: Apache-2.0
"""The library's policies that are compositions: what each is made of, what it is good for and weak at.

The one source of bpf/library/ID.bpf.c: after a change here, `make compose`.
"""

from __future__ import annotations

from bpf.composition import Composition, Essay, Preset

SMALLEST = 500_000
COMPOSITIONS = (
    Composition(
        "fifo",
        essay=Essay(
            "one queue for the whole machine, first come first served",
            what="A task that wakes takes an idle CPU if there is one, and queues otherwise. Every CPU takes the first task of "
            "the one queue that it may run, and lets it run until it sleeps or its slice ends; then the task queues again at "
            "the end.",
            good_for="Throughput work whose tasks are alike: long slices mean few context switches, and no CPU idles while a "
            "task waits. A yardstick for every other policy.",
            weak_at="Anything that must answer fast while CPUs are busy: a waking task waits for all that came before it. "
            "Nice levels are ignored. One queue is a lock that many CPUs share.",
        ),
        presets=(Preset("slice_ns", "20 * SX_MS", 1_000_000, 100_000_000),),
    ),
    Composition(
        "rr",
        order="woken",
        preempt="woken",
        essay=Essay(
            "short turns, and whoever wakes goes first",
            what="One queue ordered by due time. A task that wakes is due at once, and if no CPU is idle it ends a turn that "
            "has lasted long enough, on its own CPU or another; a task whose slice ended is due expired_wait_ns later, so "
            "waking tasks pass it, but for no longer than that.",
            good_for="Wake-up latency beside CPU-bound work: request-reply servers, pipelines, message passing, desktops.",
            weak_at="Throughput of CPU-bound tasks: more context switches and colder caches. Nice levels are ignored. Slices "
            "end at the kernel's tick (every 4 ms with HZ=250), so below that only waking tasks make turns shorter.",
            workloads=("wakeup",),
        ),
        presets=(Preset("slice_ns", "2 * SX_MS", SMALLEST, 20_000_000),),
    ),
    Composition(
        "vtime",
        order="vtime",
        essay=Essay(
            "fair shares by weight: who has had least CPU time for its nice level runs next",
            what="One queue ordered by virtual time, which is CPU time divided by weight, turned into the real time at which "
            "the queue's clock will get there. A task that slept comes back with a credit of at most lag_ns, a new one starts "
            "a slice behind the clock, and a task of low weight is put off by at most wait_ns, however much others outweigh it.",
            good_for="Mixed work that should share a machine by nice level; many equal tasks that must all progress; tasks "
            "that sleep often, which run soon after waking because they have used little.",
            weak_at="Finishing one long job early: it gets its fair share and no more. A waking task still waits for the "
            "running ones' slices to end. Weights among tasks bound to one overloaded CPU are lost once they lag by lag_ns.",
            workloads=("batch", "wakeup"),
        ),
        presets=(Preset("slice_ns", "5 * SX_MS", SMALLEST, 50_000_000),),
    ),
    Composition(
        "percpu",
        queues="cpu",
        steal="imbalance",
        essay=Essay(
            "a queue for each CPU, and CPUs without work take from the others",
            what="A task that wakes takes an idle CPU if there is one, else it queues on its own CPU, first come first served. "
            "A CPU whose queue is empty takes the first task of another's; one with a clearly shorter queue than another's "
            "takes a task from there every second turn, so that loads even out and its own tasks never starve.",
            good_for="Tasks that profit from warm caches and come in similar numbers per CPU; machines with many CPUs, where "
            "one shared queue's lock would hurt.",
            weak_at="Strict order between tasks of different CPUs; a few long tasks among many short ones; wake-up latency "
            "when all CPUs are busy. Nice levels are ignored.",
        ),
        presets=(Preset("slice_ns", "10 * SX_MS", 1_000_000, 100_000_000),),
    ),
)

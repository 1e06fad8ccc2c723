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
            what="A task that wakes takes an idle CPU if there is one, and queues otherwise. Every CPU takes the "
            "first task of the one queue that it may run, and lets it run until it sleeps or its slice ends; "
            "then the task queues again at the end.",
            good_for="Throughput work whose tasks are alike: long slices mean few context switches, and no CPU "
            "idles while a task waits. A yardstick for every other policy.",
            weak_at="Anything that must answer fast while CPUs are busy: a waking task waits for all that came "
            "before it. Nice levels are ignored. One queue is a lock that many CPUs share.",
        ),
        presets=(Preset("slice_ns", "20 * SX_MS", 1_000_000, 100_000_000),),
    ),
    Composition(
        "rr",
        order="woken",
        preempt="woken",
        essay=Essay(
            "short turns, and whoever wakes goes first",
            what="One queue ordered by due time. A task that wakes is due at once, and if no CPU is idle it ends "
            "a turn that has lasted long enough, on its own CPU or another; a task whose slice ended is due "
            "expired_wait_ns later, so waking tasks pass it, but for no longer than that.",
            good_for="Wake-up latency beside CPU-bound work: request-reply servers, pipelines, message passing, "
            "desktops.",
            weak_at="Throughput of CPU-bound tasks: more context switches and colder caches. Nice levels are "
            "ignored. Slices end at the kernel's tick (every 4 ms with HZ=250), so below that only waking "
            "tasks make turns shorter.",
            workloads=("wakeup",),
        ),
        presets=(Preset("slice_ns", "2 * SX_MS", SMALLEST, 20_000_000),),
    ),
    Composition(
        "vtime",
        order="vtime",
        essay=Essay(
            "fair shares by weight: who has had least CPU time for its nice level runs next",
            what="One queue ordered by virtual time, which is CPU time divided by weight, turned into the real "
            "time at which the queue's clock will get there. A task that slept comes back with a credit of "
            "at most lag_ns, a new one starts a slice behind the clock, and a task of low weight is put off "
            "by at most wait_ns, however much others outweigh it.",
            good_for="Mixed work that should share a machine by nice level; many equal tasks that must all "
            "progress; tasks that sleep often, which run soon after waking because they have used little.",
            weak_at="Finishing one long job early: it gets its fair share and no more. A waking task still waits "
            "for the running ones' slices to end. Weights among tasks bound to one overloaded CPU are lost "
            "once they lag by lag_ns.",
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
            what="A task that wakes takes an idle CPU if there is one, else it queues on its own CPU, first come "
            "first served. A CPU whose queue is empty takes the first task of another's; one with a clearly "
            "shorter queue than another's takes a task from there every second turn, so that loads even out "
            "and its own tasks never starve.",
            good_for="Tasks that profit from warm caches and come in similar numbers per CPU; machines with many "
            "CPUs, where one shared queue's lock would hurt.",
            weak_at="Strict order between tasks of different CPUs; a few long tasks among many short ones; "
            "wake-up latency when all CPUs are busy. Nice levels are ignored.",
        ),
        presets=(Preset("slice_ns", "10 * SX_MS", 1_000_000, 100_000_000),),
    ),
    Composition(
        "edf",
        order="deadline",
        preempt="earlier",
        essay=Essay(
            "earliest deadline first, the deadline by nice level",
            good_for="Services that must answer fast beside work that may wait, told apart by nice level: a task "
            "of nice -10 is due nine times sooner than one of nice 0, and ends its turn where CPUs are busy. "
            "Latency by priority without starvation.",
            weak_at="Tasks of one nice level, which run in order of arrival. It shares waits, not CPU time: a "
            "heavy task that never sleeps takes nearly all of it until others are overdue.",
            workloads=("wakeup",),
        ),
        presets=(Preset("slice_ns", "3 * SX_MS", SMALLEST, 50_000_000),),
    ),
    Composition(
        "shortest",
        order="shortest",
        preempt="earlier",
        essay=Essay(
            "shortest expected burst first, from each task's own history",
            good_for="Many short requests beside few long ones: mean and median latency of servers, "
            "interpreters, desktops, with no hint from anybody; a task that turns long is noticed while it "
            "still runs.",
            weak_at="The long requests and CPU-bound tasks, which are put off by up to wait_ns; tasks whose "
            "bursts vary at random; work whose bursts are all alike, which it serves in order of arrival. "
            "Nice levels are ignored.",
            workloads=("wakeup",),
        ),
        presets=(Preset("slice_ns", "4 * SX_MS", SMALLEST, 50_000_000),),
    ),
    Composition(
        "interactive",
        order="interactive",
        preempt="woken",
        essay=Essay(
            "who gives up the CPU of itself goes before who must be made to",
            good_for="Shells, terminals, editors, servers that wait for input or for each other, beside "
            "compilers and other work that computes without a break; new tasks, which count as interactive "
            "until their turns say otherwise.",
            weak_at="A task that sleeps briefly after each long burst passes for interactive; tasks that are "
            "preempted often are taken for hogs. Throughput of CPU-bound tasks. Nice levels are ignored.",
            workloads=("wakeup",),
        ),
        presets=(
            Preset("slice_ns", "4 * SX_MS", SMALLEST, 50_000_000),
            Preset("wait_ns", "100 * SX_MS", 10_000_000, 1_000_000_000),
        ),
    ),
    Composition(
        "longest",
        order="longest",
        guard="short",
        essay=Essay(
            "who has used most CPU time goes on, so that long jobs end early",
            good_for="Batches of jobs of unknown and very unequal length that end with the last job: once a job "
            "has shown that it is long it keeps its CPU, and short jobs fill the rest. No hints are needed; "
            "`ljf` does better where lengths are known.",
            weak_at="A long job that starts last is found out late. Latency and mean completion time of short "
            "jobs, which wait for the long ones. Daemons that have run for days count as long. Nice levels "
            "are ignored.",
        ),
        presets=(Preset("slice_ns", "20 * SX_MS", 1_000_000, 100_000_000),),
    ),
    Composition(
        "llc",
        order="vtime",
        queues="llc",
        steal="imbalance",
        essay=Essay(
            "fair shares by weight, with a queue for each last-level cache",
            good_for="Machines of several sockets or chiplets: tasks stay near their data and CPUs of one cache "
            "share one lock. Shares by nice level as in `vtime`.",
            weak_at="Machines with one last-level cache, where it is `vtime` with more work. Shares are exact "
            "within a cache, and between caches only as far as queues even out.",
            workloads=("batch", "wakeup"),
        ),
    ),
    Composition(
        "picktwo",
        queues="cpu",
        place="two",
        steal="empty",
        essay=Essay(
            "a queue for each CPU, and who finds none idle joins the shorter of two",
            good_for="Many short tasks on many CPUs: two looks keep queues nearly as even as looking at all of "
            "them, at a cost that does not grow with the machine. No shared queue, no shared lock.",
            weak_at="Warm caches: a task moves whenever another queue is shorter. Machines of two CPUs, where "
            "the two are all there are. Queues count tasks, not their work. Nice levels are ignored.",
            workloads=("batch", "wakeup"),
        ),
    ),
    Composition(
        "longslice",
        place="previous",
        slice="burst",
        essay=Essay(
            "long turns for long work, on the CPU where it ran before",
            good_for="CPU-bound batches, numerical work, builds: few context switches, caches and TLBs that stay "
            "warm. A task with short bursts keeps the normal slice, so it cannot grow into a hog unnoticed.",
            weak_at="Everything that must answer while CPUs are busy: who waits may wait for whole bursts of "
            "others. Nice levels are ignored.",
        ),
        presets=(
            Preset("slice_ns", "30 * SX_MS", 1_000_000, 100_000_000),
            Preset("long_slice_ns", "90 * SX_MS", 1_000_000, 100_000_000),
        ),
    ),
    Composition(
        "smt",
        order="vtime",
        place="core",
        essay=Essay(
            "fair shares by weight, and whole idle cores before half busy ones",
            good_for="CPU-bound tasks on machines with two threads a core, while there are fewer tasks than "
            "CPUs: each has a core's units and caches for itself. Shares by nice level as in `vtime`.",
            weak_at="Pairs that exchange data, which it keeps apart. A task that shares a core stays there until "
            "it sleeps, even if a whole core falls idle. Without SMT it is `vtime` without the kernel's "
            "wake-up beside the waker.",
        ),
    ),
    Composition(
        "warm",
        place="warm",
        essay=Essay(
            "work on few CPUs, which stay warm, while the others sleep",
            good_for="Light loads of tasks that wake often, on machines where a CPU that has slept deeply wakes "
            "slowly or runs slowly at first: they stay on CPUs that are awake and fast.",
            weak_at="Loads that need all CPUs at once, which are spread one wake-up later; tasks that profit "
            "from a whole core. Where waking a CPU costs nothing it is `fifo`. Nice levels are ignored.",
            workloads=("wakeup",),
        ),
        presets=(Preset("slice_ns", "10 * SX_MS", 1_000_000, 100_000_000),),
    ),
    Composition(
        "background",
        classes="nice",
        preempt="earlier",
        essay=Essay(
            "who was made nicer waits for all others",
            good_for="A server beside backups, builds or batch work that was started with `nice`: the niced "
            "tasks run in what the others leave, give up their CPU when one of these wakes, and still never "
            "starve.",
            weak_at="Order among tasks of the same class, which is that of arrival. Levels count by sign only. "
            "Niced work under full load, which gets a turn each time it is overdue, and little else.",
            workloads=("wakeup", "batch"),
        ),
    ),
)

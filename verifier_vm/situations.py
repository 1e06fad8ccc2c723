# SPDX-License-Identifier: Apache-2.0
"""Situations: what a policy can meet in a guest, which of them would show which bug, and which workload makes which."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Situation(StrEnum):
    """What happens around a policy. Those without a workload are known to matter, and no suite makes them yet."""

    HOGS = "equal hogs"
    LATENCY = "a waker among hogs"
    CROWD = "a crowd that wakes at once"
    NICE = "nice levels"
    AFFINITY = "masks that change"
    PINNED = "bound tasks among floating ones"
    SLEEPERS = "sleepers that come back"
    FORKS = "fork, exec and exit without end"
    HOTPLUG = "CPUs that go and come"
    SPARSE = "fewer tasks than CPUs"
    ONE_A_CPU = "one hog a CPU"
    CGROUPS = "cgroups made and removed"
    CGROUP_SHARES = "weights and quotas of cgroups"
    CGROUPS_BEFORE = "cgroups weighted before it came"
    REALTIME = "a real-time hog"
    YIELDS = "two that yield"
    CONVOY = "a convoy at one lock"
    RELOAD = "attached again under load"
    DETACH = "taken off under load"
    ATTACH = "loaded and attached"
    MIGRATION_DISABLED = "migration-disabled tasks"
    CLASS_CHANGES = "tasks that change their class, level and mask"
    HERD = "one that wakes a herd"
    STOPS = "processes stopped, traced, frozen, killed"
    PERIODS = "short periods among long bursts"
    PULSE = "a periodic real-time task beside bound hogs"
    LATE_CPU = "attached while a CPU is off line, which comes"
    FULL_TABLES = "more tasks than its tables hold"
    TURNOVER = "more tasks, one after the other, than its tables hold"
    LARGE_TURNOVER = "more tasks, one after the other, than its large tables hold"
    HUGE_TURNOVER = "as many tasks, one after the other, as no tier has time for"
    MANY_CGROUPS = "more cgroups at once than it has places for"
    MORE_CGROUPS = "more cgroups at once than a guest has room for"
    GLANCES = "bound hogs beside CPUs that look for work in vain"
    IN_STEP = "as many tasks as CPUs that wake at once"
    ONE_SIDE = "as many hogs as CPUs, all put onto one"
    BRIEF = "a bound hog beside one that wakes for a moment"
    HELD = "a CPU that a real-time task had for long"
    WRAPPED = "a time of 32 bits that begins anew"
    CHOSEN = "tasks with the numbers, names and levels that its constants name"
    CHOSEN_TIMES = "times beyond those that its constants name"
    COUNTED_OUT = "a count of its own that has run out"
    NO_MEMORY = "an allocation that fails"
    PREEMPTED = "one that is interrupted again and again"
    UNEQUAL_CPUS = "CPUs of unequal speed"
    NODES = "several memory nodes"
    MANY_CPUS = "more than two CPUs"


S = Situation
# By the words with which suite.py names workloads.
OF_WORKLOAD = {
    "W1": S.HOGS, "W2": S.LATENCY, "W3": S.CROWD, "W4": S.NICE, "W5": S.AFFINITY, "W6": S.PINNED, "W7": S.SLEEPERS,
    "W8": S.FORKS, "W9": S.HOTPLUG, "W10": S.SPARSE, "W11": S.ONE_A_CPU,
    "W12": S.CGROUPS, "W12-shares": S.CGROUP_SHARES, "W12-before": S.CGROUPS_BEFORE, "W13": S.REALTIME,
    "W15": S.YIELDS, "W20": S.CONVOY, "W21": S.PULSE,
    "W22": S.CLASS_CHANGES, "W23": S.FULL_TABLES, "W24": S.MIGRATION_DISABLED, "W25": S.HERD, "W26": S.STOPS,
    "W27": S.PERIODS, "W28": S.LATE_CPU, "W29": S.TURNOVER, "W30": S.PREEMPTED, "W31": S.CHOSEN,
    "W32": S.CHOSEN_TIMES, "W29-large": S.LARGE_TURNOVER, "W33": S.GLANCES, "W34": S.IN_STEP, "W35": S.ONE_SIDE,
    "W36": S.MANY_CGROUPS, "W37": S.BRIEF, "W38": S.HELD,
}  # fmt: skip
# What would show a bug: all of these must have been met before it counts as tried and not seen.
SHOWS: dict[str, tuple[Situation, ...]] = {
    "F01": (S.HOGS, S.CROWD, S.AFFINITY, S.PINNED, S.FORKS, S.STOPS),
    "F02": (S.HOGS, S.NICE, S.AFFINITY, S.FORKS, S.CGROUPS),
    "F03": (S.HOGS, S.NICE, S.PINNED, S.FORKS),
    "F04": (S.HOGS,),
    "F05": (S.HOGS,),
    "F06": (S.HOGS, S.NICE, S.PINNED),
    "F07": (S.HOGS, S.NICE, S.FORKS),
    "F08": (S.LATENCY, S.CONVOY),
    "F09": (S.CROWD, S.HERD),
    "F10": (S.AFFINITY, S.PINNED),
    "F11": (S.HOGS, S.CROWD, S.SPARSE),
    "F12": (S.AFFINITY, S.MANY_CPUS),
    "F13": (S.PINNED,),
    "F14": (S.SLEEPERS,),
    "F15": (S.FORKS,),
    "F16": (S.NICE,),
    "F17": (S.PREEMPTED,),
    "F18": (S.HOGS, S.SLEEPERS, S.PERIODS),
    "F19": (S.HOGS, S.LATENCY),
    "F21": (S.SPARSE,),
    "F23": (S.SPARSE,),
    "F24": (S.ONE_A_CPU, S.BRIEF),
    "F25": (S.FORKS, S.STOPS),
    "F26": (S.FULL_TABLES,),
    "F27": (S.FORKS,),
    "F28": (S.CGROUPS,),
    "F29": (S.FORKS, S.AFFINITY, S.CLASS_CHANGES, S.STOPS, S.CGROUPS, S.CONVOY),
    "F30": (S.HOTPLUG,),
    "F32": (S.HOGS, S.SPARSE),
    "F33": (S.SPARSE,),
    "F34": (S.HOGS, S.SPARSE),
    "F36": (S.CROWD,),
    "F38": (S.HOGS,),
    "F39": (S.AFFINITY,),
    "F40": (S.YIELDS,),
    "F41": (S.CGROUP_SHARES,),
    "F42": (S.NODES,),
    "F43": (S.PINNED,),
    "walk": (S.HOGS, S.CROWD, S.NICE, S.AFFINITY, S.PINNED, S.FORKS),
    "cid": (S.ATTACH, S.HOGS),
    "write": (S.ATTACH,),
}
# A task that waits too long shows any of these alike; not F24, of which the CPU is seen to idle.
STARVES = frozenset({"F01", "F03", "F13", "F14", "F15", "F18", "F19", "F25", "F26", "F30", "F36", "F43"})

# What is made only where an object's own conditions ask for it: a stall in it is what was suspected.
AIMED = frozenset({S.CHOSEN, S.CHOSEN_TIMES, S.COUNTED_OUT, S.GLANCES, S.WRAPPED})


def made_by(workloads: str) -> tuple[Situation, ...]:
    """The situations of an exercise's workloads (`W1+W6`); a workload without an entry makes none that counts."""
    return tuple(OF_WORKLOAD[name] for name in workloads.split("+") if name in OF_WORKLOAD)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order of `Situation`, what is none of them last."""
    order = {str(situation): index for index, situation in enumerate(Situation)}
    return tuple(sorted(set(map(str, names)), key=lambda name: (order.get(name, len(order)), name)))

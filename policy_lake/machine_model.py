# SPDX-License-Identifier: Apache-2.0
"""What scheduling costs on a machine: its speed, caches, SMT, frequency, idle states; a leaf that all may import."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from policy_lake.topology import Topology

WHOLE = 1024  # speeds are in 1024ths, as the kernel's capacities are
# Programs and the kernel run at one clock on one core: from ten cycles an instruction (every load from memory) to ten
# instructions a cycle (the widest core) is a hundred, and no mix of either kind of code is all of one.
RATES_APART = 100
# Nobody enters a state that costs more than the rest in it, but a hypervisor may take the CPU away: 14 us after a
# rest of 10 were measured in a guest. The limit leaves room for one within another.
HYPERVISOR_NS = 200_000


@dataclass(frozen=True, slots=True)
class Costs:
    """Times and sizes of one kind of CPU; the defaults are of a machine on which only instructions take time.

    `user_ps`, `kernel_ps`: picoseconds for an instruction of a program, of the kernel.
    `switch_ns`: a context switch, on top of the instructions that the kernel executes and of what the caches lose.
    `l2_kib`, `llc_kib`: a core's private cache and a last-level cache (0: that term is off). `llc_mbps`, `memory_mbps`,
    `remote_mbps`: at how many MB/s one core fills its caches from the LLC, its node's memory, another node's.
    `node_mbps`: what a node's memory delivers to all its cores together (0: without limit).
    `beyond_llc`: the speed, in 1024ths, of a task none of whose data finds room in the LLC.
    `smt`: the speed of each thread of a core, in 1024ths, while another is busy.
    `turbo`: the speed, in 1024ths, with 1, 2, … busy cores in the node; the last stands for more (empty: one speed).
    `idle_exit`: ((us, ns), …) rising: a CPU that was idle for so long takes so long until it executes.
    `capacity`: the speed of each CPU in 1024ths, by number (empty: equal).
    `user_kib`, `kernel_kib`: the working set of a process, and of a kernel thread, that says nothing of it.
    """

    user_ps: int = 1000
    kernel_ps: int = 1000
    switch_ns: int = 0
    l2_kib: int = 0
    llc_kib: int = 0
    llc_mbps: int = 0
    memory_mbps: int = 0
    remote_mbps: int = 0
    node_mbps: int = 0
    beyond_llc: int = WHOLE
    smt: int = WHOLE
    turbo: tuple[int, ...] = ()
    idle_exit: tuple[tuple[int, int], ...] = ()
    capacity: tuple[int, ...] = ()
    user_kib: int = 64
    kernel_kib: int = 16


FLAT = Costs()
# What can be switched off by itself, with the fields that do it.
TERMS: dict[str, tuple[str, ...]] = {
    "speed": ("user_ps", "kernel_ps"),
    "switch": ("switch_ns",),
    "l2": ("l2_kib",),
    "llc": ("llc_kib",),
    "node": ("remote_mbps",),
    "bandwidth": ("node_mbps", "beyond_llc"),
    "smt": ("smt",),
    "turbo": ("turbo",),
    "idle": ("idle_exit",),
    "capacity": ("capacity",),
}


@dataclass(frozen=True, slots=True)
class MachineModel:
    """A machine to schedule on: its name, how its CPUs lie, what scheduling costs there, where numbers come from."""

    name: str
    topology: Topology
    costs: Costs = FLAT
    title: str = ""
    sources: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Paid:
    """CPU time of one run by cause, in picoseconds, and how the tasks moved that came onto a CPU.

    `busy_ps` is all time of CPUs that did not idle. What a speed took is what would be saved if it alone were off.
    `stayed` counts switches to a task that ran on that CPU before, the others those to one that ran elsewhere.
    """

    busy_ps: int = 0
    switch_ps: int = 0
    l2_ps: int = 0
    llc_ps: int = 0
    remote_ps: int = 0
    idle_ps: int = 0
    smt_ps: int = 0
    turbo_ps: int = 0
    capacity_ps: int = 0
    memory_ps: int = 0
    stayed: int = 0
    same_core: int = 0
    same_llc: int = 0
    same_node: int = 0
    other_node: int = 0


NOTHING = Paid()
# By the field of Paid: what the time was lost to.
CAUSES = {
    "switch_ps": "context switches",
    "l2_ps": "cold caches of cores",
    "llc_ps": "data fetched from memory, which were not in the LLC",
    "remote_ps": "memory of other nodes",
    "idle_ps": "waking idle CPUs",
    "smt_ps": "busy siblings",
    "turbo_ps": "the clock that falls with busy cores",
    "capacity_ps": "slow CPUs",
    "memory_ps": "data that find no room in the LLC",
}
MOVES = {"stayed": "the same CPU", "same_core": "its sibling", "same_llc": "another core of the LLC",
         "same_node": "another LLC", "other_node": "another node"}  # fmt: skip


def shares(paid: Paid) -> dict[str, float]:
    """Each cause's share of the CPUs' time; none of a run that took no time."""
    return {name: getattr(paid, name) / paid.busy_ps for name in CAUSES} if paid.busy_ps else {}


def moves(paid: Paid) -> dict[str, float]:
    """Where a task that came onto a CPU had been before, as shares of all those that had been anywhere."""
    count = sum(getattr(paid, name) for name in MOVES)
    return {name: getattr(paid, name) / count for name in MOVES} if count else {}


def rates_contradict(user_ps: float, kernel_ps: float) -> bool:
    """Whether no core has both: picoseconds an instruction of programs and of the kernel."""
    return max(user_ps, kernel_ps) > RATES_APART * min(user_ps, kernel_ps)


def unearned(idle_us: float, exit_ns: float) -> bool:
    """Whether no idle state costs so much after so short a rest."""
    return exit_ns > 1000 * idle_us + HYPERVISOR_NS


def without(costs: Costs, *terms: str) -> Costs:
    """The same with these of TERMS switched off; `node` off makes every memory near."""
    changes = {name: getattr(FLAT, name) for term in terms for name in TERMS[term]}
    if "node" in terms:
        changes["remote_mbps"] = costs.memory_mbps
    return replace(costs, **changes)


def summed(runs: Iterable[Paid]) -> Paid:
    """The sum of several runs."""
    runs = list(runs)
    return Paid(*(sum(getattr(run, of.name) for run in runs) for of in fields(Paid)))


def active(costs: Costs) -> tuple[str, ...]:
    """The terms that are not off."""
    return tuple(term for term in TERMS if without(costs, term) != costs)


def telling(costs: Costs, factors: Iterable[float]) -> tuple[str, ...]:
    """The terms that cost something else at one of these factors: the others can change no outcome.

    An instruction always takes time, also where nobody said how much.
    """
    factors, on = tuple(factors), {"speed", *active(costs)}
    return tuple(
        term for term in TERMS if term in on and any(scaled(costs, term, factor) != costs for factor in factors)
    )


def scaled(costs: Costs, term: str, factor: float) -> Costs:
    """The machine on which that term costs `factor` times as much; a speed's cost is the time that it adds."""
    change = _SCALED[term](costs, factor)
    return replace(costs, **change)


def _slower(speed: int, factor: float) -> int:
    """Of a speed in 1024ths: what it adds to the time of each unit of work, times the factor."""
    return max(1, round(WHOLE / (1 + factor * (WHOLE / speed - 1))))


def _rate(mbps: int, factor: float) -> int:
    return max(1, round(mbps / factor)) if mbps else 0


_SCALED: dict[str, Callable[[Costs, float], dict[str, Any]]] = {
    "speed": lambda c, f: {"user_ps": max(1, round(c.user_ps * f)), "kernel_ps": max(1, round(c.kernel_ps * f))},
    "switch": lambda c, f: {"switch_ns": round(c.switch_ns * f)},
    "l2": lambda c, f: {"llc_mbps": _rate(c.llc_mbps, f)},
    "llc": lambda c, f: {"memory_mbps": _rate(c.memory_mbps, f), "remote_mbps": _rate(c.remote_mbps, f)},
    "node": lambda c, f: {"remote_mbps": _rate(c.remote_mbps, f)},
    "bandwidth": lambda c, f: {"node_mbps": _rate(c.node_mbps, f), "beyond_llc": _slower(c.beyond_llc, f)},
    "smt": lambda c, f: {"smt": _slower(c.smt, f)},
    "turbo": lambda c, f: {"turbo": tuple(_slower(speed, f) for speed in c.turbo)},
    "idle": lambda c, f: {"idle_exit": tuple((us, round(ns * f)) for us, ns in c.idle_exit)},
    "capacity": lambda c, f: {"capacity": tuple(_slower(speed, f) for speed in c.capacity)},
}

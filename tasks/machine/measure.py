# SPDX-License-Identifier: Apache-2.0
"""Measure this host, and make a machine of it: every number that is known, and the kind's default for the others."""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.machine_file import ID
from benchmarks.machines import HOST
from policy_lake import limits
from policy_lake.errors import InfraError
from policy_lake.machine_model import WHOLE, MachineModel, rates_contradict
from policy_lake.show import for_terminal
from tasks.host.machine import defaults, kind_of
from tasks.host.settings import Settings
from tasks.host.topology import HostTopology, read_host_topology
from tasks.machine.experiments import LIMIT_S, Effort, measuring_program, plan, samples
from tasks.machine.numbers import RATES, Number, Sampled, numbers

PROC = Path("/proc")
LONGEST_S = 110.0
STOLEN, OTHERS = 0.01, 0.05  # of the CPUs' time: with more of it gone, what was measured was not this host alone
LEFT_OUT = {
    "smt": "a core has one thread",
    "remote_gbps": "there is one node",
    "memory_gbps.moved": "there is one LLC in a node",
    "llc_gbps.moved": "an LLC has one core",
    "turbo": "a node has one core",
    "idle_exit": "there is one core",
    "capacity": "its kernel says that all CPUs are alike",
    "l2_kib": "sysfs names no private cache",
    "llc_kib": "sysfs names no last-level cache",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A host measured: `machine` is as it would be written; `why` it is not to be trusted (empty: it is)."""

    machine: MachineModel
    numbers: tuple[Number, ...]
    left_out: dict[str, str]
    stolen_share: float
    others_share: float
    seconds: float
    why: tuple[str, ...] = field(default=())


def measure_host(settings: Settings, effort: Effort, say: Callable[[str], object], *, name: str = HOST) -> Measured:
    """All experiments, round by round, with `say` told which one is on; nothing is left running, however this ends.

    InfraError without a compiler, or where this process may not run on all CPUs.
    """
    lie = read_host_topology()
    if missing := set(lie.cpus) - os.sched_getaffinity(0):
        raise InfraError(f"this process may not run on CPU {min(missing)}, and measuring takes all of them")
    say("compiling the experiments")
    binary = measuring_program(settings.cache_dir)
    began, before = time.monotonic(), _cpu_times()
    gathered = _gathered(binary, lie, effort, say)
    after = _cpu_times()
    found = tuple(numbers(lie, gathered))
    stolen, others = _shares(before, after)
    doubts = tuple(_doubts(found, stolen, others))
    machine = machine_of(lie, found, name, trusted=not doubts)
    return Measured(machine, found, left_out(lie, found), stolen, others, time.monotonic() - began, doubts)


def _gathered(binary: Path, lie: HostTopology, effort: Effort, say: Callable[[str], object]) -> dict[str, Sampled]:
    """The samples by experiment, of all rounds; what LONGEST_S leaves no time for says so."""
    until = time.monotonic() + LONGEST_S
    gathered: dict[str, Sampled] = {}
    for number in range(effort.rounds):
        for experiment in plan(lie, effort):
            so_far = gathered.get(experiment.name, Sampled(()))
            left_s = until - time.monotonic()
            if left_s <= 0:
                gathered[experiment.name] = replace(so_far, why=so_far.why or f"{LONGEST_S:.0f} s were over")
            elif not (experiment.once and number):
                say(f"round {number + 1} of {effort.rounds}: {experiment.name}")
                values, why = samples(binary, experiment, limit_s=min(LIMIT_S, left_s))
                gathered[experiment.name] = Sampled((*so_far.values, *values), so_far.why or why)
    return gathered


def _doubts(found: tuple[Number, ...], stolen: float, others: float) -> list[str]:
    doubts = []
    if stolen > STOLEN:
        doubts.append(f"a hypervisor took {stolen:.1%} of the CPUs' time for others")
    if others > OTHERS:
        doubts.append(f"other processes took {others:.1%} of the CPUs' time")
    unknown = [number.name for number in found if number.why]
    return [*doubts, *([f"not known: {', '.join(unknown)}"] if unknown else [])]


def left_out(lie: HostTopology, found: tuple[Number, ...]) -> dict[str, str]:
    """What this host cannot show, and why, by name."""
    shown = {number.name for number in found} | {number.name.partition(".")[0] for number in found}
    if lie.capacity:
        shown.add("capacity")
    return {name: why for name, why in LEFT_OUT.items() if name not in shown}


def machine_of(lie: HostTopology, found: tuple[Number, ...], name: str, *, trusted: bool) -> MachineModel:
    """The machine that was measured; numbers that nothing is known of are those of the host's kind, and say so."""
    base = defaults(lie, kind_of(lie))
    changes: dict[str, Any] = {}
    sources = {"switch_ns": "", **base.sources}
    for one in found:
        cost = _cost(one, lie.topology.smt)
        if cost and one.name in sources:
            if not one.why:
                changes[cost[0]] = cost[1]
            sources[one.name] = _source(one, sources[one.name])
        elif one.name in ("l2_kib", "llc_kib") and one.why:
            sources[one.name] += f"; not confirmed: {one.why}"
    for listed in ("turbo", "idle_exit"):
        asked = [one for one in found if one.name.startswith(f"{listed}.")]
        points = [one for one in asked if not one.why]
        if listed == "idle_exit" and len(points) < len(asked):
            # Below the first point a CPU wakes at once: without the short rests that would be said of them.
            unknown = ", ".join(one.name.partition(".")[2] for one in asked if one.why)
            sources[listed] = f"{sources.get(listed, '')}; not measured here, since nothing is known of {unknown}"
        elif points:
            changes[listed] = _filled(points) if listed == "turbo" else _exits(points)
            sources[listed] = "; ".join(f"{one.name.partition('.')[2]}: {_source(one, '')}" for one in points)
    if lie.capacity:  # the first CPU was measured, and the speeds of a machine are its fastest one's
        for rate in RATES:
            if rate in changes:
                changes[rate] = max(int(limits.MACHINE_PS.low), changes[rate] * lie.capacity[0] // WHOLE)
    rates = [changes.get(name, getattr(base.costs, name)) for name in RATES]
    if rates_contradict(*rates):  # one that is known beside the kind's
        for rate in RATES:
            sources[rate] = f"{base.sources[rate]}; not as measured: {' and '.join(map(str, rates))} ps cannot be"
            changes.pop(rate, None)
    costs = replace(base.costs, **changes)
    costs = replace(costs, memory_mbps=min(costs.memory_mbps, costs.llc_mbps or costs.memory_mbps))
    costs = replace(
        costs,
        remote_mbps=min(costs.remote_mbps, costs.memory_mbps),
        node_mbps=max(costs.node_mbps, costs.memory_mbps) if costs.node_mbps else 0,
    )
    sources = {key: text[: limits.LONGEST_LINE] for key, text in sources.items()}
    title = f"{_model_name()}, measured {datetime.now(UTC):%Y-%m-%d}{'' if trusted else ', not to be trusted'}"
    return MachineModel(name if ID.fullmatch(name) else HOST, lie.topology, costs, title, sources)


def _cost(one: Number, smt: int) -> tuple[str, Any] | None:
    """The field of Costs and its value, within what a descriptor may say."""
    if one.name in ("user_ps", "kernel_ps"):
        return one.name, round(min(max(one.value, limits.MACHINE_PS.low), limits.MACHINE_PS.high))
    if one.name == "switch_ns":
        return one.name, round(min(one.value, limits.MACHINE_SWITCH_NS.high))
    if one.name in ("llc_gbps", "memory_gbps", "remote_gbps", "node_gbps"):
        gbps = min(max(one.value, limits.MACHINE_GBPS.low), limits.MACHINE_GBPS.high)
        return one.name.replace("_gbps", "_mbps"), round(gbps * 1000)
    if one.name in ("smt", "beyond_llc"):
        least = limits.LEAST_SMT / smt if one.name == "smt" else limits.MACHINE_SPEED.low
        return one.name, _whole(one.value, least)
    return None


def _filled(turbo: list[Number]) -> tuple[int, ...]:
    """The speed with 1, 2, … busy cores, on a line between the counts that were measured."""
    points = [(1, 1.0), *((int(one.name.partition(".")[2]), one.value) for one in turbo)]
    speeds = [1.0]
    for (low, slow), (high, fast) in pairwise(points):
        speeds += [slow + (fast - slow) * (at - low) / (high - low) for at in range(low + 1, high + 1)]
    return tuple(_whole(speed, limits.MACHINE_SPEED.low) for speed in speeds)


def _whole(share: float, least: float) -> int:
    """A share of full speed in the model's unit, no less than what a descriptor may say after rounding."""
    return min(WHOLE, max(round(share * WHOLE), math.ceil(least * WHOLE)))


def _exits(points: list[Number]) -> tuple[tuple[int, int], ...]:
    return tuple(
        (int(one.name.partition(".")[2]), round(min(one.value, limits.MACHINE_EXIT_NS.high))) for one in points
    )


def _source(one: Number, otherwise: str) -> str:
    if one.why:
        return f"{otherwise}; measured, and not known: {one.why}"
    return f"measured: median of {one.samples}, 95 % from {one.low:.4g} to {one.high:.4g}"


def _model_name(proc: Path = PROC) -> str:
    for line in (proc / "cpuinfo").read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return for_terminal(value.strip()[:100])
    return "this host"


def _cpu_times(proc: Path = PROC) -> tuple[int, int, int, float]:
    """Ticks of all CPUs (in all, idle, stolen), and the seconds of them that this process and its children had."""
    cpu = [int(word) for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(cpu), cpu[3] + cpu[4], cpu[7], sum(one.ru_utime + one.ru_stime for one in own)


def _shares(before: tuple[int, int, int, float], after: tuple[int, int, int, float]) -> tuple[float, float]:
    """What a hypervisor took, and what other processes had, of the CPUs' time."""
    ticks, idle, stolen, own_s = (now - then for now, then in zip(after, before, strict=True))
    own = own_s * os.sysconf("SC_CLK_TCK")
    return stolen / max(1, ticks), max(0.0, (ticks - idle - stolen - own) / max(1, ticks))

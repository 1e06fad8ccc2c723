# SPDX-License-Identifier: Apache-2.0
"""From the samples of the experiments to the numbers of a descriptor, each with its 95 % interval."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb

from policy_lake.machine_model import rates_contradict, unearned
from tasks.host.topology import HostTopology
from tasks.machine.experiments import IDLE_US, PARTS, busy_cores

# What these experiments are in instructions of the guest's kernel (7.3.4), counted by its virtual clock at 1 ns each: a
# round of calls; a switch between two processes that wait for one another, without the calls; from a write to the
# return of the read that it ends on an idle CPU. tests/vm/test_machine_counts.py counts anew.
CALLS, SWITCH, WAKE = 36_900, 6_140, 7_600
WIDE = 0.2  # of the value: an interval that is wider says too little
NEAR_NS = 500.0  # and times that are known to so much are known, however small they are
STEP = 1.3  # times as long a load must take beyond a cache as within, for it to be as large as sysfs says
RATES = ("user_ps", "kernel_ps")
FEWEST = 6  # below, even the least and the greatest sample do not enclose the median with 95 %


@dataclass(frozen=True, slots=True)
class Number:
    """A value between `low` and `high` with 95 %; `why` it is not to be trusted (empty: it is)."""

    name: str
    value: float
    low: float
    high: float
    samples: int
    unit: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one experiment gave, over all rounds, and why it failed (empty: it did not)."""

    values: tuple[float, ...]
    why: str = ""


def interval(name: str, values: Sequence[float], unit: str) -> Number:
    """The median, with an interval by order statistics: no law of the noise is assumed but that samples are alike."""
    ordered, count = sorted(values), len(values)
    tail, below = 0.0, 0
    while tail + comb(count, below) / 2**count <= 0.025:
        tail += comb(count, below) / 2**count
        below += 1
    at = max(0, below - 1)
    few = "" if count >= FEWEST else f"{count} samples are too few"
    return Number(name, statistics.median(ordered), ordered[at], ordered[-1 - at], count, unit, few)


def numbers(lie: HostTopology, sampled: Mapping[str, Sampled]) -> Iterator[Number]:
    """All that can be told from what was sampled; what failed, is too wide, or contradicts another number says so."""
    found = [judged(number) for number in _numbers(lie, sampled)]
    user, kernel = (next(number for number in found if number.name == name) for name in RATES)
    apart = ""
    if not (user.why or kernel.why) and rates_contradict(max(1.0, user.value), max(1.0, kernel.value)):
        apart = f"{user.value:.4g} ps of programs and {kernel.value:.4g} ps of the kernel contradict one another"
    for number in found:
        why = apart if number.name in RATES else _beyond_its_rest(number)
        yield replace(number, why=number.why or why)


def _beyond_its_rest(number: Number) -> str:
    name, _, idle_us = number.name.partition(".")
    if name != "idle_exit" or not unearned(float(idle_us), number.value):
        return ""
    return f"{number.value:.4g} ns are longer than the rest before: something else took them"


def judged(number: Number) -> Number:
    """The number with a reason against it where its interval is too wide."""
    width = number.high - number.low
    enough = max(WIDE * abs(number.value), NEAR_NS if number.unit == "ns" else 0.0)
    if number.why or width <= enough:
        return number
    return replace(number, why=f"95 % from {number.low:.4g} to {number.high:.4g} {number.unit}")


def _numbers(lie: HostTopology, sampled: Mapping[str, Sampled]) -> Iterator[Number]:
    def of(name: str, unit: str) -> Number:
        got = sampled.get(name, Sampled((), "was not tried"))
        if not got.values:
            return Number(name, 0.0, 0.0, 0.0, 0, unit, got.why or "gave nothing")
        return replace(interval(name, got.values, unit), why=got.why or interval(name, got.values, unit).why)

    parts = [_scaled(of(f"work.{part}", "ns"), f"user_ps.{part}", 1000.0, of(f"count.{part}", "")) for part in PARTS]
    yield from parts
    yield _mean("user_ps", parts)
    kernel = _times(of("syscalls", "ns"), "kernel_ps", 1000.0 / CALLS, "ps")
    yield kernel
    switch = _less(of("switch", "ns"), "switch_ns", kernel, SWITCH)
    # No switch is free; a wake-up may be, on a machine whose CPUs never sleep deeply.
    nothing = "" if switch.value else "the kernel's instructions alone take as long as what was measured"
    yield replace(switch, why=switch.why or nothing)
    wakes = [
        _less(of(f"wake.{us}", "ns"), f"idle_exit.{us}", kernel, WAKE) for us in IDLE_US if f"wake.{us}" in sampled
    ]
    yield from _rising(wakes)
    yield from _ratios(lie, of)
    renamed = {"llc": "llc_gbps", "moved": "llc_gbps.moved", "memory": "memory_gbps", "other llc": "memory_gbps.moved",
               "remote": "remote_gbps", "node": "node_gbps", "beyond": "beyond_llc"}  # fmt: skip
    for name, field in renamed.items():
        if name in sampled:
            yield replace(of(name, "" if name == "beyond" else "GB/s"), name=field)
    for cache, kib in (("l2", lie.l2_kib), ("llc", lie.llc_kib)):
        if kib:
            yield _confirmed(f"{cache}_kib", kib, of(f"chase.{cache}", "ns"), of(f"chase.beyond {cache}", "ns"))


def _ratios(lie: HostTopology, of: Callable[[str, str], Number]) -> Iterator[Number]:
    alone = of("alone", "ns")
    if lie.topology.smt > 1:
        yield _ratio(alone, of("smt", "ns"), "smt")
    last: Number | None = None
    for count, _ in busy_cores(lie):
        ratio = _ratio(alone, of(f"turbo.{count}", "ns"), f"turbo.{count}")
        most = last.value if last else 1.0
        last = replace(ratio, value=min(ratio.value, most), low=min(ratio.low, most), high=min(ratio.high, most))
        yield last


def _scaled(time: Number, name: str, factor: float, count: Number) -> Number:
    why = time.why or ("" if count.value else count.why)
    by = factor / count.value if count.value else 0.0
    return Number(name, time.value * by, time.low * by, time.high * by, time.samples, "ps", why)


def _times(number: Number, name: str, by: float, unit: str) -> Number:
    return replace(number, name=name, value=number.value * by, low=number.low * by, high=number.high * by, unit=unit)


def _mean(name: str, of: Sequence[Number]) -> Number:
    value, low, high = (statistics.fmean(getattr(one, what) for one in of) for what in ("value", "low", "high"))
    why = next((f"{one.name}: {one.why}" for one in of if one.why), "")
    return Number(name, value, low, high, min(one.samples for one in of), of[0].unit, why)


def _less(time: Number, name: str, kernel: Number, instructions: int) -> Number:
    """What is left of a time beside what the guest's kernel executes of it, which costs time there anyway."""
    value, low, high = (
        max(0.0, one - other * instructions / 1000.0)
        for one, other in ((time.value, kernel.value), (time.low, kernel.high), (time.high, kernel.low))
    )
    return Number(name, value, low, high, time.samples, "ns", time.why or kernel.why)


def _rising(wakes: Sequence[Number]) -> Iterator[Number]:
    least = 0.0
    for wake in wakes:
        least = max(least, wake.value)
        yield replace(wake, value=least, high=max(least, wake.high))


def _ratio(alone: Number, beside: Number, name: str) -> Number:
    if not (alone.low and beside.low):
        return Number(name, 0.0, 0.0, 0.0, 0, "", alone.why or beside.why or "gave nothing")
    value, low, high = alone.value / beside.value, alone.low / beside.high, alone.high / beside.low
    return Number(name, min(1.0, value), min(1.0, low), min(1.0, high), beside.samples, "", alone.why or beside.why)


def _confirmed(name: str, kib: int, within: Number, beyond: Number) -> Number:
    """A cache's size, which sysfs says, against how long a load takes within and beyond it."""
    why = within.why or beyond.why
    if not why and beyond.value < STEP * within.value:
        why = f"sysfs says so, and a load takes {within.value:.1f} ns in half of it, {beyond.value:.1f} ns beyond"
    return Number(name, kib, kib, kib, min(within.samples, beyond.samples), "KiB", why)

# SPDX-License-Identifier: Apache-2.0
"""What a machine may be and hardly is: numbers that a busy host can measure, and that are a slip in most files."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.machine_model import WHOLE, Costs, MachineModel
from policy_lake.topology import Topology

# What the CPUs of the last fifteen years lie within, from the least to the most, as (field of Costs, least, most, for a
# unit of people divided by, the unit).
_USUAL = (
    ("user_ps", 40, 2_000, 1, "ps"),
    ("kernel_ps", 100, 5_000, 1, "ps"),
    ("switch_ns", 0, 20_000, 1, "ns"),
    ("l2_kib", 128, 32 << 10, 1, "KiB"),
    ("llc_kib", 512, 1 << 20, 1, "KiB"),
    ("llc_mbps", 2_000, 500_000, 1000, "GB/s"),
    ("memory_mbps", 500, 200_000, 1000, "GB/s"),
    ("remote_mbps", 200, 100_000, 1000, "GB/s"),
    ("node_mbps", 2_000, 5_000_000, 1000, "GB/s"),
)
_SOON_NS, _LATE_NS = 20, 1_000_000  # for a CPU to execute again, if it takes any time
_LONG_US = 100_000  # of rest that make a state worth while
_SLOWEST_CLOCK, _SLOWEST_CORE = WHOLE // 4, WHOLE // 10
_OF_THE_KERNEL = 0.5, 20.0  # its picoseconds an instruction over those of programs
_L2S = 8.0  # times as much as the LLC, all private caches under it together


def oddities(model: MachineModel) -> Iterator[tuple[str, str]]:
    """What is odd of a machine that can be, as (field of its file, what); nothing of those of the project."""
    costs, lie = model.costs, model.topology
    for name, least, most, by, unit in _USUAL:
        value = getattr(costs, name)
        if value and not least <= value <= most:
            yield _field(name), f"{value / by:g} {unit}, and CPUs have from {least / by:g} to {most / by:g}"
    yield from _speeds(costs, lie)
    yield from _memory(costs, lie)
    for at, (idle_us, exit_ns) in enumerate(costs.idle_exit):
        if exit_ns > 1000 * idle_us:
            yield f"costs.idle_exit.{at}", f"to wake takes {exit_ns} ns after a rest of {idle_us} us, which is less"
        elif exit_ns and not _SOON_NS <= exit_ns <= _LATE_NS:
            yield f"costs.idle_exit.{at}", f"{exit_ns} ns to wake, and CPUs take from {_SOON_NS} to {_LATE_NS}"
        elif idle_us > _LONG_US:
            yield f"costs.idle_exit.{at}", f"a rest of {idle_us} us, and states are for rests up to {_LONG_US}"


def _field(name: str) -> str:
    return f"costs.{name.replace('_mbps', '_gbps')}"


def _speeds(costs: Costs, lie: Topology) -> Iterator[tuple[str, str]]:
    low, high = _OF_THE_KERNEL
    if not low <= costs.kernel_ps / costs.user_ps <= high:
        times = f"{costs.kernel_ps / costs.user_ps:.3g} times field 'costs.user_ps'"
        yield "costs.kernel_ps", f"{times}, and kernels take {low:g} to {high:g} times as long as programs"
    if lie.smt > 1 and costs.smt * lie.smt < WHOLE:
        yield "costs.smt", f"all {lie.smt} threads of a core together do less than one alone"
    if costs.turbo and costs.turbo[-1] < _SLOWEST_CLOCK:
        yield f"costs.turbo.{len(costs.turbo) - 1}", "less than a quarter of the clock of one busy core"
    if costs.capacity and min(costs.capacity) < _SLOWEST_CORE:
        yield f"costs.capacity.{costs.capacity.index(min(costs.capacity))}", "less than a tenth of the fastest CPU"


def _memory(costs: Costs, lie: Topology) -> Iterator[tuple[str, str]]:
    for name, before in (("memory_mbps", "llc_mbps"), ("remote_mbps", "memory_mbps")):
        if getattr(costs, name) and getattr(costs, name) == getattr(costs, before):
            yield _field(name), f"as fast as field '{_field(before)}', which is nearer"
    cores = lie.cpus // (lie.llcs * lie.smt)
    if costs.llc_kib and cores * costs.l2_kib > _L2S * costs.llc_kib:
        yield "costs.l2_kib", f"{cores} of them are more than {_L2S:g} times field 'costs.llc_kib' above them"
    for name, cache in (("user_kib", "llc_kib"), ("kernel_kib", "l2_kib")):
        if getattr(costs, cache) and getattr(costs, name) > getattr(costs, cache):
            yield f"costs.{name}", f"more than field 'costs.{cache}': nobody who says nothing would find room"

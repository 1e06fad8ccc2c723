# SPDX-License-Identifier: Apache-2.0
"""What no machine can be: numbers out of proportion, that contradict one another, or without a source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks.machine_fields import Described, Priced
from policy_lake import limits
from policy_lake.limits import Limit
from policy_lake.machine_model import RATES_APART, rates_contradict, unearned
from policy_lake.show import shortened

_LIMITS: dict[str, Limit] = {
    "user_ps": limits.MACHINE_PS,
    "kernel_ps": limits.MACHINE_PS,
    "switch_ns": limits.MACHINE_SWITCH_NS,
    "l2_kib": limits.MACHINE_L2_KIB,
    "llc_kib": limits.MACHINE_LLC_KIB,
    **dict.fromkeys(("llc_gbps", "memory_gbps", "remote_gbps", "node_gbps"), limits.MACHINE_GBPS),
    **dict.fromkeys(("beyond_llc", "smt", "turbo", "capacity"), limits.MACHINE_SPEED),
    **dict.fromkeys(("user_kib", "kernel_kib"), limits.MACHINE_FOOTPRINT_KIB),
}
# (what is given, what it then needs, why)
_NEEDS = (
    ("l2_kib", "llc_gbps", "says how quickly a core fills its own cache from the LLC"),
    ("llc_kib", "memory_gbps", "says how quickly a core fills the LLC from memory"),
    ("llc_gbps", "l2_kib", "says how much there is to fill"),
    ("memory_gbps", "llc_kib", "says how much there is to fill"),
    ("node_gbps", "memory_gbps", "says what one core takes of it"),
    ("beyond_llc", "llc_kib", "says beyond what"),
)
# (what is at most, as what, why)
_AT_MOST = (
    ("memory_gbps", "llc_gbps", "memory is no faster than the cache before it"),
    ("remote_gbps", "memory_gbps", "another node's memory is no faster than a near one"),
    ("memory_gbps", "node_gbps", "a node delivers at least what one core takes"),
)


def faults(described: Described, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong beyond types and the topology, as (field, what), worst first; `given` are the numbers' names."""
    if not described.title.strip() or len(described.title) > limits.LONGEST_LINE:
        yield "title", f"is empty, or longer than {limits.LONGEST_LINE} characters"
    yield from _beyond_limits(described.costs)
    yield from _contradictions(described.costs)
    yield from _against_topology(described)
    yield from _unfounded(described.sources, given)


def _beyond_limits(costs: Priced) -> Iterator[tuple[str, str]]:
    for name in ("turbo", "capacity", "idle_exit"):
        if getattr(costs, name) == ():
            yield name, "is empty: give it entries, or leave it out with its source"
    for name, limit in _LIMITS.items():
        value = getattr(costs, name)
        if isinstance(value, tuple):
            if len(value) > limits.CPUS.high:
                yield name, f"has {len(value)} entries, and {limits.CPUS.high} is the most"
            yield from ((f"{name}.{at}", wrong) for at, share in enumerate(value) if (wrong := _outside(limit, share)))
        elif value is not None and (wrong := _outside(limit, value)):
            yield name, wrong
    states = costs.idle_exit or ()
    if len(states) > limits.MACHINE_IDLE_STATES:
        yield "idle_exit", f"has {len(states)} entries, and {limits.MACHINE_IDLE_STATES} is the most"
    for at, (idle_us, exit_ns) in enumerate(states):
        for limit, number in ((limits.MACHINE_IDLE_US, idle_us), (limits.MACHINE_EXIT_NS, exit_ns)):
            if wrong := _outside(limit, number):
                yield f"idle_exit.{at}", f"{limit.name}: {wrong}"


def _outside(limit: Limit, number: float) -> str:
    if limit.low <= number <= limit.high:  # never so for what is not a number
        return ""
    nan = isinstance(number, float) and math.isnan(number)
    shown = number if nan or abs(number) < 2**64 else "a larger number"
    shown = "an infinite one" if isinstance(number, float) and math.isinf(number) else shown
    return f"must be from {limit.span}{f' {limit.unit}' if limit.unit else ''}, not {shown}"


def _contradictions(costs: Priced) -> Iterator[tuple[str, str]]:
    for name, needed, why in _NEEDS:
        if getattr(costs, name) is not None and getattr(costs, needed) is None:
            yield name, f"is given without '{needed}', which {why}"
    for name, bound, why in _AT_MOST:
        value, most = getattr(costs, name), getattr(costs, bound)
        if value is not None and most is not None and value > most:
            yield name, f"{value} is more than {most} of field '{bound}': {why}"
    if costs.l2_kib and costs.llc_kib and costs.l2_kib >= costs.llc_kib:
        smaller = f"{costs.l2_kib} is not less than {costs.llc_kib} of field 'llc_kib'"
        yield "l2_kib", f"{smaller}: the last-level cache is larger than one core's own"
    if costs.user_ps and costs.kernel_ps and rates_contradict(costs.user_ps, costs.kernel_ps):
        apart = f"{costs.kernel_ps} and {costs.user_ps} of field 'user_ps' are more than {RATES_APART} times apart"
        yield "kernel_ps", f"{apart}: both run at one clock on one core"
    yield from _unordered(costs)


def _unordered(costs: Priced) -> Iterator[tuple[str, str]]:
    """What is wrong within the lists."""
    turbo = costs.turbo or ()
    if turbo and turbo[0] != 1:
        yield "turbo.0", f"must be 1, not {turbo[0]}: field 'user_ps' is the speed with one busy core"
    for at in range(1, len(turbo)):
        if turbo[at] > turbo[at - 1]:
            yield f"turbo.{at}", f"{turbo[at]} is more than {turbo[at - 1]}: more busy cores make none of them faster"
    states = costs.idle_exit or ()
    for at in range(1, len(states)):
        if states[at][0] <= states[at - 1][0] or states[at][1] < states[at - 1][1]:
            yield f"idle_exit.{at}", f"{list(states[at])} does not rise from {list(states[at - 1])} before it"
    for at, (idle_us, exit_ns) in enumerate(states):
        if unearned(idle_us, exit_ns):
            yield f"idle_exit.{at}", f"{exit_ns} ns are longer than the {idle_us} us of rest that earn them"
    if costs.capacity and max(costs.capacity) != 1:
        yield "capacity", f"the fastest CPU must have 1, not {max(costs.capacity)}: field 'user_ps' is its speed"


def _against_topology(described: Described) -> Iterator[tuple[str, str]]:
    costs, lie = described.costs, described.topology
    if costs.smt is not None:
        if lie.smt == 1:
            yield "smt", "is given, and field 'topology.smt' says that a core has one thread"
        elif costs.smt * lie.smt < limits.LEAST_SMT:
            all_of_them = f"all {lie.smt} threads of field 'topology.smt' together would have {costs.smt * lie.smt:g}"
            yield "smt", f"{costs.smt} is too little: {all_of_them} of a core's speed alone"
    if (costs.remote_gbps is not None) != (lie.nodes > 1 and costs.llc_kib is not None):
        what = "is missing" if costs.remote_gbps is None else "is given"
        yield "remote_gbps", f"{what}, and field 'topology.nodes' is {lie.nodes}: it goes with nodes whose LLCs count"
    cores = lie.cpus // (lie.smt * lie.nodes)
    if costs.turbo and len(costs.turbo) > cores:
        yield "turbo", f"has {len(costs.turbo)} entries, and a node of field 'topology' has {cores} cores"
    if costs.capacity is not None:
        if len(costs.capacity) != lie.cpus:
            yield "capacity", f"has {len(costs.capacity)} entries, and field 'topology.cpus' is {lie.cpus}"
        for first in range(0, lie.cpus, lie.smt):
            if len(set(costs.capacity[first : first + lie.smt])) > 1:
                yield f"capacity.{first}", f"differs within a core, which has {lie.smt} threads by field 'topology.smt'"


def _unfounded(sources: dict[str, str], given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in given:
        if not sources.get(name, "").strip():
            what = "is empty" if name in sources else "is missing"
            yield f"sources.{name}", f"{what}: each number that is given has a source, or the reason of an estimate"
    for name, text in sources.items():
        if name not in given:
            yield f"sources.{shortened(name, 60)}", "is the source of a number that is not given"
        elif len(text) > limits.LONGEST_LINE:
            yield f"sources.{name}", f"longer than {limits.LONGEST_LINE} characters"

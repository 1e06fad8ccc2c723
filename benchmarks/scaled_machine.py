# SPDX-License-Identifier: Apache-2.0
"""A machine scaled to as many CPUs as a guest has: a part of it, whose rest is idle, or more of the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from policy_lake.limits import CPUS, LLCS
from policy_lake.machine_model import WHOLE, MachineModel
from policy_lake.topology import Topology


@dataclass(frozen=True, slots=True)
class Scaled:
    """The machine that a guest is to be, and in words what of the whole one it is."""

    model: MachineModel
    words: str


def at(model: MachineModel, cpus: int) -> Scaled:
    """The machine with `cpus` CPUs, or with the next count that can be spread evenly over as many LLCs as that needs.

    Threads a core, CPUs an LLC and LLCs a node stay as they are, an LLC's size and a node's bandwidth too: the rest of
    the machine is idle. More CPUs than it has are more LLCs of the same kind; where it has one LLC, or one node,
    that serves all. InputError for no count of CPUs.
    """
    CPUS.check(cpus)
    whole = model.topology
    topology = _topology(whole, cpus)
    if topology == whole:
        return Scaled(model, _words(whole, topology, cpus))
    costs = model.costs
    cores = topology.cpus // (topology.smt * topology.nodes)
    capacity = _capacity(costs.capacity, whole, topology)
    scaled = replace(
        costs,
        turbo=costs.turbo[:cores],
        capacity=capacity if len(set(capacity)) > 1 or set(capacity) - {WHOLE} else (),
        smt=costs.smt if topology.smt > 1 else WHOLE,
        remote_mbps=costs.remote_mbps if topology.nodes > 1 else 0,
    )
    none = {"smt": topology.smt == 1, "remote_gbps": topology.nodes == 1, "capacity": not scaled.capacity}
    sources = {name: source for name, source in model.sources.items() if not none.get(name)}
    return Scaled(replace(model, topology=topology, costs=scaled, sources=sources), _words(whole, topology, cpus))


def _topology(whole: Topology, cpus: int) -> Topology:
    """The smallest that has them, LLCs no larger than the machine's, equal nodes; the largest where none can."""
    smt = whole.smt if cpus >= whole.smt else 1
    an_llc, a_node = whole.cpus // whole.llcs, whole.llcs // whole.nodes
    llcs = 1 if whole.llcs == 1 else min(-(-cpus // an_llc), int(LLCS.high))
    cores = int(CPUS.high) // smt
    nodes = 1 if whole.nodes == 1 else min(-(-llcs // a_node), cores)
    llcs = min(-(-llcs // nodes), cores // nodes) * nodes
    step = llcs * smt
    count = -(-cpus // step) * step
    if count > CPUS.high:
        count = int(CPUS.high) // step * step
    return Topology(count, llcs, smt, nodes)


def _capacity(capacity: Sequence[int], whole: Topology, topology: Topology) -> tuple[int, ...]:
    """The CPUs' speeds: cores spread over the machine's, so that the mix stays, and a fastest one among them."""
    if not capacity:
        return ()
    cores = capacity[:: whole.smt]
    an_llc = len(cores) // whole.llcs
    first = cores.index(max(cores))
    kept = []
    for llc in _spread(topology.llcs, whole.llcs, first // an_llc):
        its = cores[llc * an_llc : (llc + 1) * an_llc]
        start = first % an_llc if llc == first // an_llc else 0
        kept += [its[at] for at in _spread(topology.cpus // (topology.llcs * topology.smt), an_llc, start)]
    return tuple(speed for speed in kept for _ in range(topology.smt))


def _spread(count: int, among: int, first: int) -> list[int]:
    """`count` of the numbers below `among`, evenly and in order, `first` among them; some again if there are more."""
    return sorted((first + at * among // count) % among for at in range(count))


def _words(whole: Topology, topology: Topology, asked: int) -> str:
    if topology.cpus == whole.cpus and topology.llcs == whole.llcs:
        said = f"all {whole.cpus} CPUs" if whole.cpus > 1 else "its one CPU"
    elif topology.cpus > whole.cpus:
        said = f"{topology.cpus} CPUs, more than its {whole.cpus}"
    else:
        said = f"{topology.cpus} of {whole.cpus} CPUs"
    parts = []
    for now, then, what in ((topology.llcs, whole.llcs, "LLC"), (topology.nodes, whole.nodes, "node")):
        if then > 1:
            parts.append(f"{now} of {then} {what}s" if now <= then else f"{now} {what}s for {then}")
        elif topology.cpus > whole.cpus and what == "LLC":
            parts.append("one LLC for all")
    if topology.smt != whole.smt:
        parts.append(f"one thread a core for {whole.smt}")
    if topology.cpus != asked:
        parts.append(f"since {asked} cannot be spread evenly")
    return f"{said}: {', '.join(parts)}" if parts else said

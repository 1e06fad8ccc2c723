# SPDX-License-Identifier: Apache-2.0
"""Machines by name, this host among them: how its CPUs lie, with costs that were measured here or a kind's defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.machine_file import read_machine
from benchmarks.machines import HOST, machine
from policy_lake.host_cpus import SYS
from policy_lake.machine_model import FLAT, WHOLE, Costs, MachineModel
from policy_lake.topology import Topology
from tasks.host.settings import Settings
from tasks.host.topology import HostTopology, read_host_topology

MEASURED = "machine.toml"  # in the data directory: what `schedcp machine measure` wrote, or a user


@dataclass(frozen=True, slots=True)
class HostMachine:
    """This host as a machine, and in words where its costs come from."""

    model: MachineModel
    said: str


def find_machine(name: str, settings: Settings) -> MachineModel:
    """The machine of that name, `host` for this one, or of that path; InputError as from benchmarks.machines."""
    return host_machine(settings).model if name == HOST else machine(name, also=(HOST,))


def measured_path(settings: Settings) -> Path:
    """Where this host's measured machine lies, if there is one."""
    return settings.data_dir / MEASURED


def measured_of(settings: Settings) -> MachineModel | None:
    """What that file describes, None where there is none; InputError names what is wrong with it."""
    path = measured_path(settings)
    return read_machine(path) if path.exists() or path.is_symlink() else None


def host_machine(settings: Settings, sys: Path = SYS) -> HostMachine:
    """This host: its measured file where there is one of this topology, else the defaults of its kind, said as such.

    InputError names what is wrong with the measured file. InfraError where the kernel does not say how its CPUs lie.
    """
    lie = read_host_topology(sys)
    path, measured = measured_path(settings), measured_of(settings)
    if measured is not None:
        if measured.topology == lie.topology:
            return HostMachine(replace(measured, name=HOST), f"this host, {lie.topology}: costs of {path}")
        why = f"{path} is of another machine ({measured.topology})"
    else:
        why = f"none are measured: run `schedcp machine measure -o {path}`"
    kind = kind_of(lie)
    return HostMachine(defaults(lie, kind), f"this host, {lie.topology}: costs as of '{kind}', since {why}")


def kind_of(lie: HostTopology) -> str:
    """The project's machine that a host is most like."""
    topology: Topology = lie.topology
    if topology.nodes > 1:
        return "sockets"
    if lie.capacity:
        return "hybrid"
    if topology.llcs > 2:
        return "server"
    return "desktop" if topology.llcs > 1 or topology.smt > 1 else "laptop"


def defaults(lie: HostTopology, kind: str) -> MachineModel:
    """A machine of that kind with the host's topology, and what its kernel says of caches, speeds and idle states."""
    like, topology = machine(kind), lie.topology
    smt = like.costs.smt if like.costs.smt < WHOLE else machine("desktop").costs.smt
    llc_kib = lie.llc_kib or like.costs.llc_kib
    l2_kib = 0 if lie.llc_kib and not lie.l2_kib else lie.l2_kib or like.costs.l2_kib
    if l2_kib >= llc_kib:
        l2_kib, llc_kib = like.costs.l2_kib, like.costs.llc_kib
    costs = replace(
        like.costs,
        l2_kib=l2_kib,
        llc_kib=llc_kib,
        llc_mbps=like.costs.llc_mbps if l2_kib else 0,
        remote_mbps=like.costs.remote_mbps if topology.nodes > 1 else 0,
        smt=smt if topology.smt > 1 else WHOLE,
        turbo=like.costs.turbo[: topology.cpus // (topology.smt * topology.nodes)],
        capacity=lie.capacity,
        idle_exit=lie.idle_states or like.costs.idle_exit,
    )
    return MachineModel(HOST, topology, costs, f"this host, costs as of '{kind}'", _sources(lie, costs, kind))


def _sources(lie: HostTopology, costs: Costs, kind: str) -> dict[str, str]:
    """Where each number that is other than nothing comes from."""
    said = {"l2_kib": lie.l2_kib, "llc_kib": lie.llc_kib, "capacity": lie.capacity, "idle_exit": lie.idle_states}
    sources = {"topology": f"sysfs of this host{f': {lie.uneven}' if lie.uneven else ''}"}
    for name in Costs.__dataclass_fields__:
        if getattr(costs, name) != getattr(FLAT, name):
            by = "sysfs of this host" if said.get(name) else f"default of kind '{kind}': not measured here"
            sources[name.replace("_mbps", "_gbps")] = by
    return sources

# SPDX-License-Identifier: Apache-2.0
"""What the CPUs of a measured guest are taken for when nobody says: this host's, as many of them as the guest has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.machines import HOST
from benchmarks.scaled_machine import at
from policy_lake.errors import InfraError
from policy_lake.host_cpus import SYS
from policy_lake.machine_model import Costs, MachineModel
from policy_lake.topology import Topology
from tasks.host.machine import measured_of, measured_path
from tasks.host.settings import Settings
from tasks.host.topology import read_host_topology

OTHERS = "--machine NAME takes them for another (`schedcp machines`)"


@dataclass(frozen=True, slots=True)
class Default:
    """How the guest's CPUs lie, what scheduling costs there (None: nothing but instructions), and both in words.

    `machine` names what has the costs; `said` is the whole in one line, with what to do for another.
    """

    topology: Topology
    costs: Costs | None
    machine: str
    said: str

    def without_costs(self, why: str) -> Default:
        """The same where they cannot be charged."""
        said = f"this host's topology ({self.topology}), without the costs measured: {why}"
        return Default(self.topology, None, "", said)


def default_machine(settings: Settings, cpus: int, sys: Path | None = None) -> Default:
    """This host with that many CPUs; its costs where they were measured, else none. Without a /sys: no machine.

    A file of other CPUs than this host has is none of it. InputError for one that cannot be read.
    """
    path = measured_path(settings)
    try:
        lie = read_host_topology(sys or SYS)
    except InfraError as error:
        return Default(Topology(cpus), None, "", f"none, since {error}; {OTHERS}")
    measured = measured_of(settings)
    if measured is None or measured.topology != lie.topology:
        scaled = at(MachineModel(HOST, lie.topology), cpus)
        of_another = f"{path} is of another ({measured.topology}); " if measured else ""
        costs = f"{of_another}`schedcp machine measure -o {path}` gives it costs"
        said = f"this host's topology, no costs ({scaled.words}); {costs}, {OTHERS}"
        return Default(scaled.model.topology, None, "", said)
    scaled = at(replace(measured, name=HOST), cpus)
    machine = f"{HOST}, {scaled.words}"
    said = f"{machine}: costs of {path}; {OTHERS}, --machine flat for none"
    return Default(scaled.model.topology, scaled.model.costs, machine, said)

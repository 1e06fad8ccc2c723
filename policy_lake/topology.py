# SPDX-License-Identifier: Apache-2.0
"""CPUs: how many, and which of them share a core, a last-level cache, a memory node; of guests and of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from policy_lake.errors import InputError
from policy_lake.limits import CPUS, LLCS, NODES, SMT


@dataclass(frozen=True, slots=True)
class Topology:
    """`cpus` in all, spread evenly: `llcs` last-level caches, `smt` threads a core, `nodes` of whole LLCs."""

    cpus: int = 2
    llcs: int = 1
    smt: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        for limit in (CPUS, LLCS, SMT, NODES):
            limit.check(getattr(self, limit.name))
        if self.cpus % (self.llcs * self.smt):
            raise InputError(f"{self}: the CPUs cannot be spread evenly")
        if self.llcs % self.nodes:
            raise InputError(f"{self}: nodes do not divide the {self.llcs} LLCs, and a node holds whole ones")

    def __str__(self) -> str:
        return _words(self)


@dataclass(frozen=True, slots=True)
class HostCpus:
    """A host's CPUs, which need not be spread evenly: `smt` is the most threads a core, the others as for a guest.

    `unequal`: some are slower than others by design, which no guest has.
    """

    cpus: int
    llcs: int = 1
    smt: int = 1
    nodes: int = 1
    unequal: bool = False

    def __str__(self) -> str:
        return _words(self) + (", of unequal speed" if self.unequal else "")

    def like_it(self) -> Topology | None:
        """The smallest guest that has as many CPUs and all that this host has; None when no guest can be so large."""
        llcs, smt, nodes = (2 if count > 1 else 1 for count in (max(self.llcs, self.nodes), self.smt, self.nodes))
        step = llcs * smt
        cpus = -(-self.cpus // step) * step
        return Topology(cpus, llcs, smt, nodes) if cpus <= CPUS.high else None


def outside(host: HostCpus, tried: Sequence[Topology]) -> str:
    """Why what was tried there says nothing of this host, in one line; empty if one of them had all that it has."""
    most = max((topology.cpus for topology in tried), default=0)
    if host.cpus > most:
        return f"{host.cpus} CPUs are more than the {most} that were tried"
    if host.unequal:
        return "CPUs of unequal speed were not tried"
    if any(topology.cpus >= host.cpus and _features(host) <= _features(topology) for topology in tried):
        return ""
    return f"{host} are another kind of machine than was tried"


def parse_topology(text: str, where: str) -> Topology:
    """`cpus=8,llcs=2,smt=2,nodes=1`, in any order; InputError, which begins with `where`, for anything else."""
    counts: dict[str, int] = {}
    for part in text.split(",", 8):
        name, _, number = part.partition("=")
        if name not in {field.name for field in fields(Topology)} or name in counts or not number.isascii():
            raise InputError(f"{where}: {part[:40]!r} is not one of cpus=N, llcs=N, smt=N, nodes=N, each once")
        if not number.isdigit() or len(number) > 4:
            raise InputError(f"{where}: {name}={number[:40]!r} is no count")
        counts[name] = int(number)
    try:
        return Topology(**counts)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _features(of: Topology | HostCpus) -> set[str]:
    return {name for name in ("llcs", "smt", "nodes") if getattr(of, name) > 1}


def _words(of: Topology | HostCpus) -> str:
    parts = [(of.cpus, "CPU"), (of.llcs, "LLC"), (of.nodes, "node")]
    text = [f"{count} {what}{'s' * (count != 1)}" for count, what in parts if what == "CPU" or count > 1]
    return ", ".join([*text, *([f"{of.smt} threads a core"] if of.smt > 1 else [])])

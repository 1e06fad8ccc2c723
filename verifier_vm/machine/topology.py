# SPDX-License-Identifier: Apache-2.0
"""The CPUs that a guest sees: how many, and which of them share a core, a last-level cache, a NUMA node."""

from __future__ import annotations

from dataclasses import dataclass

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
        parts = [(self.cpus, "CPU"), (self.llcs, "LLC"), (self.nodes, "node")]
        text = [f"{count} {what}{'s' * (count != 1)}" for count, what in parts if what == "CPU" or count > 1]
        return ", ".join([*text, *([f"{self.smt} threads a core"] if self.smt > 1 else [])])

    def arguments(self, memory_mib: int, ram: tuple[str, ...]) -> list[str]:
        """QEMU's options for it; `ram` names one memory backend a node, of `node_mib` MiB each.

        An LLC is a socket: with `dies` QEMU 10 shows the guest one L3 for all of them.
        """
        cores = self.cpus // (self.llcs * self.smt)
        smp = f"{self.cpus},sockets={self.llcs},dies=1,cores={cores},threads={self.smt}"
        numa: list[str] = []
        each = self.cpus // self.nodes
        for node, backend in enumerate(ram):
            numa += ["-numa", f"node,nodeid={node},memdev={backend},cpus={node * each}-{(node + 1) * each - 1}"]
        return ["-smp", smp, "-m", str(memory_mib), *numa]

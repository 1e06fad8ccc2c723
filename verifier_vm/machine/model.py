# SPDX-License-Identifier: Apache-2.0
"""What scheduling costs, handed to the clock: the file that verifier_vm/vclock/machine.h lays out."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from policy_lake.errors import InfraError
from policy_lake.machine_model import WHOLE, Costs
from policy_lake.topology import Topology
from verifier_vm.object.btf import STRUCT, Btf
from verifier_vm.object.elf import read_sections, section_named
from verifier_vm.object.errors import ObjectError

_VERSION = 1
_CPUS, _IDLE_STATES = 64, 16
_LAYOUT = struct.Struct(f"=12Q6I{2 * _IDLE_STATES}Q{_CPUS}I{_CPUS}I{_CPUS}B{_CPUS}B{_CPUS}B")
_KIB, _US_PS, _NS_PS = 1024, 1_000_000, 1000


@dataclass(frozen=True, slots=True)
class TaskLayout:
    """Where in the guest kernel's task_struct two fields lie, in bytes."""

    tgid_at: int
    mm_at: int


@dataclass(frozen=True, slots=True)
class Model:
    """What a guest's CPUs are taken for, by the virtual clock."""

    costs: Costs
    task: TaskLayout


class ModelFile:
    """The memory that the clock reads; `fd` is inherited by QEMU."""

    def __init__(self, model: Model, topology: Topology) -> None:
        self.fd = os.memfd_create("schedcp-machine", 0)
        os.write(self.fd, packed(model, topology))

    def fileno(self) -> int:
        """The file's descriptor, for QEMU to inherit."""
        return self.fd

    def close(self) -> None:
        """Let go of the file; QEMU keeps its own mapping."""
        os.close(self.fd)


def packed(model: Model, topology: Topology) -> bytes:
    """The bytes of `struct machine`: sizes in bytes, times in picoseconds, rates in MB/s, speeds in 1024ths."""
    costs, cpus = model.costs, range(topology.cpus)
    idle = [number for us, ns in costs.idle_exit for number in (us * _US_PS, ns * _NS_PS)]
    in_llc, in_node = topology.cpus // topology.llcs, topology.cpus // topology.nodes
    return _LAYOUT.pack(
        _VERSION,
        costs.switch_ns * _NS_PS,
        costs.l2_kib * _KIB,
        costs.llc_kib * _KIB,
        costs.llc_mbps,
        costs.memory_mbps,
        costs.remote_mbps,
        costs.node_mbps,
        costs.user_kib * _KIB,
        costs.kernel_kib * _KIB,
        model.task.tgid_at,
        model.task.mm_at,
        costs.user_ps,
        costs.kernel_ps,
        costs.smt,
        costs.beyond_llc,
        len(costs.idle_exit),
        len(costs.turbo),
        *_filled(idle, 2 * _IDLE_STATES, 0),
        *_filled(costs.turbo, _CPUS, WHOLE),
        *_filled(costs.capacity, _CPUS, WHOLE),
        *_filled([cpu // topology.smt for cpu in cpus], _CPUS, 0),
        *_filled([cpu // in_llc for cpu in cpus], _CPUS, 0),
        *_filled([cpu // in_node for cpu in cpus], _CPUS, 0),
    )


def _filled(values: Sequence[int], count: int, rest: int) -> list[int]:
    return [*values[:count], *[rest] * (count - len(values))]


def read_task_layout(program: bytes) -> TaskLayout:
    """From the types in a BPF object compiled for the guest's kernel; InfraError where it has no task_struct."""
    try:
        section = section_named(read_sections(program), ".BTF")
        types = Btf(section.data if section else b"")
        members = {member.name: member.bits // 8 for member in types.members(types.find("task_struct", STRUCT))}
        return TaskLayout(members["tgid"], members["mm"])
    except (ObjectError, KeyError) as error:
        raise InfraError(f"the kernel's task_struct is not as the clock needs it: {error}") from error

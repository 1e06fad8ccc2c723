# SPDX-License-Identifier: Apache-2.0
"""What a fleet needs before it begins: room, a machine for its hosts, and what each of them is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.workloads import asking
from policy_lake.errors import InfraError, InputError
from policy_lake.topology import Topology
from tasks.host.guest import Shape, prepare_guest
from tasks.host.programs import check_numbers
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.hosts.given import archive, host_files
from tasks.hosts.image import DISK_MIB
from tasks.hosts.load import load_files
from tasks.hosts.places import CERTIFICATES, fleet_directory
from tasks.hosts.records import FleetOrder, HostFile
from verifier_vm.machine.host_initrd import host_initrd
from verifier_vm.machine.host_line import DISK

Progress = Callable[[str], None]


def giver(order: FleetOrder, settings: Settings) -> Callable[..., bytes]:
    """A function that makes what a host of this fleet is given; the workload is looked up before anything begins."""
    described = asking(find_workload(order.workload, settings), order.work)
    if described.asked:
        check_numbers(described, settings.cache_dir)
    directory = fleet_directory(order.name, settings)

    def given(host: HostFile, more: Mapping[str, tuple[bytes, int]] | None = None) -> bytes:
        load = load_files(described, host.accel, settings.cache_dir)
        own = host_files(host.name, directory / CERTIFICATES, described.metric, settings.cache_dir)
        return archive({**own, **load, **(more or {})})

    return given


def host_machine(order: FleetOrder, settings: Settings, say: Progress) -> HostFile:
    """What a new host of this fleet is started with, its name and port aside. InfraError for no virtual clock."""
    guest = prepare_guest(settings, Shape(Topology(order.cpus), order.clock))
    clock = guest.machine.clock
    if order.clock == "virtual" and clock is None:
        raise InfraError(guest.warning or "there is no virtual clock here: take --clock wall")
    initrd = host_initrd(guest.kernel, settings.cache_dir, say)
    return HostFile(
        "", 0, str(guest.kernel.image), str(initrd), order.cpus, order.memory_mib, guest.machine.accel,
        str(clock) if clock else "",
    )  # fmt: skip


def require_room(order: FleetOrder, directory: Path, hosts: int) -> None:
    """InputError for more memory than is available, InfraError for a disk that may not hold the hosts' disks."""
    free_mib = _available_mib()
    if hosts * order.memory_mib > free_mib:
        raise InputError(f"{hosts} hosts of {order.memory_mib} MiB are more than the {free_mib} MiB that are available")
    there = next(path for path in (directory, *directory.parents) if path.is_dir())
    unmade = sum(not (directory / host / DISK).is_file() for host in order.host_names)
    if (room_mib := shutil.disk_usage(there).free >> 20) < unmade * DISK_MIB:
        raise InfraError(f"{there}: {room_mib} MiB free, and {unmade} hosts have disks of {DISK_MIB} MiB each")


def _available_mib() -> int:
    """What this machine can give without swapping (proc(5): MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    raise InfraError("/proc/meminfo: field 'MemAvailable' is missing")

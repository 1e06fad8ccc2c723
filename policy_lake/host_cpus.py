# SPDX-License-Identifier: Apache-2.0
"""A host's CPUs, as its kernel tells of them in sysfs: a leaf, for the planning side and for the host agent."""

from __future__ import annotations

from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.topology import HostCpus

SYS = Path("/sys")
CPUS = "devices/system/cpu"


def read_host_cpus(sys: Path = SYS) -> HostCpus:
    """All CPUs that are there, off line or not: any of them may come. Where their numbers have gaps, as many as there
    are numbers: policies ask for numbers. InfraError where the kernel does not say.
    """
    try:
        present = numbers_of((sys / CPUS / "present").read_text())
        cores = _groups(sys, "topology/thread_siblings_list")
        online = [int(at.name.removeprefix("cpu")) for at in (sys / CPUS).glob("cpu[0-9]*")]
        caches = {shared for cpu in online if (shared := last_level(sys, cpu))}
        nodes = numbers_of(text_of(sys / "devices/system/node/has_cpu") or "0")
        speeds = _groups(sys, "cpu_capacity")
    except (OSError, ValueError) as error:
        raise InfraError(f"{sys / CPUS}: which CPUs this host has cannot be read: {error}") from error
    smt = max((len(numbers_of(core)) for core in cores), default=1)
    hybrid = bool(text_of(sys / "devices/cpu_atom/cpus")) and bool(text_of(sys / "devices/cpu_core/cpus"))
    return HostCpus(
        max(present, default=-1) + 1, len(caches) or 1, smt, len(nodes) or 1, unequal=hybrid or len(speeds) > 1
    )


def last_level(sys: Path, cpu: int) -> str:
    """Which CPUs share its last-level cache, as sysfs writes it; without one, its package."""
    at = max(data_caches(sys, cpu), default=(0, None))[1]
    shared = text_of(at / "shared_cpu_list") if at else ""
    return shared or text_of(sys / CPUS / f"cpu{cpu}/topology/physical_package_id")


def data_caches(sys: Path, cpu: int) -> list[tuple[int, Path]]:
    """Its caches that hold data: their levels, and where sysfs tells of them."""
    found = []
    for at in sorted((sys / CPUS / f"cpu{cpu}/cache").glob("index*")):
        level = text_of(at / "level")
        if level.isascii() and level.isdigit() and text_of(at / "type") != "Instruction":
            found.append((int(level), at))
    return found


def _groups(sys: Path, name: str) -> set[str]:
    """What the CPUs that are on line say of themselves, each different answer once."""
    return {text for path in (sys / CPUS).glob(f"cpu[0-9]*/{name}") if (text := text_of(path))}


def numbers_of(text: str) -> set[int]:
    """The numbers of a list as the kernel writes it: `0-3,8`."""
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def text_of(path: Path) -> str:
    """What the file says, without the newline; empty where it is not there."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""

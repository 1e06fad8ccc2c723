# SPDX-License-Identifier: Apache-2.0
"""What a fleet's directory says of it: the order that it was made by, and one file for each host.

Both are read as if anybody had written them: a fleet outlives the process that made it, and a disk that was full, or an
editor, may have been at them since.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write, read_outside
from policy_lake.limits import CPUS, FLEET_HOSTS, HOST_MEMORY_MIB
from policy_lake.model import Clock
from policy_lake.printed import take
from verifier_vm.machine.qemu import Accel

FLEET_FILE, HOST_FILE = "fleet.json", "host.json"
FORMAT = 1
MOST_BYTES, LONGEST_WORK = 64 << 10, 4096
CLOCKS: Mapping[str, Clock] = {"wall": "wall", "virtual": "virtual"}
NAME = re.compile(r"[a-z][a-z0-9]{0,23}")  # of a fleet; with -N behind it that of a host, and of a certificate
WRONG_NAME = "a fleet's name has small letters and digits alone, at most 24, and a letter first"


class DamagedError(InfraError):
    """A file of the fleet's that cannot be believed; the message names it."""


@dataclass(frozen=True, slots=True)
class FleetOrder:
    """What `schedcp fleet up` was asked for: so many hosts alike, `memory_mib` each, a workload's id that they run.

    `work`: numbers of the workload to be others than its own, NAME=NUMBER by blanks.
    """

    name: str
    hosts: int
    cpus: int
    memory_mib: int
    workload: str
    clock: Clock
    work: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(f"name '{self.name[:60]}': {WRONG_NAME}")
        FLEET_HOSTS.check(self.hosts)
        CPUS.check(self.cpus)
        HOST_MEMORY_MIB.check(self.memory_mib)
        if len(self.work) > LONGEST_WORK:
            raise InputError(f"work: longer than {LONGEST_WORK} characters")

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts' names, in order: the fleet's and a number from 1 on."""
        return tuple(f"{self.name}-{number}" for number in range(1, self.hosts + 1))

    def __str__(self) -> str:
        plural = "s" if self.hosts > 1 else ""
        return (
            f"{self.hosts} host{plural} of {self.cpus} CPUs and {self.memory_mib} MiB with workload "
            f"{' '.join((self.workload, *self.work.split()))}, {self.clock} clock"
        )


@dataclass(frozen=True, slots=True)
class HostFile:
    """What one host is started with; `used` says whether it was ever up, so that its disk is its own by now."""

    name: str
    port: int
    kernel: str
    initrd: str
    cpus: int
    memory_mib: int
    accel: Accel
    clock: str
    used: bool = False


def clock_of(word: str) -> Clock:
    """The clock of that name; InputError for any other word."""
    if word not in CLOCKS:
        raise InputError(f"clock '{word[:60]}': not one of {', '.join(CLOCKS)}")
    return CLOCKS[word]


def read_order(directory: Path) -> FleetOrder | None:
    """The order in a fleet's directory; None where there is no fleet. DamagedError names the file and the fault."""
    where, record = _read(directory / FLEET_FILE)
    if record is None:
        return None
    try:
        return FleetOrder(
            take(record, "name", str, where=where, error=DamagedError),
            take(record, "hosts", int, where=where, error=DamagedError),
            take(record, "cpus", int, where=where, error=DamagedError),
            take(record, "memory_mib", int, where=where, error=DamagedError),
            take(record, "workload", str, where=where, error=DamagedError),
            clock_of(take(record, "clock", str, where=where, error=DamagedError)),
            take(record, "work", str, where=where, error=DamagedError),
        )
    except InputError as error:
        raise DamagedError(f"{where}: {error}") from error


def read_host(directory: Path) -> HostFile | None:
    """What the host in that directory is started with; None where it was not made. DamagedError as above."""
    where, record = _read(directory / HOST_FILE)
    if record is None:
        return None
    port = take(record, "port", int, where=where, error=DamagedError)
    if not 0 < port < 1 << 16:
        raise DamagedError(f"{where}: field 'port': {port} is no port")
    accel = take(record, "accel", str, where=where, error=DamagedError)
    name = take(record, "name", str, where=where, error=DamagedError)
    if name != directory.name:
        raise DamagedError(f"{where}: field 'name': '{name[:60]}' in the directory of {directory.name}")
    return HostFile(
        name,
        port,
        take(record, "kernel", str, where=where, error=DamagedError),
        take(record, "initrd", str, where=where, error=DamagedError),
        take(record, "cpus", int, where=where, error=DamagedError),
        take(record, "memory_mib", int, where=where, error=DamagedError),
        "kvm" if accel == "kvm" else "tcg",
        take(record, "clock", str, where=where, error=DamagedError),
        take(record, "used", bool, where=where, error=DamagedError),
    )


def write_order(directory: Path, order: FleetOrder) -> None:
    """Put the order into the fleet's directory in one step. InfraError."""
    _write(directory / FLEET_FILE, asdict(order))


def write_host(directory: Path, host: HostFile) -> None:
    """Put what the host is started with into its directory in one step. InfraError."""
    _write(directory / HOST_FILE, asdict(host))


def _write(path: Path, record: Mapping[str, Any]) -> None:
    atomic_write(path, json.dumps({"format": FORMAT, **record}, indent=1).encode(), mode=0o600)


def _read(path: Path) -> tuple[str, dict[str, Any] | None]:
    where = str(path)
    if not path.exists() and not path.is_symlink():
        return where, None
    try:
        record = json.loads(read_outside(path, MOST_BYTES))
    except InputError as error:
        raise DamagedError(str(error)) from error
    except (ValueError, RecursionError):
        raise DamagedError(f"{where}: not JSON") from None
    if not isinstance(record, dict):
        raise DamagedError(f"{where}: not a JSON object")
    if record.get("format") != FORMAT:
        raise DamagedError(f"{where}: field 'format': {record.get('format')!r:.40}, and this schedcp reads {FORMAT}")
    return where, record

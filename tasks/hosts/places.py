# SPDX-License-Identifier: Apache-2.0
"""Where fleets and their hosts lie, found by name; and the lock that keeps two commands off one fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import locked
from tasks.host.settings import Settings
from tasks.hosts.reach import Address
from tasks.hosts.records import NAME, WRONG_NAME, read_host, read_order

FLEETS, CERTIFICATES = "fleet", "tls"
LOCK_S = 2.0


def fleet_directory(name: str, settings: Settings) -> Path:
    """Where the fleet of that name is; InputError for what can be none."""
    if not NAME.fullmatch(name):
        raise InputError(f"name '{name[:60]}': {WRONG_NAME}")
    return settings.data_dir / FLEETS / name


def host_directory(host: str, settings: Settings) -> Path:
    """Where a host of that name (NAME-N) is; InputError where there is none."""
    fleet, _, number = host.rpartition("-")
    if not NAME.fullmatch(fleet) or not (number.isascii() and number.isdigit()):
        raise InputError(f"host '{host[:60]}': a host's name is that of its fleet and a number, such as fleet-1")
    order = read_order(fleet_directory(fleet, settings))
    known = order.host_names if order else ()
    if host not in known:
        raise InputError(f"host '{host}': there is none; there are {', '.join(known) or f'no hosts of fleet {fleet}'}")
    return fleet_directory(fleet, settings) / host


def address_of(host: str, settings: Settings) -> Address:
    """How a host's agent is reached. InputError where there is no such host, DamagedError for a damaged file."""
    directory = host_directory(host, settings)
    known = read_host(directory)
    if known is None:
        raise InputError(f"host '{host}': it was never made: run `schedcp fleet up` again")
    return Address(host, known.port, directory.parent / CERTIFICATES)


def host_places(directory: Path) -> list[Path]:
    """The directories in a fleet's that are of hosts, made or half made."""
    return sorted(place for place in directory.glob(f"{directory.name}-*") if place.is_dir())


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other commands off the fleet meanwhile; InfraError where one is at it."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(directory.with_name(f".{directory.name}.lock"), timeout_s=LOCK_S))
        except InfraError:
            raise InfraError(f"fleet {directory.name}: another command is at work on it") from None
        yield

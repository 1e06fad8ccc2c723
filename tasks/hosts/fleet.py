# SPDX-License-Identifier: Apache-2.0
"""A fleet of hosts: brought up, told of, restarted, taken down. Its state is its directory, DATA_DIR/fleet/NAME.

Whatever a killed command leaves there, `status` tells and `down` ends: the order is written before the first host, a
host's file after its disk, and a QEMU names itself before it begins.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from tasks.host.settings import Settings
from tasks.hosts import process
from tasks.hosts.certificates import make_certificates
from tasks.hosts.given import trust_files
from tasks.hosts.host import free_port, make_host, power_off, ready_after_s, start_host
from tasks.hosts.image import host_image
from tasks.hosts.means import giver, host_machine, require_room
from tasks.hosts.places import CERTIFICATES, FLEETS, alone, fleet_directory, host_directory, host_places
from tasks.hosts.records import FleetOrder, HostFile, read_host, read_order, write_host, write_order
from tasks.hosts.status import HostStatus, host_status

BOOT_S, LOOK_S = 300.0, 0.25
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """A fleet as it is now: its order, its hosts in order, and how long `up` took in s (0 where it was not called)."""

    order: FleetOrder
    hosts: tuple[HostStatus, ...]
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether every host is up and its agent answers."""
        return all(host.state == "up" for host in self.hosts)


def up(order: FleetOrder, settings: Settings, say: Progress, *, trust: Path | None = None) -> FleetStatus:
    """Bring the fleet up: make what is not made, start what does not run, wait until every agent answers.

    `trust` is a directory of files that each host gets in /etc/schedcp/trust with its first start. InputError for an
    order that is not the fleet's own, InfraError for what cannot be had. However it ends before its end: what this call
    made or started is gone again.
    """
    began = time.monotonic()
    directory = fleet_directory(order.name, settings)
    first = trust_files(trust) if trust else {}
    with alone(directory):
        known = read_order(directory)
        if known not in (None, order):
            raise InputError(f"fleet {order.name}: it is {known}: `schedcp fleet down` ends it, --name makes another")
        started: list[Path] = []
        try:
            _bring_up(order, directory, settings, say, first, started)
        except BaseException:
            if started:
                say(f"fleet {order.name}: ending what was started")
            _undo(directory if known is None else None, started)
            raise
        return replace(status(order.name, settings), seconds=time.monotonic() - began)


def status(name: str, settings: Settings) -> FleetStatus:
    """The fleet as it is now, each host looked at and asked. InputError where there is no fleet of that name."""
    directory = fleet_directory(name, settings)
    order = read_order(directory)
    if order is None:
        raise InputError(f"fleet {name}: there is none: `schedcp fleet up --name {name}` makes one")
    with ThreadPoolExecutor(max_workers=len(order.host_names)) as pool:
        hosts = pool.map(lambda host: host_status(directory / host, directory / CERTIFICATES), order.host_names)
        return FleetStatus(order, tuple(hosts))


def down(name: str, settings: Settings, *, keep: bool = False) -> int:
    """End the fleet and remove it, or with `keep` only power its hosts off; how many ran. InputError for no fleet.

    It reads none of the fleet's files, so that damaged ones do not keep it up.
    """
    directory = fleet_directory(name, settings)
    if not directory.is_dir():
        raise InputError(f"fleet {name}: there is none")
    with alone(directory):
        running = [(place, found) for place in host_places(directory) if (found := process.find(place))]
        with ThreadPoolExecutor(max_workers=max(1, len(running))) as pool:
            ends = [pool.submit(power_off, *one) if keep else pool.submit(process.end, one[1]) for one in running]
        for ended in ends:
            ended.result()
        if not keep:
            _remove(directory)
    return len(running)


def restart(host: str, settings: Settings, say: Progress) -> HostStatus:
    """Power a host off, start it again with its disk, and wait until its agent answers. InputError, InfraError."""
    directory = host_directory(host, settings)
    with alone(directory.parent):
        order, known = read_order(directory.parent), read_host(directory)
        if known is None or order is None:
            raise InputError(f"host '{host}': it was never made: run `schedcp fleet up` again")
        given = giver(order, settings)(known)
        fresh = host_machine(order, settings, say)
        if running := process.find(directory):
            say(f"{host}: powering off")
            power_off(directory, running)
        say(f"{host}: booting")
        start_host(directory, _as_fresh(directory, known, fresh), given)
        _await([directory], say)
    return host_status(directory, directory.parent / CERTIFICATES)


def _bring_up(
    order: FleetOrder, directory: Path, settings: Settings, say: Progress, first: Mapping[str, tuple[bytes, int]],
    started: list[Path],
) -> None:  # fmt: skip
    to_start = [host for host in order.host_names if process.find(directory / host) is None]
    require_room(order, directory, len(to_start))
    given = giver(order, settings)
    fresh = host_machine(order, settings, say)
    base = host_image(settings.cache_dir, say)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_order(directory, order)
    if not (directory / CERTIFICATES).is_dir():
        make_certificates(directory / CERTIFICATES, order.host_names)
    for name in to_start:
        place = directory / name
        host = read_host(place)
        if host is None:
            say(f"{name}: making its disk")
            host = replace(fresh, name=name, port=free_port())
            make_host(place, base, host)
        host = _as_fresh(place, host, fresh)
        started.append(place)  # before it is: an interrupt may come while QEMU starts
        start_host(place, host, given(host, {} if host.used else first))
    _await([directory / host for host in order.host_names], say)


def _as_fresh(place: Path, host: HostFile, fresh: HostFile) -> HostFile:
    """The host on the machine that one made now would have: what it had in the cache may have been cleaned away."""
    wanted = replace(fresh, name=host.name, port=host.port, used=host.used)
    if wanted != host:
        write_host(place, wanted)
    return wanted


def _await(places: list[Path], say: Progress) -> None:
    """Wait until the agent of each host answers; InfraError for one that ended, or does not in time."""
    limit = time.monotonic() + BOOT_S
    while True:
        waiting = [place for place in places if not _is_up(place)]
        if not waiting:
            return
        for place in waiting:
            if process.find(place) is None:
                raise InfraError(f"host {place.name}: QEMU ended: {process.last_words(place)}")
        if time.monotonic() > limit:
            late = host_status(waiting[0], waiting[0].parent / CERTIFICATES)
            raise InfraError(f"host {late.host}: not up after {BOOT_S:.0f} s ({late.state}; {late.message})")
        say(f"booting: {len(places) - len(waiting)} of {len(places)} up, {waiting[0].name} is next")
        time.sleep(LOOK_S)


def _is_up(place: Path) -> bool:
    if ready_after_s(place) is None or host_status(place, place.parent / CERTIFICATES).state != "up":
        return False
    host = read_host(place)
    if host and not host.used:
        write_host(place, replace(host, used=True))
    return True


def running_fleets(settings: Settings) -> dict[Path, str]:
    """The directories of fleets of which a host runs, each with why it must stay."""
    found = {}
    for directory in sorted((settings.data_dir / FLEETS).glob("*/")):
        pids = [str(one.pid) for place in host_places(directory) if (one := process.find(place))]
        if pids:
            why = f"its hosts run (process {', '.join(pids)}): `schedcp fleet down --name {directory.name}` ends them"
            found[directory] = why
    return found


def _undo(made: Path | None, started: list[Path]) -> None:
    """End what was started and remove the fleet if this call made it; a second fault does not hide the first."""
    for place in started:
        with suppress(InfraError):
            if running := process.find(place):
                process.end(running)
    if made is not None:
        with suppress(InfraError):
            _remove(made)


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InfraError(f"{error.filename}: cannot be removed: {error.strerror}") from error

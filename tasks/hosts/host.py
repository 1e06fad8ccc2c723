# SPDX-License-Identifier: Apache-2.0
"""One host: its directory made, QEMU started in it, what it says of itself, its power taken."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write, read_outside
from policy_lake.secrets import child_environment
from tasks.hosts import process
from tasks.hosts.process import Running
from tasks.hosts.records import HostFile, write_host
from verifier_vm.machine.clock import Stats, plugin_option
from verifier_vm.machine.host_line import (
    CONSOLE,
    CONTROL,
    DISK,
    GIVEN,
    LOOPBACK,
    READY,
    HostMachine,
    host_command_line,
)
from verifier_vm.machine.qmp import Qmp

COPY_S, POWER_OFF_S, CONTROL_S = 300.0, 20.0, 5.0
_UPTIME = re.compile(rb"([0-9]{1,9}\.[0-9]{2})\s*")
_LEFT_BY_THE_LAST = (READY, CONSOLE, CONTROL)


def make_host(directory: Path, base: Path, host: HostFile) -> None:
    """Make the host's directory with a disk of its own; its file comes last, so that without one it is not made.

    InfraError, in the copying program's words, where there is no room.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = directory / f".{DISK}.part"
    command = ["cp", "--sparse=always", "--reflink=auto", str(base), str(part)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COPY_S, check=False, env=child_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"host {host.name}: its disk cannot be made: {error}") from error
    if done.returncode:
        raise InfraError(f"host {host.name}: its disk cannot be made: {done.stderr.strip().splitlines()[-1][:300]}")
    part.rename(directory / DISK)
    write_host(directory, host)


def start_host(directory: Path, host: HostFile, given: bytes) -> HostFile:
    """Start its QEMU with the archive that it is given; the host as it was started, by another port if that is taken.

    InfraError in QEMU's words.
    """
    if not (directory / DISK).is_file():
        raise InfraError(f"host {host.name}: it has no disk any more: run `schedcp fleet down`")
    atomic_write(directory / GIVEN, given, mode=0o600)
    for name in _LEFT_BY_THE_LAST:
        (directory / name).unlink(missing_ok=True)
    if not is_free(host.port):
        host = replace(host, port=free_port())
        write_host(directory, host)
    machine = HostMachine(
        Path(host.kernel), Path(host.initrd), host.cpus, host.memory_mib, host.port, host.accel,
        Path(host.clock) if host.clock else None,
    )  # fmt: skip
    with contextlib.ExitStack() as held:
        if machine.clock is None:
            process.start(directory, host_command_line(machine))
            return host
        stats = Stats()
        held.callback(stats.close)
        library = held.enter_context(machine.clock.open("rb"))
        command = host_command_line(
            machine, plugin=plugin_option(machine.clock, stats), clock_fd=library.fileno()
        )  # fmt: skip
        process.start(directory, command, pass_fds=(stats.fd, library.fileno()))
    return host


def ready_after_s(directory: Path) -> float | None:
    """How long the host had been up when it said that it was, in s of its own time; None where it has not said so."""
    try:
        said = read_outside(directory / READY, 64)
    except InputError:
        return None
    found = _UPTIME.fullmatch(said)
    return float(found[1]) if found else None


def power_off(directory: Path, running: Running) -> None:
    """Have the host end by itself, so that its disk is as it wants it; at the limit, or unheard, its power is taken."""
    keys = [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]
    with contextlib.suppress(InfraError), control(directory) as qmp:
        qmp.command("send-key", keys=keys)
        if process.await_end(running, POWER_OFF_S):
            return
    process.end(running)


def set_network(directory: Path, *, up: bool) -> None:
    """Cut the host's network, or mend it, as one would pull a cable. InfraError."""
    with control(directory) as qmp:
        qmp.command("set_link", name="net", up=up)


@contextmanager
def control(directory: Path) -> Iterator[Qmp]:
    """QEMU's control socket of the host in that directory. InfraError where nobody answers there."""
    with connected(directory, CONTROL) as ours, Qmp(ours, CONTROL_S) as qmp:
        yield qmp


@contextmanager
def connected(directory: Path, name: str) -> Iterator[socket.socket]:
    """A connection to one of the host's sockets, whose path may be longer than a socket's may. InfraError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as ours:
        ours.settimeout(CONTROL_S)
        try:
            place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                ours.connect(f"/proc/self/fd/{place}/{name}")
            finally:
                os.close(place)
        except OSError as error:
            raise InfraError(f"host {directory.name}: {name}: {error.strerror}") from error
        yield ours


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether QEMU may have it."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return False
    return True

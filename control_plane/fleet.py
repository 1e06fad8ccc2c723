# SPDX-License-Identifier: Apache-2.0
"""`schedcp fleet`: hosts of our own, as micro-VMs on this machine."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from pathlib import Path

from control_plane.fleet_outputs import FleetDownOutput, FleetHostOutput, FleetOutput
from control_plane.output import escape, out, print_json, working
from policy_lake.errors import InfraError, InputError
from policy_lake.files import write_all
from tasks.host.in_use import claim
from tasks.host.settings import Settings
from tasks.hosts import fleet
from tasks.hosts.host import connected
from tasks.hosts.places import host_directory
from tasks.hosts.records import FleetOrder
from tasks.hosts.status import HostStatus
from verifier_vm.machine.host_line import CONSOLE, CONSOLE_LOG

LEAVE = b"\x1d"  # Ctrl-], as telnet has it
SHOWN_BYTES = 64 << 10


def up_command(order: FleetOrder, settings: Settings, *, trust: Path | None, as_json: bool) -> None:
    """Bring the fleet up, with its progress on stderr."""
    for directory in (settings.cache_dir, settings.data_dir):
        claim(directory)
    with working(f"fleet {order.name}") as say:
        brought_up = fleet.up(order, settings, say, trust=trust)
    _show(brought_up, "fleet up", as_json=as_json)


def status_command(name: str, settings: Settings, *, as_json: bool) -> int:
    """Show the fleet; the exit status is 0 where every host is up."""
    found = fleet.status(name, settings)
    _show(found, "fleet status", as_json=as_json)
    return 0 if found.whole else InfraError.exit_status


def down_command(name: str, settings: Settings, *, keep: bool, as_json: bool) -> None:
    """End the fleet."""
    with working(f"ending fleet {name}"):
        ended = fleet.down(name, settings, keep=keep)
    if as_json:
        print_json("fleet down", FleetDownOutput(name, ended, keep))
        return
    out().print(f"fleet {name}: {ended} hosts ended, {'their disks kept' if keep else 'nothing kept'}")


def restart_command(host: str, settings: Settings, *, as_json: bool) -> None:
    """Restart one host, with its disk as it was."""
    with working(host) as say:
        found = fleet.restart(host, settings, say)
    if as_json:
        print_json("fleet restart", FleetHostOutput(found))
        return
    out().print(_line(found), soft_wrap=True)


def console_command(host: str, settings: Settings) -> None:
    """Be at the host's console until Ctrl-] or its end; where stdin is no terminal, print what it printed last."""
    directory = host_directory(host, settings)
    if not sys.stdin.isatty():
        out().print(_printed(directory / CONSOLE_LOG), markup=False, highlight=False, soft_wrap=True, end="")
        return
    with connected(directory, CONSOLE) as ours:
        sys.stderr.write(f"console of {host}: a root shell; Ctrl-] leaves it\r\n")
        before = termios.tcgetattr(0)
        try:
            tty.setraw(0)
            ours.sendall(b"\n")
            _relay(ours.fileno())
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            sys.stderr.write("\n")


def _relay(console: int) -> None:
    while True:
        readable = select.select([0, console], [], [])[0]
        if console in readable:
            data = os.read(console, 1 << 16)
            if not data:
                return
            write_all(1, data)
        if 0 in readable:
            typed = os.read(0, 1 << 12)
            if not typed or LEAVE in typed:
                return
            write_all(console, typed)


def _printed(log: Path) -> str:
    """The end of what a host's console printed, a line a line, and no instruction to this terminal."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - SHOWN_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise InputError(f"{log}: {error.strerror}") from None
    return "".join(f"{escape(line)}\n" for line in lines)


def _show(found: fleet.FleetStatus, command: str, *, as_json: bool) -> None:
    if as_json:
        print_json(command, FleetOutput(found.order, found.hosts, found.whole, found.seconds))
        return
    took = f"; up in {found.seconds:.1f} s" if found.seconds else ""
    out().print(f"fleet {escape(found.order.name)}: {escape(str(found.order))}{took}", soft_wrap=True)
    for host in found.hosts:
        out().print(_line(host), soft_wrap=True)


def _line(host: HostStatus) -> str:
    """One host in a line of markup."""
    parts = [f"127.0.0.1:{host.port}" if host.port else "no port"]
    parts += [f"process {host.pid}, {host.memory_mib} MiB"] if host.pid else []
    parts += [f"booted in {host.boot_s:.1f} s"] if host.boot_s else []
    parts += [f"agent: {host.agent}"] if host.agent else []
    parts += [host.message] if host.message else []
    colour = {"up": "green", "booting": "yellow"}.get(host.state, "red")
    return f"[bold]{escape(host.host)}[/]: [{colour}]{host.state}[/]; {escape('; '.join(parts))}"

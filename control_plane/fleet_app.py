# SPDX-License-Identifier: Apache-2.0
"""`schedcp fleet`: the sub-commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, Work, chosen, number
from policy_lake.limits import CPUS, FLEET_HOSTS, HOST_MEMORY_MIB

fleet_app = typer.Typer(
    help="Keep hosts of our own: micro-VMs with systemd, the agent and a load.", no_args_is_help=True
)
Name = Annotated[str, typer.Option("--name", help="The fleet's: small letters and digits.")]
Host = Annotated[str, typer.Argument(help="A host by its name, such as fleet-1.")]


@fleet_app.command("up")
def fleet_up(
    hosts: Annotated[int, number(FLEET_HOSTS, "--hosts", help="How many.")] = FLEET_HOSTS.preset,
    name: Name = "fleet",
    cpus: Annotated[int, number(CPUS, "--cpus", help="CPUs of each.")] = 2,
    memory: Annotated[
        int, number(HOST_MEMORY_MIB, "--memory", help="Memory of each, in MiB.")
    ] = HOST_MEMORY_MIB.preset,
    workload: Annotated[str, typer.Option("--workload", "-w", help="What each runs, again and again.")] = "mixed",
    work: Work = None,
    clock: Annotated[
        str, typer.Option("--clock", metavar="wall|virtual", help="Whose time passes in them (docs/fleet.md).")
    ] = "wall",
    trust: Annotated[
        Path | None, typer.Option("--trust", help="A directory whose files each gets in /etc/schedcp/trust at first.")
    ] = None,
    json: Json = False,
) -> None:
    """Bring a fleet up, or what of it is down, and wait until every agent answers; it stays until `fleet down`."""
    from control_plane.fleet import up_command
    from tasks.host.workloads import is_path
    from tasks.hosts.records import FleetOrder, clock_of

    # A path is of this directory; a restart may come from another.
    named = str(Path(workload).absolute()) if is_path(workload) else workload
    order = FleetOrder(name, hosts, cpus, memory, named, clock_of(clock), " ".join(work or ()))
    up_command(order, chosen(), trust=trust, as_json=json)


@fleet_app.command("status")
def fleet_status(name: Name = "fleet", json: Json = False) -> None:
    """Say of each host whether it is up and what its agent does; exit status 4 unless all are up."""
    from control_plane.fleet import status_command

    raise typer.Exit(status_command(name, chosen(), as_json=json))


@fleet_app.command("down")
def fleet_down(
    name: Name = "fleet",
    keep: Annotated[
        bool, typer.Option("--keep", help="Power them off and keep their disks for the next `up`.")
    ] = False,
    json: Json = False,
) -> None:
    """End every host of a fleet and remove it, whatever state it is in."""
    from control_plane.fleet import down_command

    down_command(name, chosen(), keep=keep, as_json=json)


@fleet_app.command("restart")
def fleet_restart(host: Host, json: Json = False) -> None:
    """Power a host off and on again; what its disk holds stays, and the agent is that of this checkout."""
    from control_plane.fleet import restart_command

    restart_command(host, chosen(), as_json=json)


@fleet_app.command("console")
def fleet_console(host: Host) -> None:
    """Be at a host's console, a root shell, until Ctrl-]; in a pipe: print what it printed last."""
    from control_plane.fleet import console_command

    console_command(host, chosen())

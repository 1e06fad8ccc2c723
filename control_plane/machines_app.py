# SPDX-License-Identifier: Apache-2.0
"""`schedcp machines` and `schedcp machine`: the sub-commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, number
from policy_lake.errors import InputError
from policy_lake.limits import CPUS

machines_app = typer.Typer(help="List the machines that a guest can be like, or show one.")
machine_app = typer.Typer(help="Measure what scheduling costs on this host.", no_args_is_help=True)


@machines_app.callback(invoke_without_command=True)
def machines(context: typer.Context, json: Json = False) -> None:
    """List the machines: how many CPUs each has, how they lie, what each stands for."""
    if context.invoked_subcommand is None:
        from control_plane.machines import list_command

        raise typer.Exit(list_command(as_json=json))


@machines_app.command("show")
def machines_show(
    machine: Annotated[str, typer.Argument(help="Name of a machine, `host` for this one, or the path of a .toml.")],
    cpus: Annotated[int | None, number(CPUS, "--cpus", help="As a guest with so many CPUs has it.")] = None,
    json: Json = False,
) -> None:
    """Show a machine with the source of each number; with --cpus as a guest of that size has it."""
    from control_plane.machines import show_command

    show_command(machine, cpus, as_json=json)


ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@machines_app.command("measure", hidden=True, context_settings=ANYTHING)
def machines_measure() -> None:
    """What `machine measure` is taken for."""
    raise InputError("machines: there is no 'measure': is `schedcp machine measure -o FILE` meant?")


@machine_app.command("show", hidden=True, context_settings=ANYTHING)
def machine_show() -> None:
    """What `machines show` is taken for."""
    raise InputError("machine: there is no 'show': is `schedcp machines show NAME` meant?")


@machine_app.command("measure")
def machine_measure(
    output: Annotated[Path, typer.Option("--output", "-o", help="The descriptor to write, .toml.")],
    force: Annotated[
        bool, typer.Option("--force", help="Write it even if it is not to be trusted, and say so in it.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write it in place of a file that is there.")] = False,
    short: Annotated[
        bool, typer.Option("--short", help="Fewer repetitions, some 15 s: a look, with wide intervals.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure this host in under 2 minutes, in which nothing else should run on it."""
    from control_plane.machine_measure import measure_command

    raise typer.Exit(measure_command(output, force=force, replace=replace, short=short, as_json=json))

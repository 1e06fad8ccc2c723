# SPDX-License-Identifier: Apache-2.0
"""`schedcp workloads`: the sub-commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.descriptor import Kind
from control_plane.options import Json

workloads_app = typer.Typer(help="List the workloads, show one, or add one of your own.")


@workloads_app.callback(invoke_without_command=True)
def workloads(context: typer.Context, json: Json = False) -> None:
    """List the workloads: what each is measured by, its goal, its sizes, its guard rails."""
    if context.invoked_subcommand is None:
        from control_plane.workloads import list_command

        raise typer.Exit(list_command(as_json=json))


@workloads_app.command("show")
def workloads_show(
    workload: Annotated[str, typer.Argument(help="Id of a workload, or the path of its .toml.")],
    json: Json = False,
) -> None:
    """Show all that is known of one workload."""
    from control_plane.workloads import show_command

    show_command(workload, as_json=json)


@workloads_app.command("add")
def workloads_add(
    file: Annotated[Path, typer.Argument(help="A workload's .toml, or a trace that `schedcp record` wrote, .parquet.")],
    footprint: Annotated[
        list[str] | None,
        typer.Option(
            "--footprint",
            metavar="NAME=KIB",
            help="Of a trace, repeatable: what a process of that command works on, on a --machine with caches.",
        ),
    ] = None,
    kind: Annotated[
        Kind | None,
        typer.Option(help="Of a trace: what its owner waits for; else the trace tells. It sets metric and guards."),
    ] = None,
    json: Json = False,
) -> None:
    """Add a workload of your own: from then on its id stands for it."""
    from control_plane.workloads import add_command

    add_command(file, footprint or [], kind=kind, as_json=json)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp nights`: what the nights came to, why a digit changed, and who is told."""

from __future__ import annotations

from typing import Annotated

import typer

from control_plane.options import Json

nights_app = typer.Typer(help="Compare nightly runs, find what changed a digit, and have somebody told.")


@nights_app.callback(invoke_without_command=True)
def nights(context: typer.Context, json: Json = False) -> None:
    """Compare the last night of each workload with the one before: what won, what changed; regressions first."""
    if context.invoked_subcommand is None:
        from control_plane.nights import nights_command

        nights_command(as_json=json)


@nights_app.command("show")
def nights_show(
    workload: Annotated[str, typer.Argument(help="Id of a workload that nights are of.")], json: Json = False
) -> None:
    """Show all nights of a workload, the latest first, each with what changed since the one before."""
    from control_plane.nights import show_command

    show_command(workload, as_json=json)


@nights_app.command("bisect")
def nights_bisect(
    workload: Annotated[str, typer.Argument(help="Id of a workload that nights are of.")], json: Json = False
) -> None:
    """Find which recorded input changed a digit between two nights; digits that changed with none are an alarm (5)."""
    from control_plane.nights import bisect_command

    bisect_command(workload, as_json=json)


@nights_app.command("notify")
def nights_notify(
    webhook: Annotated[str, typer.Option("--webhook", metavar="URL", help="Where JSON of subject and text is posted.")],
    json: Json = False,
) -> None:
    """Have the Prefect server at PREFECT_API_URL tell of wins, regressions, failures, reverts and 36 h of silence."""
    from control_plane.nights import notify_command

    notify_command(webhook, as_json=json)

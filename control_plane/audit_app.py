# SPDX-License-Identifier: Apache-2.0
"""`schedcp audit`: hosts' audit logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, chosen

audit_app = typer.Typer(help="What hosts wrote down of every attach, detach and refusal.", no_args_is_help=True)


@audit_app.callback()
def audit() -> None:
    """What keeps `audit` a word of its own though there is one command below it."""


@audit_app.command("verify")
def audit_verify(
    path: Annotated[
        Path | None,
        typer.Argument(help="A log, audit.jsonl, or a host's directory with all of it.  [default: the lake's copies]"),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Ask this host's agent, or, with a path, compare that with the lake's copies.")
    ] = "",
    head: Annotated[str, typer.Option("--head", metavar="N:SHA256", help="An entry that was seen before.")] = "",
    log: Annotated[
        str, typer.Option("--log", metavar="ID", help="The log that the host has now, where it was made anew.")
    ] = "",
    json: Json = False,
) -> None:
    """Say whether a host's audit log holds; exit status 3 and the line that breaks if not."""
    from control_plane.audit import verify_command

    raise typer.Exit(verify_command(path, host, head, chosen(), as_json=json, log=log))

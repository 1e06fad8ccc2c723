# SPDX-License-Identifier: Apache-2.0
"""`schedcp host`: this host, told to a verifier elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json

host_app = typer.Typer(help="A host as a verifier elsewhere has to know it.", no_args_is_help=True)


@host_app.callback()
def host() -> None:
    """What keeps `host` a word of its own though there is one command below it."""


@host_app.command("describe")
def host_describe(
    host: Annotated[
        str, typer.Argument(help="One whose agent is asked (fleet-1, NAME@ADDRESS:PORT).  [default: this host]")
    ] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The host file to write.")] = None,
    json: Json = False,
) -> None:
    """Write kernel release, digests of its image and types, CPUs and what its sched_ext can do, for `verify --for`."""
    from control_plane.host import describe_command

    describe_command(host, output, as_json=json)

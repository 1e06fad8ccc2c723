# SPDX-License-Identifier: Apache-2.0
"""`schedcp mcp` as it is typed."""

from __future__ import annotations

from typing import Annotated

import typer

from control_plane.options import chosen


def mcp(
    http: Annotated[
        str,
        typer.Option(
            "--http", metavar="ADDRESS:PORT", help="Over HTTP on loopback, such as 127.0.0.1:7375; port 0: any."
        ),
    ] = "",
    allow_run: Annotated[
        bool, typer.Option("--allow-run", help="Also the tools that start guests: observe, verify, score, tune.")
    ] = False,
) -> None:
    """Serve tools to an agent by the Model Context Protocol, on stdin and stdout. None of them signs or attaches."""
    from control_plane.mcp.serve import serve

    serve(chosen(), http=http, allow_run=allow_run)

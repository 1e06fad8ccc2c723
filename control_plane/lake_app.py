# SPDX-License-Identifier: Apache-2.0
"""`schedcp lake`: the sub-commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, number
from policy_lake.limits import FOUND

lake_app = typer.Typer(
    help="What earlier runs found: policies, profiles, scores, rejections, lessons.", no_args_is_help=True
)


@lake_app.command("search")
def lake_search(
    text: Annotated[str, typer.Argument(help="What the workload is like, in your words.")],
    limit: Annotated[int, number(FOUND, help="At most so many.")] = FOUND.preset,
    json: Json = False,
) -> None:
    """Find policies by meaning and by words."""
    from control_plane.lake import search_command

    search_command(text, limit=limit, as_json=json)


@lake_app.command("show")
def lake_show(
    id: Annotated[str, typer.Argument(help="Id of anything in the lake: policy, candidate, score, run, …")],
    json: Json = False,
) -> None:
    """Show all that the lake holds under one id."""
    from control_plane.lake import show_command

    show_command(id, as_json=json)


@lake_app.command("rebuild")
def lake_rebuild(json: Json = False) -> None:
    """Make the lake's tables anew from its journal, which holds everything that was acknowledged."""
    from control_plane.lake import rebuild_command

    rebuild_command(as_json=json)


@lake_app.command("export")
def lake_export(
    file: Annotated[Path, typer.Argument(help="The Parquet file to write, for `lake import` elsewhere.")],
    json: Json = False,
) -> None:
    """Write all that the lake holds into one file."""
    from control_plane.lake_exchange import export_command

    export_command(file, as_json=json)


@lake_app.command("import")
def lake_import(
    file: Annotated[Path, typer.Argument(help="A file that `lake export` wrote.")], json: Json = False
) -> None:
    """Take what is new from an exported file; what is here stays, and other digits of one run are an alarm (5)."""
    from control_plane.lake_exchange import import_command

    import_command(file, as_json=json)


@lake_app.command("merge")
def lake_merge(
    lake: Annotated[Path, typer.Argument(help="The directory of another lake, which is only read.")],
    json: Json = False,
) -> None:
    """Take what is new from another lake's directory, as `lake import` does from a file."""
    from control_plane.lake_exchange import merge_command

    merge_command(lake, as_json=json)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp campaign` as it is typed: the words and options that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json


def campaign(
    file: Annotated[Path, typer.Argument(help="The campaign's .toml: workloads, policies or planners, machines, …")],
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it needs and takes; nothing is started.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Directory for a picture: every contender in every place.")] = None,
    json: Json = False,
) -> None:
    """Measure a matrix of workloads, policies, machines and seeds on every node of the cluster; known runs count."""
    from control_plane.campaign import campaign_command

    campaign_command(file, plots, only_plan=plan, as_json=json)

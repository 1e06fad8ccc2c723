# SPDX-License-Identifier: Apache-2.0
"""`schedcp report` as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, number
from policy_lake.limits import REPORT_RUNS


def report(
    html: Annotated[Path, typer.Option("--html", metavar="DIR", help="Where to: none, an empty one, an earlier one.")],
    runs: Annotated[
        int, number(REPORT_RUNS, "--runs", help="Pages of the latest so many runs; the list has all.")
    ] = REPORT_RUNS.preset,
    json: Json = False,
) -> None:
    """Write runs, nights, policies, workloads, rollouts and hosts of the lake as pages that need no network."""
    from control_plane.report import report_command

    report_command(html, runs, as_json=json)

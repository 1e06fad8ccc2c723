# SPDX-License-Identifier: Apache-2.0
"""`schedcp bench-suite` as it is typed: the words and options that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Json, chosen, number
from policy_lake.limits import MAX_RUNS


def bench_suite(
    cases: Annotated[str, typer.Option(metavar="ID,…", help="Cases of the suite.  [default: all that are open]")] = "",
    policies: Annotated[
        str, typer.Option(metavar="ID,…", help="Policies as they are.  [default: all, unless planners are named]")
    ] = "",
    planners: Annotated[str, typer.Option(metavar="NAME,…", help="Planners, each with --max-runs in each case.")] = "",
    max_runs: Annotated[int, number(MAX_RUNS, help="Runs of candidates that a planner has in a case.")] = 60,
    held: Annotated[
        bool, typer.Option("--held", help="The cases that are kept for the end: once per release of schedcp.")
    ] = False,
    freeze: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write EEVDF's digits as measured here, for a new version.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Directory for a picture: every contender in every case.")] = None,
    json: Json = False,
) -> None:
    """Run the public benchmark: the same digits for anybody, a score per policy and planner with its interval."""
    from control_plane.bench_suite import bench_suite_command
    from tasks.bench_suite import SuiteRequest

    def names(words: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in words.split(",") if word.strip())

    request = SuiteRequest(1, names(cases), names(policies), names(planners), max_runs, held)
    raise typer.Exit(bench_suite_command(request, chosen(clock="virtual"), freeze, plots, as_json=json))

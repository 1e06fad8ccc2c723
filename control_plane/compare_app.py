# SPDX-License-Identifier: Apache-2.0
"""`schedcp compare` as it is typed: the words and options that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import Cpus, Json, Llcs, Machine, Nodes, Smt, Tier, Work, chosen, number
from policy_lake.limits import MAX_RUNS, PAIRS, PER_ITERATION, SEED


def compare(
    workload: Annotated[str, typer.Argument(help="Id of a workload, or the path of its .toml.")],
    planners: Annotated[
        str, typer.Option(metavar="NAME,…", help="Which planners, in which order.  [default: all there are]")
    ] = "",
    max_runs: Annotated[int, number(MAX_RUNS, help="Runs of candidates that each planner has.")] = 60,
    per_iteration: Annotated[int, number(PER_ITERATION, help="Candidates a round.")] = PER_ITERATION.preset,
    pairs: Annotated[int, number(PAIRS, help="Runs a candidate, each with EEVDF's of its seed.")] = PAIRS.preset,
    seed: Annotated[int, number(SEED, help="Seed of the workload's data and of the planners' chance.")] = SEED.preset,
    plots: Annotated[Path | None, typer.Option(help="Directory for a picture: best so far over runs.")] = None,
    tier: Tier = None,
    work: Work = None,
    cpus: Cpus = None,
    llcs: Llcs = None,
    smt: Smt = None,
    nodes: Nodes = None,
    machine: Machine = None,
    json: Json = False,
) -> None:
    """Let planners tune a workload side by side, each with the same number of runs: what is the embedded one worth?"""
    from control_plane.compare import compare_command
    from tasks.compare import CompareRequest
    from tasks.planners.makers import MAKERS

    settings = chosen(
        tier=tier, work=work, clock="virtual", cpus=cpus, llcs=llcs, smt=smt, nodes=nodes, machine=machine
    )
    names = tuple(name.strip() for name in planners.split(",")) if planners else tuple(MAKERS)
    request = CompareRequest(workload, names, max_runs, per_iteration, pairs, seed)
    compare_command(request, settings, plots, as_json=json)

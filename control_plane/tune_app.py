# SPDX-License-Identifier: Apache-2.0
"""`schedcp tune` as it is typed: the words and options that it takes."""

from __future__ import annotations

from typing import Annotated

import typer

from control_plane.options import (
    Clock,
    Cold,
    Cpus,
    ForHost,
    Json,
    Llcs,
    Machine,
    MinCoverage,
    Nodes,
    Require,
    Schbench,
    Smt,
    Tier,
    Topologies,
    Work,
    chosen,
    number,
)
from policy_lake.limits import ITERATIONS, MAX_GUEST_S, MAX_RUNS, MAX_SECONDS, PAIRS, PER_ITERATION, SEED


def tune(
    workload: Annotated[str, typer.Argument(help="Id of a workload, or the path of its .toml.")],
    iterations: Annotated[int, number(ITERATIONS, help="Rounds of plan, execute and learn.")] = ITERATIONS.preset,
    per_iteration: Annotated[int, number(PER_ITERATION, help="Candidates a round.")] = PER_ITERATION.preset,
    pairs: Annotated[int, number(PAIRS, help="Runs a candidate, each with EEVDF's of its seed.")] = PAIRS.preset,
    seed: Annotated[int, number(SEED, help="Seed of the workload's data and of the statistics.")] = SEED.preset,
    max_runs: Annotated[int, number(MAX_RUNS, help="Runs of candidates after which no round begins; 0: any.")] = 0,
    max_guest_seconds: Annotated[int, number(MAX_GUEST_S, help="Seconds in guests, likewise.")] = 0,
    max_seconds: Annotated[int, number(MAX_SECONDS, help="Seconds in all, likewise.")] = 0,
    tier: Tier = None,
    require: Require = None,
    topology: Topologies = None,
    work: Work = None,
    schbench: Schbench = None,
    clock: Clock = None,
    cpus: Cpus = None,
    llcs: Llcs = None,
    smt: Smt = None,
    nodes: Nodes = None,
    machine: Machine = None,
    cold: Cold = False,
    min_coverage: MinCoverage = None,
    for_host: ForHost = None,
    json: Json = False,
) -> None:
    """Observe a workload, plan policies for it, try them against EEVDF in micro-VMs, learn, and report."""
    from control_plane.tune import tune_command

    settings = chosen(
        tier=tier, require=require, topology=topology, work=work, schbench=schbench, clock=clock, cpus=cpus,
        llcs=llcs, smt=smt, nodes=nodes, machine=machine, cold=cold, min_coverage=min_coverage, for_host=for_host,
    )  # fmt: skip
    tune_command(
        workload, settings, iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed,
        budget=(max_runs, max_guest_seconds, max_seconds), as_json=json,
    )  # fmt: skip

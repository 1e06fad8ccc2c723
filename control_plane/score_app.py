# SPDX-License-Identifier: Apache-2.0
"""`schedcp score` as it is typed: the words and options that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.options import (
    Clock,
    Cold,
    Cpus,
    Include,
    Json,
    Knobs,
    Link,
    Llcs,
    Machine,
    Nodes,
    OpsFlags,
    OpsName,
    Require,
    Schbench,
    Sets,
    Smt,
    Tier,
    Work,
    chosen,
    number,
    set_beside,
    sets_of,
)
from policy_lake import limits
from policy_lake.errors import InputError
from policy_lake.limits import MOST_PAIRS, PAIRS, SEED


def score(
    context: typer.Context,
    policy: Annotated[
        str, typer.Argument(help="Id of a policy (see `schedcp policies`), a .bpf.c, or a ready object, .bpf.o.")
    ] = "",
    include: Include = None,
    workload: Annotated[
        str,
        typer.Option("--workload", "-w", help="Id of a workload (see `schedcp workloads`), or the path of its .toml."),
    ] = "",
    again: Annotated[str, typer.Option("--again", metavar="ID", help="Measure a score of the lake once more.")] = "",
    pairs: Annotated[int, number(PAIRS, help="Pairs of runs, policy and EEVDF, to measure at first.")] = PAIRS.preset,
    most_pairs: Annotated[
        int | None,
        number(MOST_PAIRS, help="As many where more would settle it.  [default: 3 times --pairs; in smoke none]"),
    ] = None,
    seed: Annotated[int, number(SEED, help="Seed of the first pair.")] = SEED.preset,
    link: Link = None,
    knob: Knobs = None,
    set_: Sets = None,
    ops: OpsName = "",
    ops_flag: OpsFlags = None,
    control: Annotated[str, typer.Option(help="A second policy in the same rounds, or 'best' of the library.")] = "",
    plots: Annotated[Path | None, typer.Option(help="Directory for pictures: timeline, waits, score.")] = None,
    perfetto: Annotated[
        bool, typer.Option("--perfetto", help="With --plots: a trace for ui.perfetto.dev, too.")
    ] = False,
    tier: Tier = None,
    require: Require = None,
    work: Work = None,
    schbench: Schbench = None,
    clock: Clock = None,
    cpus: Cpus = None,
    llcs: Llcs = None,
    smt: Smt = None,
    nodes: Nodes = None,
    machine: Machine = None,
    cold: Cold = False,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="With --machine: does it hold with each cost halved, and doubled?",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Measure one policy on a workload, run by run against EEVDF with the same seeds."""
    from control_plane.score import again_command, score_command
    from policy_lake.knobs import parse_knob_values
    from tasks.score import ScoreRequest

    settings = chosen(
        tier=tier,
        require=require,
        work=work,
        schbench=schbench,
        clock=clock,
        cpus=cpus,
        llcs=llcs,
        smt=smt,
        nodes=nodes,
        machine=machine,
        cold=cold,
    )
    if again:
        if beside := set_beside(context, {"again", "json", "cold"}):
            raise InputError(f"--again measures what the score names, and takes no {', '.join(beside)}")
        raise typer.Exit(again_command(again, settings, as_json=json))
    if not policy or not workload:
        raise InputError("score needs a policy and -w WORKLOAD, or --again ID")
    most = (pairs if settings.tier == "smoke" else limits.most_pairs(pairs)) if most_pairs is None else most_pairs
    sets = sets_of(set_, ops, ops_flag)
    request = ScoreRequest(
        policy, workload, pairs, most, seed, parse_knob_values(knob or ()), control, plots, perfetto, sets,
        tuple(link or ()), tuple(include or ()), sensitivity,
    )  # fmt: skip
    raise typer.Exit(score_command(request, settings, as_json=json))

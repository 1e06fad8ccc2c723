# SPDX-License-Identifier: Apache-2.0
"""`schedcp verify` as it is typed: the words and options that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from control_plane.options import (
    ForHost,
    Include,
    Json,
    Knobs,
    Link,
    Machine,
    MinCoverage,
    OpsFlags,
    OpsName,
    Require,
    Sets,
    Topologies,
    chosen,
    sets_of,
)


def verify(
    file: Annotated[Path, typer.Argument(help="A sched_ext policy, .bpf.c, or a ready object, .bpf.o.")],
    include: Include = None,
    workload: Annotated[
        str, typer.Option("--workload", "-w", help="Measure it, too, and hold it to the guard rails.")
    ] = "",
    link: Link = None,
    knob: Knobs = None,
    set_: Sets = None,
    ops: OpsName = "",
    ops_flag: OpsFlags = None,
    check_all: Annotated[bool, typer.Option("--all", help="Go on after a rejection, where that is possible.")] = False,
    verify_tier: Annotated[
        str, typer.Option("--tier", metavar="short|full", help="The whole adversarial suite takes minutes.")
    ] = "short",
    require: Require = None,
    topology: Topologies = None,
    machine: Machine = None,
    for_host: ForHost = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="SITUATION", help="That one alone, as --minimize prints it; no token."),
    ] = None,
    minimize: Annotated[
        bool, typer.Option("--minimize", help="Of a failure, find the smallest situation that shows it, and keep it.")
    ] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Print the source with what the suite executed of it.")
    ] = False,
    min_coverage: MinCoverage = None,
    plots: Annotated[
        Path | None,
        typer.Option(help="Directory for coverage.html and, of a failure, pictures of its situation."),
    ] = None,
    json: Json = False,
) -> None:
    """Take a policy through every stage: source, build, object, and in a guest kernel, survive, fair (and score)."""
    from control_plane.verify import verify_command
    from tasks.verify import VerifyOptions
    from verifier_vm.judge.case import parse_case

    case = None if only is None else parse_case(only, "--only")
    options = VerifyOptions(cast(Any, verify_tier), check_all, tuple(require or ()), case, minimize, plots)
    settings = chosen(min_coverage=min_coverage, topology=topology, machine=machine, for_host=for_host)
    raise typer.Exit(
        verify_command(
            file, settings, include or [], knob or [], options, workload,
            sets=sets_of(set_, ops, ops_flag), linked=link or (), sources=coverage, as_json=json,
        )
    )  # fmt: skip

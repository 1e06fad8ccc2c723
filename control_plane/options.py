# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and the settings that they and the environment make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.commands import parameter_name
from policy_lake.errors import InputError
from policy_lake.knobs import ops_values, parse_knob_values
from policy_lake.limits import CPUS, LLCS, MIN_COVERAGE, NODES, SMT, Limit

if TYPE_CHECKING:
    from tasks.host.settings import Settings


def number(limit: Limit, *flags: str, help: str) -> Any:
    """An option that takes a whole number within its limit; another is one line of InputError, and exit status 2."""
    return typer.Option(*flags, parser=limit.parse, metavar=f"{limit.low}..{limit.high}", help=help)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Clock = Annotated[
    str | None,
    typer.Option(
        "--clock", metavar="virtual|wall", help="Whose time counts: the guest's own (default under TCG), or the host's."
    ),
]
Cold = Annotated[bool, typer.Option("--cold", help="Boot every guest instead of starting it from a snapshot.")]
Cpus = Annotated[int | None, number(CPUS, "--cpus", help="CPUs of the guest.  [default: what the workload asks for]")]
Llcs = Annotated[int | None, number(LLCS, "--llcs", help="Last-level caches to spread them over.")]
Smt = Annotated[int | None, number(SMT, "--smt", help="CPUs that share a core.")]
Nodes = Annotated[int | None, number(NODES, "--nodes", help="NUMA nodes, of whole last-level caches.")]
Machine = Annotated[
    str | None,
    typer.Option(
        "--machine",
        help="What the guest's CPUs are taken for: a name of `schedcp machines`, or a .toml.  "
        "[default: to measure, this host's topology, with its costs where they were measured]",
    ),
]
Tier = Annotated[
    str | None,
    typer.Option("--size", "--tier", metavar="smoke|standard|full", help="Size of the workload.  [default: standard]"),
]
Schbench = Annotated[
    Path | None, typer.Option("--schbench", help="A static schbench binary, run in place of our own program.")
]
Work = Annotated[
    list[str] | None,
    typer.Option(
        "--work", help="NAME=NUMBER, repeatable: a number of the workload (`workloads show`), such as shuffle=1."
    ),
]
MinCoverage = Annotated[
    int | None,
    number(
        MIN_COVERAGE, "--min-coverage", help="Per cent of branches tried, for a token beyond the canary.  [default: 95]"
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="hotplug|exit-record|cgroups|nice",
        help="What the hosts need, repeatable: a note that it is missing then rejects.",
    ),
]
Topologies = Annotated[
    list[str] | None,
    typer.Option(
        "--topology",
        metavar="cpus=N,llcs=N,smt=N,nodes=N",
        help="Try it on that, too, repeatable; on one like this host it is always tried.",
    ),
]
ForHost = Annotated[
    Path | None,
    typer.Option("--for", help="A host's file, of `schedcp host describe`: on its kernel, for its CPUs, for it alone."),
]
Include = Annotated[list[Path] | None, typer.Option("-I", help="Directory to search for headers, repeatable.")]
Link = Annotated[list[Path] | None, typer.Option("-l", help="A .bpf.c or .bpf.o to link with it, repeatable.")]
Knobs = Annotated[list[str] | None, typer.Option("--knob", help="NAME=VALUE, repeatable: a knob to set.")]

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE, repeatable: a constant, as its loader fills it, wherever it is declared."),
]
OpsName = Annotated[str, typer.Option("--ops", metavar="NAME", help="Which policy, of an object that has several.")]
OpsFlags = Annotated[
    list[str] | None,
    typer.Option("--ops-flag", metavar="FLAG", help="A flag of the ops to set, repeatable, such as SCX_OPS_ENQ_LAST."),
]


def sets_of(texts: list[str] | None, name: str, flags: list[str] | None) -> dict[str, str]:
    """What `--set`, `--ops` and `--ops-flag` ask for; InputError for a text that is none."""
    return {**parse_knob_values(texts or (), option="--set"), **ops_values(name, flags or ())}


def set_beside(context: typer.Context, taken: set[str]) -> list[str]:
    """What the command line gives besides the parameters that are taken, as it is written there."""
    return [
        parameter_name(parameter)
        for parameter in context.command.params
        if parameter.name and parameter.name not in taken
        and (source := context.get_parameter_source(parameter.name)) is not None and source.name == "COMMANDLINE"
    ]  # fmt: skip


def chosen(
    *,
    work: list[str] | None = None,
    require: list[str] | None = None,
    topology: list[str] | None = None,
    cold: bool = False,
    **options: Any,
) -> Settings:
    """The environment's settings with the options that are given in place of its own; InputError names a wrong one."""
    from tasks.host.settings import load_settings

    if options.get("machine") == "":  # the environment's is empty where there is none; an option is not
        raise InputError("--machine: an empty name; leave it out for no machine (`schedcp machines` lists them)")
    lists = {"work": work, "require": require, "topologies": topology}
    words = {name: " ".join(given) if given else None for name, given in lists.items()}
    settings = load_settings(cold=cold or None, **words, **options)
    if settings.for_host is None:
        return settings
    from tasks.host.describe import settings_for

    return settings_for(settings)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp`: the command line. A command's module is imported when it runs, so that `--help` stays quick."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.exceptions import TyperException

from control_plane.commands import Commands, show_version
from control_plane.lake_app import lake_app
from control_plane.options import (
    Clock,
    Cold,
    Cpus,
    Json,
    Knobs,
    Llcs,
    MinCoverage,
    Nodes,
    OpsFlags,
    OpsName,
    Require,
    Schbench,
    Sets,
    Smt,
    Tier,
    Topologies,
    Work,
    chosen,
    number,
    set_beside,
    sets_of,
)
from control_plane.output import print_json, take_any_text
from control_plane.streams import guard_streams
from control_plane.token_app import token_app
from control_plane.workloads_app import workloads_app
from policy_lake import limits
from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.limits import ITERATIONS, LOG_CHARACTERS, MOST_PAIRS, PAIRS, PER_ITERATION, SEED
from policy_lake.show import for_terminal, shortened
from tasks.host.interrupts import interruptible

app = typer.Typer(
    name="schedcp",
    help="Tune the Linux CPU scheduler for a workload: sched_ext policies, verified and measured in a micro-VM.",
    no_args_is_help=True,
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for name, sub in (("lake", lake_app), ("workloads", workloads_app), ("token", token_app)):
    app.add_typer(sub, name=name, cls=Commands)

INTERRUPTED = 128 + signal.SIGINT
ENDINGS = {
    INTERRUPTED: "interrupted",
    128 + signal.SIGTERM: "ended by SIGTERM",
    128 + signal.SIGHUP: "ended, as its terminal was closed (SIGHUP)",
}
ENDED = "guests and workers are ended"


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """What `schedcp` itself takes, besides the commands."""


@app.command()
def setup() -> None:
    """Install Debian packages, fetch the guest's kernel, make vmlinux.h and the guest image. Safe to repeat."""
    from control_plane.setup import set_up

    set_up()


@app.command()
def doctor(json: Json = False) -> None:
    """Say line by line what is there, what is missing, and the command that mends it."""
    from control_plane.doctor import examine, show

    findings = examine()
    show(findings, as_json=json)
    raise typer.Exit(0 if all(f.ok for f in findings) else 4)


@app.command()
def tune(
    workload: Annotated[str, typer.Argument(help="Id of a workload, or the path of its .toml.")],
    iterations: Annotated[int, number(ITERATIONS, help="Rounds of plan, execute and learn.")] = ITERATIONS.preset,
    per_iteration: Annotated[int, number(PER_ITERATION, help="Candidates a round.")] = PER_ITERATION.preset,
    pairs: Annotated[int, number(PAIRS, help="Runs a candidate, each with EEVDF's of its seed.")] = PAIRS.preset,
    seed: Annotated[int, number(SEED, help="Seed of the workload's data and of the statistics.")] = SEED.preset,
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
    cold: Cold = False,
    min_coverage: MinCoverage = None,
    json: Json = False,
) -> None:
    """Observe a workload, plan policies for it, try them against EEVDF in micro-VMs, learn, and report."""
    from control_plane.tune import tune_command

    settings = chosen(
        tier=tier, require=require, topology=topology, work=work, schbench=schbench, clock=clock, cpus=cpus,
        llcs=llcs, smt=smt, nodes=nodes, cold=cold, min_coverage=min_coverage,
    )  # fmt: skip
    tune_command(
        workload, settings, iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed, as_json=json
    )


@app.command()
def up(json: Json = False) -> None:
    """Keep Prefect's server, Ray and a warm Python, which every `tune` of this data directory then uses."""
    from control_plane.tune import up_command

    up_command(chosen(), as_json=json)


@app.command()
def down(json: Json = False) -> None:
    """End what `up` keeps, a run that is going on included."""
    from control_plane.tune import down_command

    down_command(chosen(), as_json=json)


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Also the kernel, the lake, reports, tokens, your workloads and the keys.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: Json = False,
) -> None:
    """Remove what is made again when needed (snapshots, images, verdicts); what a live process uses stays."""
    from control_plane.clean import clean_command

    clean_command(chosen(), everything=everything, dry_run=dry_run, as_json=json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A sched_ext policy, .bpf.c, or a ready object, .bpf.o.")],
    include: Annotated[
        list[Path] | None, typer.Option("-I", help="Directory to search for headers, repeatable.")
    ] = None,
    workload: Annotated[
        str, typer.Option("--workload", "-w", help="Measure it, too, and hold it to the guard rails.")
    ] = "",
    link: Annotated[
        list[Path] | None, typer.Option("-l", help="A .bpf.c or .bpf.o to link with it, repeatable.")
    ] = None,
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
    only: Annotated[
        str,
        typer.Option("--only", metavar="SITUATION", help="That one alone, as --minimize prints it; no token."),
    ] = "",
    minimize: Annotated[
        bool, typer.Option("--minimize", help="Of a failure, find the smallest situation that shows it, and keep it.")
    ] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Print the source with what the suite executed of it.")
    ] = False,
    min_coverage: MinCoverage = None,
    json: Json = False,
) -> None:
    """Take a policy through every stage: source, build, object, and in a guest kernel, survive, fair (and score)."""
    from control_plane.verify import verify_command
    from tasks.verify import VerifyOptions
    from verifier_vm.judge.case import parse_case

    case = parse_case(only, "--only") if only else None
    options = VerifyOptions(cast(Any, verify_tier), check_all, tuple(require or ()), case, minimize)
    raise typer.Exit(
        verify_command(
            file, chosen(min_coverage=min_coverage, topology=topology), include or [], knob or [], options, workload,
            sets=sets_of(set_, ops, ops_flag), linked=link or (), sources=coverage, as_json=json,
        )
    )  # fmt: skip


@app.command()
def score(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="Id of a policy (see `schedcp policies`), or a .bpf.c.")] = "",
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
    cold: Cold = False,
    json: Json = False,
) -> None:
    """Measure one policy on a workload, run by run against EEVDF with the same seeds."""
    from control_plane.score import again_command, score_command
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
    request = ScoreRequest(policy, workload, pairs, most, seed, tuple(knob or ()), control, plots, perfetto, sets)
    raise typer.Exit(score_command(request, settings, as_json=json))


@app.command(context_settings={"ignore_unknown_options": True})
def record(
    command: Annotated[list[str], typer.Argument(help="The command, after `--`; its output goes through.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The trace to write, .parquet.")],
    hash_names: Annotated[bool, typer.Option("--hash-names", help="Replace the names of commands by hashes.")] = False,
    allow_failure: Annotated[bool, typer.Option("--allow-failure", help="Keep it even if the command fails.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Replay it in a guest and compare.")] = False,
    json: Json = False,
) -> None:
    """Record what a command's tasks do to this host's scheduler, as a trace that a guest can replay."""
    from control_plane.record import record_command

    raise typer.Exit(
        record_command(command, output, hashed=hash_names, allow_failure=allow_failure, check=check, as_json=json)
    )


@app.command()
def fidelity(
    file: Annotated[Path, typer.Argument(help="A trace that `schedcp record` wrote.")],
    cpus: Cpus = None,
    clock: Clock = None,
    json: Json = False,
) -> None:
    """Replay a trace in a guest under EEVDF, and compare with the run that was recorded."""
    from control_plane.fidelity import fidelity_command

    raise typer.Exit(fidelity_command(file, chosen(clock=clock, cpus=cpus), as_json=json))


@app.command()
def policies(json: Json = False) -> None:
    """List the policies of the library with their knobs."""
    from control_plane.lake import policies_command

    policies_command(as_json=json)


@app.command()
def runs(json: Json = False) -> None:
    """List past runs, the latest first."""
    from control_plane.lake import runs_command

    runs_command(as_json=json)


def main() -> None:
    """Run the command line; every failure of ours is one line and its own exit status, never a traceback."""
    take_any_text()
    try:
        guard_streams()
        with interruptible(_cut_short):
            _run()
            sys.stdout.flush()
    except TyperException as error:
        _usage(error)
    except SchedcpError as error:
        _fail(str(error), error.exit_status, code=getattr(error, "code", ""))
    except KeyboardInterrupt:
        _ended(INTERRUPTED, ENDED)
    except SystemExit as ending:
        if ending.code in ENDINGS:  # typer has taken the interrupt and says nothing
            _ended(int(ending.code), ENDED)
        raise
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        _fail(f"{error.filename or 'the system'}: {error.strerror}", 4)


def _run() -> None:
    """The command; one that returns nothing has done what it should."""
    status = app(standalone_mode=False)
    if status:
        sys.exit(status)


def _cut_short(status: int) -> None:
    """The end of a command that does not clear away in time."""
    _ended(status, "what did not end by itself was cut short")


def _ended(status: int, cleared: str) -> None:
    """The end by a signal of that status, or by the loss of something that the run could not do without."""
    from tasks.fleet.lost import lost

    if reason := lost():
        _end(InfraError.exit_status, reason)
    _end(status, f"{ENDINGS[status]}; {cleared}")


def _end(status: int, line: str) -> None:
    """The end by a signal. At once: a thread that still works, and what it started, dies with this process."""
    try:
        _fail(line, status)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _usage(error: Any) -> None:
    """Typer's complaint in our form; a command of commands that is given none complains with its page of help."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:
        error.show()
        sys.exit(error.exit_code)
    path = context.command_path if context else app.info.name
    _fail(f"{message.removesuffix('.')}: see `{path} --help`", InputError.exit_status)


def _fail(message: str, status: int, *, code: str = "") -> None:
    line = shortened(" ".join(message.split()), LOG_CHARACTERS)
    sys.stderr.write(f"schedcp: {for_terminal(line)}\n")
    if "--json" in sys.argv[: sys.argv.index("--") if "--" in sys.argv else None]:  # what stands behind is not ours
        from control_plane.outputs import ErrorOutput

        with contextlib.suppress(SchedcpError, SystemExit):  # whoever cannot hear it is told by the status
            print_json("error", ErrorOutput(line, status, code))
            sys.stdout.flush()
    sys.exit(status)

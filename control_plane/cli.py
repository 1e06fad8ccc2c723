# SPDX-License-Identifier: Apache-2.0
"""`schedcp`: the command line. A command's module is imported when it runs, so that `--help` stays quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from control_plane.output import Json, print_json
from policy_lake.model import InputError, SchedcpError

app = typer.Typer(
    name="schedcp",
    help="Tune the Linux CPU scheduler for a workload: sched_ext policies, verified and measured in a micro-VM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
lake_app = typer.Typer(
    help="What earlier runs found: policies, profiles, scores, rejections, lessons.", no_args_is_help=True
)
app.add_typer(lake_app, name="lake")
workloads_app = typer.Typer(help="List the workloads, show one, or add one of your own.")
app.add_typer(workloads_app, name="workloads")
token_app = typer.Typer(
    help="Signed leave to load a policy: what it says, whether it holds here, taking it back.", no_args_is_help=True
)
app.add_typer(token_app, name="token")
TokenFile = Annotated[Path, typer.Argument(help="A token, NAME.dsse.json.")]

INTERRUPTED = 130
ENDED = "interrupted; guests and workers are ended"
ClockOption = Annotated[
    str | None,
    typer.Option(
        "--clock", metavar="virtual|wall", help="Whose time counts: the guest's own (default under TCG), or the host's."
    ),
]
Cold = Annotated[bool, typer.Option("--cold", help="Boot every guest instead of starting it from a snapshot.")]
Cpus = Annotated[int | None, typer.Option("--cpus", help="CPUs of the guest.  [default: what the workload asks for]")]
Llcs = Annotated[int | None, typer.Option("--llcs", help="Last-level caches to spread them over.")]
Smt = Annotated[int | None, typer.Option("--smt", help="CPUs that share a core.")]
Nodes = Annotated[int | None, typer.Option("--nodes", help="NUMA nodes, of whole last-level caches.")]
Tier = Annotated[
    str | None, typer.Option("--tier", metavar="smoke|standard|full", help="Size of the workload.  [default: standard]")
]
Schbench = Annotated[
    Path | None, typer.Option("--schbench", help="A static schbench binary, run in place of our own program.")
]
Knobs = Annotated[list[str] | None, typer.Option("--knob", help="NAME=VALUE, repeatable: a knob to set.")]


@app.command()
def setup() -> None:
    """Fetch the guest's kernel, make vmlinux.h and the guest image. Safe to repeat."""
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
    iterations: Annotated[int, typer.Option(min=1, max=50, help="Rounds of plan, execute and learn.")] = 2,
    per_iteration: Annotated[int, typer.Option(min=1, max=64, help="Candidates a round.")] = 3,
    pairs: Annotated[int, typer.Option(min=2, max=200, help="Interleaved pairs a candidate.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the workload's data and of the statistics.")] = 1,
    tier: Tier = None,
    schbench: Schbench = None,
    clock: ClockOption = None,
    cpus: Cpus = None,
    llcs: Llcs = None,
    smt: Smt = None,
    nodes: Nodes = None,
    cold: Cold = False,
    json: Json = False,
) -> None:
    """Observe a workload, plan policies for it, try them against EEVDF in micro-VMs, learn, and report."""
    from control_plane.tune import tune_command

    _choose(tier=tier, schbench=schbench, clock=clock, cpus=cpus, llcs=llcs, smt=smt, nodes=nodes, cold=cold or None)
    tune_command(workload, iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed, as_json=json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A sched_ext policy, .bpf.c.")],
    include: Annotated[
        list[Path] | None, typer.Option("-I", help="Directory to search for headers, repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Build a policy and load it in a guest: the kernel's BPF verifier, attachment, survival under stress."""
    from control_plane.verify import verify_command

    raise typer.Exit(verify_command(file, include or [], as_json=json))


@app.command()
def score(
    policy: Annotated[str, typer.Argument(help="Id of a policy (see `schedcp policies`), or a .bpf.c.")] = "",
    workload: Annotated[
        str,
        typer.Option("--workload", "-w", help="Id of a workload (see `schedcp workloads`), or the path of its .toml."),
    ] = "",
    again: Annotated[str, typer.Option("--again", metavar="ID", help="Measure a score of the lake once more.")] = "",
    pairs: Annotated[int, typer.Option(min=2, max=70, help="Interleaved pairs to measure at first.")] = 5,
    most_pairs: Annotated[int, typer.Option(max=100, help="As many where more would settle it.")] = 15,
    seed: Annotated[int, typer.Option(help="Seed of the first pair.")] = 1,
    knob: Knobs = None,
    control: Annotated[str, typer.Option(help="A second policy in the same rounds, or 'best' of the library.")] = "",
    plots: Annotated[Path | None, typer.Option(help="Directory for pictures: timeline, waits, score.")] = None,
    perfetto: Annotated[
        bool, typer.Option("--perfetto", help="With --plots: a trace for ui.perfetto.dev, too.")
    ] = False,
    tier: Tier = None,
    schbench: Schbench = None,
    clock: ClockOption = None,
    cpus: Cpus = None,
    llcs: Llcs = None,
    smt: Smt = None,
    nodes: Nodes = None,
    cold: Cold = False,
    json: Json = False,
) -> None:
    """Measure one policy on a workload, in interleaved pairs against EEVDF in one guest."""
    from control_plane.score import again_command, score_command
    from tasks.score import Wish

    _choose(tier=tier, schbench=schbench, clock=clock, cpus=cpus, llcs=llcs, smt=smt, nodes=nodes, cold=cold or None)
    if again:
        raise typer.Exit(again_command(again, as_json=json))
    if not policy or not workload:
        raise InputError("score needs a policy and -w WORKLOAD, or --again ID")
    wish = Wish(policy, workload, pairs, most_pairs, seed, tuple(knob or ()), control, plots, perfetto)
    raise typer.Exit(score_command(wish, as_json=json))


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
        record_command(
            command, output, hashed=hash_names, allow_failure=allow_failure, check=check, as_json=json
        )
    )


@app.command()
def fidelity(
    file: Annotated[Path, typer.Argument(help="A trace that `schedcp record` wrote.")],
    cpus: Cpus = None,
    clock: ClockOption = None,
    json: Json = False,
) -> None:
    """Replay a trace in a guest under EEVDF, and compare with the run that was recorded."""
    from control_plane.fidelity import fidelity_command

    _choose(clock=clock, cpus=cpus)
    raise typer.Exit(fidelity_command(file, as_json=json))


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


@workloads_app.callback(invoke_without_command=True)
def workloads(context: typer.Context, json: Json = False) -> None:
    """List the workloads: what each is measured by, its goal, its sizes, its guard rails."""
    if context.invoked_subcommand is None:
        from control_plane.workloads import list_command

        raise typer.Exit(list_command(as_json=json))


@workloads_app.command("show")
def workloads_show(
    workload: Annotated[str, typer.Argument(help="Id of a workload, or the path of its .toml.")],
    json: Json = False,
) -> None:
    """Show all that is known of one workload."""
    from control_plane.workloads import show_command

    show_command(workload, as_json=json)


@workloads_app.command("add")
def workloads_add(
    file: Annotated[Path, typer.Argument(help="A workload's .toml.")],
    json: Json = False,
) -> None:
    """Add a workload of your own: from then on its id stands for it."""
    from control_plane.workloads import add_command

    add_command(file, as_json=json)


@lake_app.command("search")
def lake_search(
    text: Annotated[str, typer.Argument(help="What the workload is like, in your words.")],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 5,
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


@token_app.command("show")
def token_show(file: TokenFile, json: Json = False) -> None:
    """Say what a token allows and what not, and whether our key signed it (exit status 3 if not)."""
    from control_plane.token import show_command

    raise typer.Exit(show_command(file, as_json=json))


@token_app.command("check")
def token_check(
    file: TokenFile,
    object: Annotated[Path | None, typer.Option("--object", help="The object to be loaded, .bpf.o.")] = None,
    knob: Annotated[list[str] | None, typer.Option("--knob", help="NAME=VALUE, repeatable, as loaded.")] = None,
    kernel: Annotated[str | None, typer.Option("--kernel", help="Its release.  [default: this host's]")] = None,
    btf: Annotated[str | None, typer.Option("--btf", help="SHA-256 of its BTF.  [default: this host's]")] = None,
    stage: Annotated[str, typer.Option("--stage", metavar="canary|host|fleet", help="Of the rollout.")] = "canary",
    json: Json = False,
) -> None:
    """Say whether a token gives leave here and now, with nothing used up; exit status 3 and the reason if not."""
    from control_plane.token import check_command

    raise typer.Exit(check_command(file, object=object, knobs=knob, kernel=kernel, btf=btf, stage=stage, as_json=json))


@token_app.command("revoke")
def token_revoke(
    what: Annotated[str, typer.Argument(help="A token's file, its nonce, or an object's SHA-256.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in one line.")],
    json: Json = False,
) -> None:
    """Take leave back from a token, or from every token for an object."""
    from control_plane.token import revoke_command

    revoke_command(what, reason, as_json=json)


@token_app.command("restore")
def token_restore(json: Json = False) -> None:
    """Make a lost revocation list anew from the log."""
    from control_plane.token import restore_command

    restore_command(as_json=json)


@token_app.command("log")
def token_log(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it holds.")] = False, json: Json = False
) -> None:
    """List all that was signed, refused and revoked, and follow the chain from end to end."""
    from control_plane.token import log_command

    log_command(check_only=check, as_json=json)


def _choose(**options: object) -> None:
    """An option of the guest is its SCHEDCP_ variable, set: so it holds for whatever this command starts, too."""
    os.environ.update({f"SCHEDCP_{name.upper()}": str(value) for name, value in options.items() if value is not None})


def main() -> None:
    """Run the command line; every failure of ours is one line and its own exit status, never a traceback."""
    try:
        app(standalone_mode=True)
    except SchedcpError as error:
        _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        _fail(ENDED, INTERRUPTED)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:  # typer has taken the interrupt and says nothing
            _fail(ENDED, INTERRUPTED)
        raise
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        _fail(f"{error.filename or 'the system'}: {error.strerror}", 4)


def _fail(message: str, status: int) -> None:
    line = " ".join(message.split())
    sys.stderr.write(f"schedcp: {line}\n")
    if "--json" in sys.argv:
        print_json({"error": line, "exit_status": status})
    sys.exit(status)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp`: the command line. A command's module is imported when it runs, so that `--help` stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane import ending
from control_plane.audit_app import audit_app
from control_plane.bench_suite_app import bench_suite
from control_plane.campaign_app import campaign
from control_plane.commands import Commands, show_version
from control_plane.compare_app import compare
from control_plane.fleet_app import fleet_app
from control_plane.host_app import host_app
from control_plane.lake_app import lake_app
from control_plane.machines_app import machine_app, machines_app
from control_plane.mcp_app import mcp
from control_plane.nights_app import nights_app
from control_plane.observe_app import observe
from control_plane.options import Clock, Cpus, Json, chosen
from control_plane.report_app import report
from control_plane.rollout_app import rollout, stop
from control_plane.score_app import score
from control_plane.token_app import export, token_app
from control_plane.tune_app import tune
from control_plane.verifierd_app import verifierd_app
from control_plane.verify_app import verify
from control_plane.workloads_app import workloads_app

app = typer.Typer(
    name="schedcp",
    help="Tune the Linux CPU scheduler for a workload: sched_ext policies, verified and measured in a micro-VM.",
    no_args_is_help=True,
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
SUBS = {
    "lake": lake_app, "workloads": workloads_app, "machines": machines_app, "machine": machine_app, "token": token_app,
    "fleet": fleet_app, "verifierd": verifierd_app, "host": host_app, "audit": audit_app,
    "nights": nights_app,
}  # fmt: skip
for name, sub in SUBS.items():
    app.add_typer(sub, name=name, cls=Commands)


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


app.command()(tune)


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


app.command()(verify)
app.command()(score)
app.command()(compare)
app.command("bench-suite")(bench_suite)
app.command()(campaign)
app.command()(export)
app.command()(rollout)
app.command()(stop)
app.command()(mcp)
app.command()(report)


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


app.command(context_settings={"ignore_unknown_options": True})(observe)


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


@app.command()
def explain(
    run: Annotated[str, typer.Argument(help="Id of a run (see `schedcp runs`), or how it begins.")],
    plots: Annotated[Path | None, typer.Option(help="Directory for a picture of what was tried.")] = None,
    json: Json = False,
) -> None:
    """Tell the story of a run: what was seen, tried, expected and measured, why the best won, why it ended."""
    from control_plane.explain import explain_command

    explain_command(run, plots, as_json=json)


@app.command()
def lessons(
    workload: Annotated[str, typer.Argument(help="Id of a workload; none: all that the lake knows.")] = "",
    json: Json = False,
) -> None:
    """Say what was learned: which policies help or harm which kinds of workload, and how sure that is."""
    from control_plane.explain import lessons_command

    lessons_command(workload, as_json=json)


@app.command()
def calls(
    which: Annotated[
        str, typer.Argument(help="A run, by its id or how that begins, or a call, to be shown whole.")
    ] = "",
    json: Json = False,
) -> None:
    """List what was asked of a model: its answers, what became of each part, tokens, seconds, dollars."""
    from control_plane.calls import calls_command

    calls_command(which, as_json=json)


def main() -> None:
    """Run the command line, and end with its exit status."""
    ending.run(app, "schedcp")

# SPDX-License-Identifier: Apache-2.0
"""`schedcp tune`: the whole loop from the command line, with what happens as it happens, and the report at the end."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from control_plane.output import err, print_json, working
from control_plane.outputs import DownOutput, UpOutput
from control_plane.progress import shown
from control_plane.resident_client import down, tune_at_resident, up
from policy_lake.show import for_terminal
from tasks.host.settings import Settings
from tasks.host.spans import process_began
from tasks.run.spec import Budget, define_run


def tune_command(
    workload: str,
    settings: Settings,
    *,
    iterations: int,
    per_iteration: int,
    pairs: int,
    seed: int,
    as_json: bool,
    budget: tuple[int, int, int] = (0, 0, 0),
) -> None:
    """Run the loop; progress goes to stderr, the report (or its JSON) to stdout."""
    from flows.local import run_tune
    from tasks.host.interrupts import interruptible

    run = define_run(
        workload, settings, iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed,
        budget=Budget(*budget),
    )  # fmt: skip
    began = process_began()
    with shown(err(), "starting", began=began, level=logging.INFO):
        result = tune_at_resident(run, began)
        if result is None:
            with interruptible():
                result = run_tune(run, began)
    result = result.with_stop(time.time() - began)
    if as_json:
        print_json("tune", result)
        return
    if result.report is not None:
        sys.stdout.write("\n" + Path(result.report).with_suffix(".txt").read_text(encoding="utf-8"))
        sys.stdout.write(f"\nthe same as Markdown: {for_terminal(result.report)}\n")
    for name, path in result.pictures.items():
        sys.stdout.write(f"{for_terminal(name)}: {for_terminal(path)}\n")
    seconds = result.seconds
    sys.stdout.write(f"{seconds['total']:.1f} s from start to end, {seconds['stop']:.1f} s of it behind the report\n")
    sys.stdout.write("in the Prefect UI: make ui\n")


def up_command(settings: Settings, *, as_json: bool) -> None:
    """Start the resident process, unless it runs."""
    with working("starting Prefect's server, Ray and a warm Python"):
        pid, new = up(settings)
    if as_json:
        print_json("up", UpOutput(pid, new))
        return
    sys.stdout.write(f"up: process {pid}{'' if new else ', as before'}; `schedcp down` ends it\n")


def down_command(settings: Settings, *, as_json: bool) -> None:
    """End the resident process, if there is one."""
    with working("ending the resident process"):
        pid = down(settings)
    if as_json:
        print_json("down", DownOutput(pid))
        return
    sys.stdout.write(f"down: process {pid} ended\n" if pid else "down: there was nothing to end\n")

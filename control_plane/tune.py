# SPDX-License-Identifier: Apache-2.0
"""`schedcp tune`: the whole loop from the command line, with what happens as it happens, and the report at the end."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from control_plane.output import print_json
from policy_lake.model import from_json


def tune_command(workload: str, *, iterations: int, per_iteration: int, pairs: int, seed: int, as_json: bool) -> None:
    """Run the loop; progress goes to stderr, the report (or its JSON) to stdout."""
    from control_plane.results import TuneResult
    from flows.local import interruptible, run_tune

    with_progress()
    with interruptible():
        result = run_tune(workload, iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed)
    if as_json:
        print_json("tune", from_json(TuneResult, result))
        return
    report = Path(result["report"]).with_suffix(".txt")
    sys.stdout.write("\n" + report.read_text(encoding="utf-8"))
    sys.stdout.write(f"\nthe same as Markdown: {result['report']}\n")
    for name, path in result["pictures"].items():
        sys.stdout.write(f"{name}: {path}\n")
    sys.stdout.write("in the Prefect UI: make ui\n")


def with_progress() -> None:
    """Lines of the stages to stderr, each with the time since the start; wrapped by the terminal, not by us."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Elapsed())
    # In a wheel this is `schedcp.control_plane`, and the others lie below `schedcp`, too.
    above = (__package__ or "").removesuffix("control_plane")
    for name in (f"{above}tasks", f"{above}verifier_vm"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False


class _Elapsed(logging.Formatter):
    def __init__(self) -> None:
        super().__init__()
        self._start = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        seconds = int(time.monotonic() - self._start)
        text = " ".join(record.getMessage().split())
        return f"[{seconds // 60}:{seconds % 60:02d}] {text}"

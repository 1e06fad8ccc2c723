# SPDX-License-Identifier: Apache-2.0
"""What workloads and scores are to reach, measured on this machine: `python -m control_plane.bench.score`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scoring import BASELINE
from benchmarks.workloads import workload_ids
from control_plane.bench.figures import Figure, main
from policy_lake.model import Candidate
from policy_lake.scores import MeasurementPlan
from tasks.host.guest import shape_for
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload
from tasks.trial.drive import MemoryStore
from tasks.trial.local import run_here
from tasks.trial.spec import TrialSpec
from tasks.trial.trial import equal_runs

SCHEDCP = str(Path(sys.executable).parent / "schedcp")
SMOKE_S = 20.0
AA_RUNS = 100
LEAST_INCONCLUSIVE = 95


def smoke_figures() -> Iterator[Figure]:
    """Every workload's smoke tier: a whole score, all pairs, from exec to exit. The first of each warms the cache."""
    for name in workload_ids():
        _score("fifo", name, "--tier", "smoke", "--pairs", "4", "--most-pairs", "4")
        start = time.monotonic()
        result = _score("fifo", name, "--tier", "smoke")
        took = time.monotonic() - start
        measured = f"{took:.1f} s, fifo {_result(result)}"
        yield Figure(f"smoke {name}", measured, f"<= {SMOKE_S:.0f} s", took <= SMOKE_S)


def again_figures() -> Iterator[Figure]:
    """A score by its id, and once more."""
    for policy, name in (("ljf", "batch"), ("fifo", "schbench")):
        first = _score(policy, name, "--tier", "smoke")
        done = subprocess.run(
            [SCHEDCP, "score", "--again", first["id"], "--json"], capture_output=True, text=True, check=False
        )
        result = json.loads(done.stdout)
        measured = f"{100 * result['difference']:.3f} % away"
        yield Figure(f"same seed, same score, {policy} on {name}", measured, "<= 0.5 %", result["difference"] <= 0.005)


def aa_figures() -> Iterator[Figure]:
    """EEVDF against itself at the default settings, a hundred times with other seeds."""
    settings = load_settings()
    batch = find_workload("batch", settings.model_copy(update={"tier": "smoke"}))
    shape = shape_for(settings, batch)
    baseline = Candidate("", "", 0, BASELINE, "", {}, "A/A", "none")
    specs = [TrialSpec(baseline, batch, shape, settings, MeasurementPlan(5, 0, 1000 + n)) for n in range(AA_RUNS)]
    outcomes = [run_here(equal_runs(spec), spec, MemoryStore())[1] for spec in specs]
    calm = outcomes.count("inconclusive")
    yield Figure(
        "A/A runs inconclusive", f"{calm} of {AA_RUNS}", f">= {LEAST_INCONCLUSIVE}", calm >= LEAST_INCONCLUSIVE
    )


def _score(policy: str, workload: str, *options: str) -> dict[str, Any]:
    command = [SCHEDCP, "score", policy, "-w", workload, *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout) if done.stdout else {}
    if "ratio" not in result and result.get("rejection", {}).get("bug") != "guard":
        raise OSError(f"{policy} on {workload}: {result or done.stderr.strip()}")
    return dict(result)


def _result(result: dict[str, Any]) -> str:
    """A score in short; one that a guard rail rejects was measured as any other."""
    if "ratio" not in result:
        return f"rejected by its guard {result['rejection']['place']}"
    low, high = result["ratio"]["ci95"]
    return f"{result['ratio']['median']:.2f}x [{low:.2f}, {high:.2f}]"


FIGURES = {"smoke": smoke_figures, "again": again_figures, "aa": aa_figures}


def run(argv: Sequence[str] | None = None) -> int:
    """The figures; 1 if a target was missed."""
    return main("score_bench", FIGURES, argv)


if __name__ == "__main__":
    sys.exit(run())

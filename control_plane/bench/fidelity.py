# SPDX-License-Identifier: Apache-2.0
"""`make fidelity`: do the virtual clock and the host's rank policies alike? Writes docs/fidelity.md.

Every library policy is scored on every workload by both clocks, on a machine that should be otherwise idle. What is
written by hand below the figures stays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fidelity.md"
SCHEDCP = str(Path(sys.executable).parent / "schedcp")
MARK = "<!-- figures end here -->"
CLOCKS = ("virtual", "wall")
# Longest-job-first without a hint of the jobs' lengths is no more than a queue; only the ratio of the hints counts.
KNOBS = {("ljf", "batch"): ["job_comm=batch-long,batch-short", "job_cpu_ns=20000000,1000000"]}


@dataclass(frozen=True, slots=True)
class Measured:
    """One policy on one workload by one clock: the ratio to EEVDF with its 95 % interval, or why there is none."""

    workload: str
    policy: str
    clock: str
    ratio: float
    ci95: tuple[float, float]
    failure: str = ""


def spearman(left: list[float], right: list[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank; nan without variance."""
    ranked = [_ranks(values) for values in (left, right)]
    if min(np.std(values) for values in ranked) == 0:
        return float("nan")
    return float(np.corrcoef(*ranked)[0, 1])


def _ranks(values: list[float]) -> Any:
    return np.array([np.mean([sum(v < w for v in values), sum(v <= w for v in values) - 1]) for w in values])


def disagreements(measured: list[Measured]) -> list[str]:
    """The pairs of policies that one clock surely (intervals apart) orders one way and the other the other way."""
    contradictions = []
    for workload in sorted({entry.workload for entry in measured}):
        by = {
            (entry.policy, entry.clock): entry for entry in measured if entry.workload == workload and not entry.failure
        }
        names = sorted({name for name, clock in by if all((name, other) in by for other in CLOCKS)})
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                signs = [_order(by[first, clock], by[second, clock]) for clock in CLOCKS]
                if signs[0] * signs[1] < 0:
                    better = [first if sign > 0 else second for sign in signs]
                    contradictions.append(
                        f"{workload}: {better[0]} is better in virtual time, {better[1]} by the wall clock"
                    )
    return contradictions


def _order(first: Measured, second: Measured) -> int:
    """1 if `first` is surely better, -1 if `second` is, 0 if the intervals meet."""
    return int(first.ci95[0] > second.ci95[1]) - int(second.ci95[0] > first.ci95[1])


def measure(workload: str, policy: str, clock: str, pairs: int) -> Measured:
    """One `schedcp score` by that clock; by the wall clock the guest boots, in virtual time it has a snapshot."""
    knobs = [part for knob in KNOBS.get((policy, workload), []) for part in ("--knob", knob)]
    command = [SCHEDCP, "score", policy, "-w", workload, "--pairs", str(pairs), "--clock", clock, "--json", *knobs]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    score = json.loads(done.stdout or "{}")
    if "ratio" not in score or score["clock"] != clock:
        return Measured(workload, policy, clock, 0.0, (0.0, 0.0), str(score.get("error") or score.get("rejection")))
    low, high = score["ratio"]["ci95"]
    return Measured(workload, policy, clock, score["ratio"]["median"], (low, high))


def page(measured: list[Measured], *, where: str) -> str:
    """The generated part of the page."""
    lines = [
        "# Does virtual time rank policies as the wall clock does?", "",
        f"Written by `make fidelity` on {where}. Ratios are to EEVDF (above 1: better), with their 95 % intervals.", "",
    ]  # fmt: skip
    for workload in sorted({entry.workload for entry in measured}):
        by = {(entry.policy, entry.clock): entry for entry in measured if entry.workload == workload}
        names = sorted({name for name, _ in by}, key=lambda name: -by[name, "virtual"].ratio)
        complete = [name for name in names if not any(by[name, clock].failure for clock in CLOCKS)]
        rho = spearman(*([by[name, clock].ratio for name in complete] for clock in CLOCKS))
        lines += [f"## {workload}", "", "| policy | virtual time | wall clock |", "|---|---|---|"]
        lines += [f"| {name} | {_cell(by[name, 'virtual'])} | {_cell(by[name, 'wall'])} |" for name in names]
        lines += ["", f"Rank correlation (Spearman) of {len(complete)} policies: {rho:.2f}.", ""]
    apart = disagreements(measured)
    lines += ["## Where they surely disagree", ""]
    lines += [f"- {line}" for line in apart] or ["Nowhere: no two policies are surely in opposite order."]
    return "\n".join(lines) + "\n"


def _cell(entry: Measured) -> str:
    return entry.failure or f"{entry.ratio:.3f}x [{entry.ci95[0]:.3f}, {entry.ci95[1]:.3f}]"


def main() -> None:
    """Measure everything and write the page."""
    listed = subprocess.run([SCHEDCP, "policies", "--json"], capture_output=True, text=True, check=True).stdout
    policies = [policy["id"] for policy in json.loads(listed)["policies"]]
    workloads = sorted(path.stem for path in (ROOT / "benchmarks/workloads").glob("*.toml"))
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    measured = []
    for workload in workloads:
        for policy in policies:
            for clock in CLOCKS:
                measured.append(measure(workload, policy, clock, pairs))
                sys.stderr.write(f"{workload} {policy} {clock}: {_cell(measured[-1])}\n")
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    where = f"{day}, {os.cpu_count()} host CPUs, load {os.getloadavg()[1]:.1f}, {pairs} pairs a score"
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[2] if PAGE.is_file() else "\n"
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(measured, where=where) + f"\n{MARK}{by_hand}", encoding="utf-8")


if __name__ == "__main__":
    main()

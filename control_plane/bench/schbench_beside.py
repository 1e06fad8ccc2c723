# SPDX-License-Identifier: Apache-2.0
"""`python -m control_plane.bench.schbench_beside --schbench PATH`: a schbench of the user's beside our model of it.

Both run with the options of preset `schbench`, one guest a run, on the machine that `--machine` names: EEVDF's figures
have to be within LIMIT of each other, and the policies in one order by the preset's metric.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from benchmarks.schbench import read_binary, result_of
from benchmarks.workloads import Workload, arguments, job_files, program_of
from bpf.build import compile_policy
from bpf.library import policies, policy
from control_plane.bench.timed import DEADLINE_S, STEP_S, check_all
from policy_lake.errors import SchedcpError
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.printed import number
from tasks.host.guest import Guest, prepare_guest, shape_of
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload
from verifier_vm.machine.vm import run

PRESET = "schbench"
LIMIT = 0.15
BASELINE = "EEVDF"  # the kernel's; the library has a policy `eevdf`
FIGURES = {"rps": "requests/s", "request_p99_us": "request p99, us", "wakeup_p99_us": "wake-up p99, us"}
METRIC = "request_p99_us"  # the preset's, lower is better


@dataclass(frozen=True, slots=True)
class Beside:
    """One policy's figures by their names in FIGURES: of the user's binary, and of our model."""

    policy: str
    original: Mapping[str, float]
    model: Mapping[str, float]

    def apart(self, figure: str) -> float:
        """By which share of the original's figure the model's is above it."""
        return self.model[figure] / self.original[figure] - 1

    @property
    def line(self) -> str:
        """A row of the table, in Markdown."""
        cells = [f"{self.original[f]:.0f} | {self.model[f]:.0f} | {self.apart(f):+.0%}" for f in FIGURES]
        return f"| {self.policy} | {' | '.join(cells)} |"


def order(rows: Sequence[Beside], side: str) -> list[str]:
    """The policies by METRIC, best first; `side` is `original` or `model`."""
    return [row.policy for row in sorted(rows, key=lambda row: float(getattr(row, side)[METRIC]))]


def swapped(rows: Sequence[Beside]) -> list[str]:
    """The pairs of policies that are in another order, with the first's METRIC over the second's on each side."""
    found = []
    for one, other in combinations(rows, 2):
        there, here = (
            of[0][METRIC] / of[1][METRIC] for of in ((one.original, other.original), (one.model, other.model))
        )
        if (there - 1) * (here - 1) < 0:
            found.append(f"{one.policy} / {other.policy}: original {there:.2f}, model {here:.2f}")
    return found


def head() -> list[str]:
    """The table's first two lines."""
    names = [f"{name}: original | model | " for name in FIGURES.values()]
    return [f"| policy | {'| '.join(names)}|", "|---|" + "---|" * (3 * len(FIGURES))]


def _figures(chosen: Workload, name: str, guest: Guest, seed: int) -> dict[str, float]:
    of = guest.machine
    words = (program_of(chosen), *arguments(chosen, seed=seed, accel=of.accel, user_ps=of.user_ps))
    files, steps = dict(job_files(chosen)), [GuestStep("run", words, name, timeout_s=STEP_S)]
    if name != BASELINE:
        built = compile_policy(policy(name).source, name=name, vmlinux_dir=guest.kernel.headers)
        files["policy.bpf.o"] = built.data
        steps = [GuestStep("attach", ("policy.bpf.o",), "attach"), *steps, GuestStep("detach", (), "detach")]
    report = run(GuestJob(files, tuple(steps), seed), guest.machine, deadline_s=DEADLINE_S)
    check_all(steps, report)
    ran = report.ran(name)
    printed = result_of(chosen, ran.out, ran.err, where=name)
    return {figure: number(printed, figure, where=name, zero=False) for figure in FIGURES}


def beside(name: str, both: tuple[Workload, Workload], guest: Guest, runs: int) -> Beside:
    """The medians of so many runs with the original and with the model, with the same seeds."""
    sides = []
    for chosen in both:
        of = [_figures(chosen, name, guest, seed) for seed in range(1, runs + 1)]
        sides.append({figure: statistics.median(one[figure] for one in of) for figure in FIGURES})
    return Beside(name, *sides)


def _asked(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="schbench_beside")
    parser.add_argument("--schbench", type=Path, required=True, help="a static binary of the original")
    parser.add_argument("--machine", default="host", help="as `schedcp score` takes it")
    parser.add_argument("--runs", type=int, default=3, help="of each policy, of each program")
    parser.add_argument("--work", default="runtime_ms=1000 spread=0", help="numbers of the preset; whole seconds")
    parser.add_argument("--policies", nargs="*", default=[one.id for one in policies()], help="of the library")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the rows as they come, and the orders; 1 where EEVDF's figures are apart, or the order is another."""
    asked = _asked(argv)
    settings = load_settings().model_copy(update={"machine": asked.machine, "tier": "smoke", "work": asked.work})
    try:
        with_binary = settings.model_copy(update={"schbench": asked.schbench})
        read_binary(asked.schbench)
        for name in asked.policies:  # before the first run, not after an hour of them
            policy(name)
        both = find_workload(PRESET, with_binary), find_workload(PRESET, settings)
        guest = prepare_guest(settings, shape_of(settings, both[1].cpus))
        print(*head(), sep="\n", flush=True)
        rows = []
        for name in (BASELINE, *asked.policies):
            rows.append(beside(name, both, guest, asked.runs))
            print(rows[-1].line, flush=True)
    except SchedcpError as error:
        print(f"schbench_beside: {error}", file=sys.stderr)
        return 2
    for side in ("original", "model"):
        print(f"{side}: {' < '.join(order(rows, side))}")
    other = swapped(rows)
    print(*(f"in another order: {line}" for line in other), sep="\n")
    return int(bool(other) or any(abs(rows[0].apart(figure)) > LIMIT for figure in FIGURES))


if __name__ == "__main__":
    sys.exit(main())

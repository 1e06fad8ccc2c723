# SPDX-License-Identifier: Apache-2.0
"""`python -m control_plane.bench.clock`: what the virtual clock promises, measured on this machine in one run."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.measurement import WARM_UP
from benchmarks.scoring import pair_seed
from benchmarks.statistics import orders
from benchmarks.workloads import arguments
from control_plane.bench import clock_cost
from control_plane.bench.clock_cost import CLOCKS, QUICK, Sizes
from control_plane.bench.figures import Figure, line
from control_plane.bench.machine import machine_figures
from control_plane.bench.pair_runs import POLICY, SEED, PairRun, busy_host, repeated_scores, score_job, score_once
from control_plane.bench.timed import guest_of, step, timed_run
from policy_lake.errors import SchedcpError
from policy_lake.guest import GuestJob
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload


def spread(values: Sequence[float]) -> float:
    """(max - min) / median."""
    return (max(values) - min(values)) / statistics.median(values)


def repeatability_figures(sizes: Sizes) -> list[Figure]:
    """The same score again and again while two processes keep the host busy."""
    figures = []
    for clock in CLOCKS:
        done, required = repeated_scores(clock, sizes.scores), clock == "virtual"
        few = f"; {len(done)} scores, for {sizes.scores} take more than 3 minutes" if len(done) < sizes.scores else ""
        for who, values in (
            ("eevdf", [pair.eevdf_ms for pair in done]),
            (POLICY, [pair.policy_ms for pair in done]),
        ):
            measured = f"{spread(values):.3%} of {statistics.median(values):.1f} ms{few}"
            name, target = f"{len(done)} on a busy host, {clock}, {who}", "<= 0.5 %" if required else "none"
            figures.append(Figure(name, measured, target, spread(values) <= 0.005, required=required))
    return figures


def identity_figures(sizes: Sizes) -> list[Figure]:
    """One snapshot: one seed on a quiet and on a busy host, then another seed."""
    guest = guest_of()
    job = score_job(guest, seed=SEED)
    quiet = [score_once(job, guest.machine) for _ in range(sizes.identical)]
    with busy_host():
        busy = [score_once(job, guest.machine) for _ in range(sizes.identical)]
    other = score_once(replace(job, seed=SEED + 1), guest.machine)
    return [same_figure(quiet, busy), other_seed_figure(quiet[0], other)]


def same_figure(quiet: Sequence[PairRun], busy: Sequence[PairRun]) -> Figure:
    """Whether all these runs were one and the same."""
    traces = {pair.trace for pair in (*quiet, *busy)}
    measured = f"{len(traces)} different of {len(quiet)} quiet and {len(busy)} busy ({quiet[0].trace})"
    return Figure("one seed: switches and slots", measured, "1, all equal", len(traces) == 1 and "" not in traces)


def other_seed_figure(first: PairRun, other: PairRun) -> Figure:
    """Another seed is another run, of which the result is about the same."""
    traces = "other hashes" if first.trace != other.trace else "the SAME hashes"
    met = first.trace != other.trace and apart(first, other) <= 0.05
    return Figure("another seed", f"{traces}; {both(first, other)}", "other hashes, within 5 %", met)


def apart(first: PairRun, other: PairRun) -> float:
    """By how much the makespans differ, relatively, where they differ most."""
    return max(abs(other.eevdf_ms / first.eevdf_ms - 1), abs(other.policy_ms / first.policy_ms - 1))


def both(first: PairRun, other: PairRun) -> str:
    """The makespans side by side."""
    return (
        f"eevdf {first.eevdf_ms:.2f} and {other.eevdf_ms:.2f} ms, "
        f"{POLICY} {first.policy_ms:.2f} and {other.policy_ms:.2f} ms"
    )


def aa_figures(sizes: Sizes) -> list[Figure]:
    """EEVDF against EEVDF: pairs in one guest, taking turns, each pair with a seed of its own."""
    figures = []
    # A pair's percentiles differ by more than a pair's makespans: 3 times as many tell what is left of it.
    for name, more, metrics in (("batch", 1, {"makespan_ms": 0.003}), ("wakeup", 3, {"p50_us": 0.003, "p99_us": 0.03})):
        workload, guest, pairs = find_workload(name, load_settings()), guest_of(), sizes.pairs * more
        args = [arguments(workload, seed=pair_seed(SEED, n), accel=guest.machine.accel) for n in range(pairs)]
        sides = [(f"{role}-{n}", args[n]) for n, order in enumerate(orders(pairs)) for role in order]
        steps = (step(WARM_UP, name, *args[0]), *(step(label, name, *arg) for label, arg in sides))
        done = timed_run(GuestJob({}, steps, SEED), guest.machine)
        for metric, limit in metrics.items():
            metric_values = {label: float(done.out(label)[metric]) for label, _ in sides}
            ratios = [metric_values[f"baseline-{n}"] / metric_values[f"policy-{n}"] for n in range(pairs)]
            figures.append(aa_figure(f"A/A, {name} {metric}", ratios, limit))
    return figures


def aa_figure(name: str, ratios: Sequence[float], limit: float) -> Figure:
    """The median of the ratios, its standard error (1.25 times a mean's), and how far single ones go."""
    middle, error = statistics.median(ratios), 1.2533 * statistics.stdev(ratios) / len(ratios) ** 0.5
    single = f"single ones from {min(ratios):.4f} to {max(ratios):.4f}"
    measured = f"{middle:.4f} (standard error {error:.4f}) of {len(ratios)} pairs, {single}"
    return Figure(name, measured, f"1 +- {limit}", abs(middle - 1) <= limit)


def cold_figures(_: Sizes) -> list[Figure]:
    """Booted against restored, and a snapshot made from nothing, as another host would make its own."""
    guest = guest_of()
    job = score_job(guest, seed=SEED)
    warm, cold = score_once(job, guest.machine), score_once(job, guest_of(cold=True).machine)
    with tempfile.TemporaryDirectory(prefix="clock-bench-") as scratch:
        anew = score_once(job, replace(guest.machine, snapshots=Path(scratch)))
    measured = f"{apart(warm, cold):.3%} ({both(warm, cold)})"
    equal = "the same run" if anew.trace == warm.trace else f"ANOTHER run ({anew.trace}, not {warm.trace})"
    return [
        Figure("cold against warm", measured, "<= 1 %", apart(warm, cold) <= 0.01),
        Figure("a snapshot from nothing", equal, "the same run", anew.trace == warm.trace != ""),
    ]


def large_figures(_: Sizes) -> list[Figure]:
    """A 16-vCPU, 2-LLC guest."""
    guest = guest_of(cpus=16, llcs=2)
    return [large_figure(score_once(score_job(guest, seed=SEED), guest.machine))]


def large_figure(pair: PairRun) -> Figure:
    """The ratio, not better than arithmetic allows and not absurdly worse than EEVDF's."""
    ratio, bound = pair.eevdf_ms / pair.policy_ms, pair.eevdf_ms / pair.bound_ms
    measured = f"{ratio:.3f}x, bound {bound:.3f}x (eevdf {pair.eevdf_ms:.1f} ms, {POLICY} {pair.policy_ms:.1f} ms)"
    return Figure("16 vCPUs, 2 LLCs", measured, "0.9 to bound + 2 %", 0.9 <= ratio <= bound * 1.02)


FIGURES: dict[str, Callable[[Sizes], list[Figure]]] = {
    "repeatability": repeatability_figures, "identity": identity_figures, "aa": aa_figures, "cold": cold_figures,
    "cost": clock_cost.cost_figures, "scale": clock_cost.scale_figures, "idle": clock_cost.idle_figures,
    "answer": clock_cost.answer_figures, "verify": clock_cost.verify_figures,
    "throughput": clock_cost.throughput_figures, "large": large_figures,
    "machine": lambda sizes: machine_figures(sizes.repeats),
}  # fmt: skip


def measured_figures(name: str, sizes: Sizes) -> list[Figure]:
    """The figures of that name; one that cannot be had is a missed one that says why, and the others go on."""
    try:
        return FIGURES[name](sizes)
    except (SchedcpError, subprocess.CalledProcessError) as error:
        return [Figure(name, f"failed: {error}", "a figure", False)]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures as they come; 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="clock_bench", description="The virtual clock's figures, on this machine.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="tiny counts: whether it runs, not what it measures")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end, and the lines on stderr")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.figures if name not in FIGURES]:
        parser.error(f"unknown figure '{unknown[0]}'; known: {', '.join(FIGURES)}")
    lines = sys.stderr if options.json else sys.stdout
    where = f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before, {os.uname().release}"
    where += ", quick: too few counts to mean much" * options.quick
    print(f"measured on: {where}", file=lines, flush=True)
    figures: list[Figure] = []
    for name in options.figures or FIGURES:
        for figure in measured_figures(name, QUICK if options.quick else Sizes()):
            print(line(figure), file=lines, flush=True)
            figures.append(figure)
    if options.json:
        print(json.dumps({"where": where, "quick": options.quick, "figures": [asdict(figure) for figure in figures]}))
    return 1 if any(figure.missed for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())

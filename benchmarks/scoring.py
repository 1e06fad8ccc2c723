# SPDX-License-Identifier: Apache-2.0
"""Score: interleaved pairs of EEVDF and a policy in one boot, each counted only with proof of what was scheduling."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import statistics
from benchmarks.measurement import WARM_UP, Outputs, measure
from benchmarks.workloads import Accel, Workload, arguments, descriptor_sha256, program_of
from policy_lake.guest import GuestStep
from policy_lake.model import Clock, InputError, KnobValue, Pair, Rejection, Score

BASELINE = "eevdf"
# A guest takes 512 steps, and a pair is four of them.
_MOST_PAIRS = 100


def score_steps(
    workload: Workload, *, object_name: str, knob_arguments: Sequence[str], pairs: int, seed: int, accel: Accel
) -> tuple[GuestStep, ...]:
    """The steps of one score: a warm-up that does not count, then `pairs` pairs, each with a seed of its own.

    The policy is attached before each of its runs and detached after, so that every baseline run has a fresh EEVDF.
    The first run in a guest pays for page cache and lazy set-up. Raises InputError on fewer than 2 pairs.
    """
    if not 2 <= pairs <= _MOST_PAIRS:
        raise InputError(f"a score needs from 2 to {_MOST_PAIRS} pairs, not {pairs}: one pair has no interval")

    def run(label: str, pair: int) -> GuestStep:
        args = (program_of(workload), *arguments(workload, seed=pair_seed(seed, pair), accel=accel))
        return GuestStep("run", args, label=label, timeout_s=workload.timeout_s)

    steps = [run(WARM_UP, 0)]
    for pair, order in enumerate(statistics.orders(pairs)):
        for role in order:
            if role == "baseline":
                steps.append(run(f"baseline-{pair}", pair))
            else:
                steps.append(GuestStep("attach", (object_name, *knob_arguments), label=f"attach-{pair}"))
                steps.append(run(f"policy-{pair}", pair))
                steps.append(GuestStep("detach", label=f"detach-{pair}"))
    return tuple(steps)


def pair_seed(seed: int, pair: int) -> int:
    """The workload's seed in pair number `pair`: shared by its two runs, and by no pair of another `seed`."""
    return seed * _MOST_PAIRS + pair


def read_score(
    workload: Workload,
    events: Sequence[Mapping[str, Any]],
    *,
    policy: str,
    settings: Mapping[str, KnobValue],
    pairs: int,
    seed: int,
    cpus: int,
    clock: Clock,
    kernel: str,
    accel: str,
    topology: str = "",
    versions: Mapping[str, str] | None = None,
    run_id: str = "",
    candidate: str = "",
) -> Score | Rejection:
    """The score in the events of `score_steps` (same `pairs` and `seed`), or the rejection of a policy that failed.

    Rejected in stage "score": a policy that does not attach, is not the scheduler all through its run, or under which
    the workload fails or does not end. Raises InfraError where the report is incomplete, proves nothing, or the
    baseline failed; InputError naming the field where the workload's output lacks a metric.
    """
    measured = measure(workload, events, pairs)
    if isinstance(measured, Rejection):
        return measured
    baselines, policies = measured
    metric = workload.metric
    both = zip(baselines, policies, strict=True)
    compared = tuple(Pair(b[metric], p[metric], pair_seed(seed, i)) for i, (b, p) in enumerate(both))
    ratio = statistics.ratio(compared, lower_is_better=workload.direction == "lower", seed=seed)
    where = [cpus, topology, clock, kernel, accel, workload.tier]
    identity = [run_id, candidate, workload.id, policy, sorted(settings.items()), *where, seed]
    measures = [[pair.baseline, pair.policy] for pair in compared]
    return Score(
        id=hashlib.sha256(json.dumps([identity, measures]).encode()).hexdigest()[:16],
        workload=workload.id,
        policy=policy,
        baseline=BASELINE,
        settings=dict(settings),
        metric=metric,
        unit=workload.unit,
        clock=clock,
        cpus=cpus,
        topology=topology,
        pairs=compared,
        ratio=ratio,
        bound=_bound(workload, baselines, policies),
        attached=True,
        outcome=statistics.outcome(ratio),
        run_id=run_id,
        candidate=candidate,
        kernel=kernel,
        accel=accel,
        versions={**_workload_versions(workload), **(versions or {})},
        also=_also(workload, baselines, policies),
        tier=workload.tier,
    )


def _workload_versions(workload: Workload) -> dict[str, str]:
    """What it takes to find this workload again, and to know it from one that was changed since."""
    versions = {"workload_sha256": descriptor_sha256(workload), "workload_file": workload.file}
    if workload.binary:
        versions |= {"binary": workload.binary.path, "binary_sha256": workload.binary.sha256}
    return versions


def _bound(workload: Workload, baselines: Outputs, policies: Outputs) -> float | None:
    """The best ratio that arithmetic allows: the baseline's median over the least value of the metric for this work.

    That is the lesser of the two sides' medians of it, because CPU time is itself a matter of scheduling (caches, and
    in an emulated guest the TLB): by the baseline's alone, a policy that switches less can seem to beat arithmetic.
    """
    if not workload.bound:
        return None
    least = min(_median(baselines, workload.bound), _median(policies, workload.bound))
    return _median(baselines, workload.metric) / least


def _also(workload: Workload, baselines: Outputs, policies: Outputs) -> dict[str, float]:
    """The medians on both sides of the guards, and of what the bound is made from: what the ratio does not tell."""
    also = {}
    for name in [*([workload.bound] if workload.bound else []), *(guard.metric for guard in workload.guards)]:
        also[f"baseline_{name}"] = _median(baselines, name)
        also[f"policy_{name}"] = _median(policies, name)
    return also


def _median(outputs: Outputs, name: str) -> float:
    return float(np.median([output[name] for output in outputs]))

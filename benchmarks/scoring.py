# SPDX-License-Identifier: Apache-2.0
"""Score: runs of a policy beside runs of EEVDF with the same seeds; by the wall clock, both in one guest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks import statistics
from benchmarks.measurement import WARM_UP, Measured, Outputs, attached_labels
from benchmarks.rounds import Rounds
from benchmarks.sequential import detectable, log_ratios, look
from benchmarks.workloads import Accel, Workload, arguments, program_of
from policy_lake.guest import GuestStep
from policy_lake.limits import PAIRS_A_SEED
from policy_lake.machine_model import Paid
from policy_lake.model import Candidate, Clock
from policy_lake.scores import Control, Pair, Provenance, Ratio, Score

BASELINE = "eevdf"


@dataclass(frozen=True, slots=True)
class Contender:
    """What is attached for a run: an object of the guest's job, and the loader's `KNOB=VALUE` words."""

    object_name: str
    arguments: tuple[str, ...] = ()


def score_steps(
    workload: Workload,
    rounds: Rounds,
    *,
    seed: int,
    accel: Accel,
    policy: Contender | None,
    control: Contender | None = None,
    user_ps: int = 0,
) -> tuple[GuestStep, ...]:
    """The steps of one score: a warm-up that does not count, then the rounds, each with a seed of its own.

    The policy is attached before each of its runs and detached after, so that every baseline run has a fresh EEVDF.
    The first run in a guest pays for page cache and lazy set-up. `policy` is None in an A/A run.
    """

    def run(label: str, pair: int) -> GuestStep:
        args = (program_of(workload), *arguments(workload, seed=pair_seed(seed, pair), accel=accel, user_ps=user_ps))
        return GuestStep("run", args, label=label, timeout_s=workload.timeout_s)

    steps = [run(WARM_UP, rounds.first)]
    for pair, role in rounds.turns():
        contender = control if role == "control" else policy
        if not rounds.attaches(role) or contender is None:
            steps.append(run(f"{role}-{pair}", pair))
            continue
        attach, label, detach = attached_labels(role, pair)
        steps.append(GuestStep("attach", (contender.object_name, *contender.arguments), label=attach))
        steps += [run(label, pair), GuestStep("detach", label=detach)]
    return tuple(steps)


def pair_seed(seed: int, pair: int) -> int:
    """The workload's seed in pair number `pair`: shared by its runs, and by no pair of another `seed`."""
    return seed * PAIRS_A_SEED + pair


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a score tells beside its figures: where it was measured, of what, and what it is held against.

    `floor` is the ratio by which equal runs of the workload differ, `control` the name of a second control's policy,
    `confirms` the score that this one repeats, `measurements` the runs' ids, `paid` a machine's costs by role.
    """

    candidate: Candidate
    provenance: Provenance
    clock: Clock
    kernel: str
    accel: str
    topology: str
    floor: float | None = None
    control: str = ""
    confirms: str = ""
    measurements: tuple[str, ...] = ()
    paid: dict[str, Paid] = field(default_factory=dict)


def read_score(workload: Workload, measured: Measured, where: Circumstances) -> Score:
    """The score of what was measured: `measured` has as many runs of the policy as of the baseline, in equal order.

    Its outcome is taken from the anytime-valid interval, since whether to measure more was asked on the way.
    ValueError below two pairs.
    """
    baselines, policies = measured["baseline"], measured["policy"]
    candidate, seed, lower = where.candidate, where.provenance.plan.seed, workload.direction == "lower"
    compared = score_pairs(workload, measured, seed)
    ratio = statistics.ratio(compared, lower_is_better=lower, seed=seed)
    logs = log_ratios(compared, lower_is_better=lower)
    interval = look(logs)
    deciding = Ratio(ratio.median, (interval.low, interval.high))
    outcome, doubt = statistics.outcome(deciding, floor=where.floor or 1.0)
    return Score(
        id=_score_id(workload, compared, where),
        workload=workload.id,
        policy=candidate.policy,
        baseline=BASELINE,
        knob_values=dict(candidate.knob_values),
        metric=workload.metric,
        unit=workload.unit,
        clock=where.clock,
        cpus=where.provenance.cpus,
        topology=where.topology,
        pairs=compared,
        ratio=ratio,
        bound=_bound(workload, baselines, policies),
        attached=True,
        outcome=outcome,
        doubt=doubt,
        run_id=candidate.run_id,
        candidate=candidate.id,
        kernel=where.kernel,
        accel=where.accel,
        provenance=where.provenance,
        also=_also(workload, baselines, policies),
        tier=workload.tier,
        seed=seed,
        anytime95=(interval.low, interval.high) if np.isfinite(interval.high) else None,
        detectable=detectable(logs),
        ratios=_ratios(workload, baselines, policies, seed),
        control=_control(workload, measured, where.control, seed) if where.control else None,
        floor=where.floor,
        confirms=where.confirms,
        measurements=where.measurements,
        paid=dict(where.paid),
        uncorrected=candidate.uncorrected,
    )


def _score_id(workload: Workload, pairs: Sequence[Pair], where: Circumstances) -> str:
    of, candidate = where.provenance, where.candidate
    place = [of.cpus, where.topology, where.clock, where.kernel, where.accel, workload.tier]
    knob_values = sorted(candidate.knob_values.items())
    identity = [candidate.run_id, candidate.id, workload.id, candidate.policy, knob_values, *place, of.plan.seed]
    measures = [[pair.baseline, pair.policy] for pair in pairs]
    return hashlib.sha256(json.dumps([*identity, where.control, measures]).encode()).hexdigest()[:16]


def score_pairs(workload: Workload, measured: Measured, seed: int) -> tuple[Pair, ...]:
    """The pairs of the workload's own metric, in order."""
    return _pairs(measured["baseline"], measured["policy"], workload.metric, seed)


def _pairs(baselines: Outputs, policies: Outputs, metric: str, seed: int) -> tuple[Pair, ...]:
    both = zip(baselines, policies, strict=True)
    return tuple(Pair(b[metric], p[metric], pair_seed(seed, index)) for index, (b, p) in enumerate(both))


def _ratios(workload: Workload, baselines: Outputs, policies: Outputs, seed: int) -> dict[str, Ratio]:
    """The ratio of every metric of which one can be taken: of a guard that was 0 in a run there is none."""
    ratios = {}
    for metric, direction in ((guard.metric, guard.direction) for guard in workload.guards):
        pairs = _pairs(baselines, policies, metric, seed)
        if all(pair.baseline > 0 and pair.policy > 0 for pair in pairs):
            ratios[metric] = statistics.ratio(pairs, lower_is_better=direction == "lower", seed=seed)
    return ratios


def _control(workload: Workload, measured: Measured, control: str, seed: int) -> Control:
    """The policy against the second control, in the same rounds."""
    pairs = _pairs(measured["control"], measured["policy"], workload.metric, seed)
    ratio = statistics.ratio(pairs, lower_is_better=workload.direction == "lower", seed=seed)
    median = float(np.median([pair.baseline for pair in pairs]))
    return Control(control, median, ratio, statistics.outcome(ratio)[0])


def _bound(workload: Workload, baselines: Outputs, policies: Outputs) -> float | None:
    """The best ratio that arithmetic allows: the median over pairs, as the ratio is, of the baseline over the least.

    The least is the lesser of the two sides', because CPU time is itself a matter of scheduling (caches, and in an
    emulated guest the TLB): by the baseline's alone, a policy that switches less can seem to beat arithmetic. Pair by
    pair, because work differs from seed to seed: a quotient of two medians can lie below a ratio that no pair exceeds.
    """
    if not workload.bound:
        return None
    least = [
        min(base[workload.bound], policy[workload.bound]) for base, policy in zip(baselines, policies, strict=True)
    ]
    best = [np.log(run[workload.metric] / low) for run, low in zip(baselines, least, strict=True)]
    return float(np.exp(np.median(best)))


def _also(workload: Workload, baselines: Outputs, policies: Outputs) -> dict[str, float]:
    """The medians on both sides of the guards, and of what the bound is made from: what the ratio does not tell."""
    also = {}
    for name in [*([workload.bound] if workload.bound else []), *(guard.metric for guard in workload.guards)]:
        also[f"baseline_{name}"] = _median(baselines, name)
        also[f"policy_{name}"] = _median(policies, name)
    return also


def _median(outputs: Outputs, name: str) -> float:
    return float(np.median([output[name] for output in outputs]))

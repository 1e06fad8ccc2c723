# SPDX-License-Identifier: Apache-2.0
"""One trial, from a candidate to a verdict and a score, as a generator that asks for work and is sent the results.

So the order of steps is written once: `drive.py` runs many trials at once over a cluster, or one in this process, and
shares what two of them ask for (EEVDF's runs).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.guards import guard_findings, over_by, worse_by
from benchmarks.measurement import Measured
from benchmarks.scoring import Circumstances, pair_seed, read_score, score_pairs
from benchmarks.sequential import decide, log_ratios, look
from benchmarks.statistics import floor_of, outcome, ratio
from benchmarks.workloads import Workload
from policy_lake.errors import InfraError
from policy_lake.events import Role
from policy_lake.machine_model import Paid, summed
from policy_lake.measurement import Measurement
from policy_lake.model import Finding, Rejection, Stage
from policy_lake.scores import MeasurementPlan, Outcome, Pair, Ratio, Score
from tasks.host.guest import Guest, prepare_guest
from tasks.trial.build import provenance_of
from tasks.trial.spec import (
    Asked,
    GoOn,
    Loadable,
    PairsWork,
    Prepared,
    Rounds,
    RunWork,
    Standing,
    Trial,
    TrialSpec,
    VerifyWork,
)
from tasks.trial.work import Result
from verifier_vm.verdict import stage_of, verdict_of

FLOOR_SEEDS = 500_000  # added to a guest's seed, for another run of the same work
FAILED_ADVICE = "the workload must end well under the policy, and the policy must stay attached and leave in good order"

Steps = Generator[Sequence[Asked], Sequence[Result], "Course | Rejection"]


@dataclass(frozen=True, slots=True)
class Course:
    """What was measured, and where; `behind` if a race ended it before it had the pairs that were asked for."""

    measured: Measured
    kernel: str
    accel: str
    floor: float | None = None
    measurements: tuple[str, ...] = ()
    paid: dict[str, Paid] = field(default_factory=dict)
    behind: bool = False


def trial(spec: TrialSpec) -> Generator[Sequence[Asked], Sequence[Result], Trial]:
    """Verify the candidate, measure it if it is accepted, score it, and hold it to the workload's guard rails."""
    (prepared,) = yield (VerifyWork(spec),)
    if not isinstance(prepared, Prepared):
        raise TypeError(f"a verification's result is no {type(prepared).__name__}")
    if not prepared.verdict.accepted or prepared.policy is None:
        return Trial(spec.candidate, prepared.verdict, None, warning=prepared.warning)
    stage, score = yield from scored(spec, prepared.policy, prepared.control)
    before = prepared.verdict
    verdict = verdict_of(
        [*before.stages, stage], ops=before.ops, data=prepared.policy.data, kernel=before.kernel,
        coverage=before.coverage,
    )  # fmt: skip
    return Trial(
        spec.candidate, verdict, score, prepared.policy.data, prepared.policy.arguments, prepared.btf_sha256,
        prepared.warning,
    )  # fmt: skip


def scored(
    spec: TrialSpec, policy: Loadable, control: Loadable | None = None
) -> Generator[Sequence[Asked], Sequence[Result], tuple[Stage, Score | None]]:
    """The stage `score` of an accepted policy, and its score; one that a guard rail rejects still has its figures."""
    start = time.monotonic()
    guest = prepare_guest(spec.settings, spec.shape)
    course = yield from measured(spec, policy, control, guest)
    if isinstance(course, Rejection):
        finding = Finding("workload", "reject", course.reason, spec.workload.id, FAILED_ADVICE, code=course.code)
        return stage_of("score", time.monotonic() - start, [finding], course.evidence), None
    score = score_of(spec, course, policy, guest)
    score = replace(score, over=over_by(spec.workload, score))
    if course.behind and score.outcome == "inconclusive":
        score = replace(score, doubt="behind")
    return stage_of("score", time.monotonic() - start, guard_findings(spec.workload, score)), score


def measured(spec: TrialSpec, policy: Loadable | None, control: Loadable | None, guest: Guest) -> Steps:
    """The runs of a score: each by itself in virtual time, else interleaved rounds by the wall clock."""
    if guest.machine.clock is not None:
        return (yield from _by_runs(spec, policy, control))
    return (yield from _by_rounds(spec, policy, control))


def score_of(spec: TrialSpec, course: Course, policy: Loadable | None, guest: Guest) -> Score:
    """The score of what was measured, with all that it takes to repeat it."""
    machine = guest.machine
    return read_score(
        spec.workload,
        course.measured,
        Circumstances(
            candidate=spec.candidate,
            provenance=provenance_of(spec, policy, guest),
            clock=machine.clock_name,
            kernel=course.kernel,
            accel=course.accel,
            topology=spec.shape.where,
            floor=course.floor,
            control=spec.control.policy if spec.control else "",
            confirms=spec.confirms,
            measurements=course.measurements,
            paid=course.paid,
        ),
    )


def baseline_runs(spec: TrialSpec, first: int, count: int) -> list[RunWork]:
    """EEVDF's runs of rounds `first` on, which every candidate of the workload shares."""
    return [_run(spec, None, number) for number in range(first, first + count)]


def floor_runs(spec: TrialSpec) -> list[RunWork]:
    """The first rounds' work under EEVDF once more, in guests of another seed: what equal runs differ by."""
    return [replace(work, guest_seed=work.guest_seed + FLOOR_SEEDS) for work in baseline_runs(spec, 0, spec.plan.pairs)]


def policy_runs(spec: TrialSpec, policy: Loadable) -> list[RunWork]:
    """A policy's runs of the first rounds, which are all where no more pairs are planned."""
    return [_run(spec, policy, number) for number in range(spec.plan.pairs)]


def _run(spec: TrialSpec, policy: Loadable | None, number: int) -> RunWork:
    seed = pair_seed(spec.plan.seed, number)
    return RunWork(spec.workload, spec.shape, spec.settings, policy, seed, seed)


def _by_runs(spec: TrialSpec, policy: Loadable | None, control: Loadable | None) -> Steps:
    plan, roles = spec.plan, _roles(policy, control)
    kept: dict[Role, list[Measurement]] = {role: [] for role in roles}
    # A policy's first run makes the snapshot that its others start from: whoever had a slot for one would wait for it.
    ahead = [_run(spec, under, 0) for under in roles.values() if under is not None]
    shared = [*baseline_runs(spec, 0, plan.pairs), *floor_runs(spec)]
    before = _measurements((yield (*ahead, *shared)))
    if policy is not None and isinstance(failed := _failure(spec, {"policy": before[:1]}), Rejection):
        return failed
    floor = before[len(ahead) + plan.pairs :]
    while True:
        first = len(kept["policy"])
        count = _next_count(plan, first)
        results = _measurements(
            (yield [_run(spec, under, number) for under in roles.values() for number in range(first, first + count)])
        )
        for index, role in enumerate(roles):
            kept[role] += results[index * count : (index + 1) * count]
        if isinstance(failed := _failure(spec, kept), Rejection):
            return failed
        course = _course(spec.workload, plan.seed, kept, floor)
        if policy is None or (first + count >= plan.pairs and not _go_on(spec, course.measured)):
            return course
        if plan.screen:
            (answer,) = yield (_standing(spec, course.measured),)
            if isinstance(answer, GoOn) and not answer.yes:
                return replace(course, behind=first + count < plan.pairs)


def _next_count(plan: MeasurementPlan, first: int) -> int:
    """How many pairs come next: a few to screen, those that were asked for, then lots of as many up to the most."""
    if first == 0 and plan.screen:
        return min(plan.screen, plan.pairs)
    if first < plan.pairs:
        return plan.pairs - first
    return max(1, min(plan.pairs, plan.most_pairs - first))


def _standing(spec: TrialSpec, figures: Measured) -> Standing:
    workload, lower = spec.workload, spec.workload.direction == "lower"
    logs = log_ratios(score_pairs(workload, figures, spec.plan.seed), lower_is_better=lower)
    medians = {
        f"{role}_{guard.metric}": float(np.median([run[guard.metric] for run in figures[role]]))
        for role in ("baseline", "policy") for guard in workload.guards
    }  # fmt: skip
    return Standing(tuple(logs), any(worse_by(guard, medians) > guard.limit for guard in workload.guards))


def _roles(policy: Loadable | None, control: Loadable | None) -> dict[Role, Loadable | None]:
    return {"policy": policy, "baseline": None, **({"control": control} if control else {})}


def _measurements(results: Sequence[Result]) -> list[Measurement]:
    runs = [result for result in results if isinstance(result, Measurement)]
    if len(runs) != len(results):
        raise TypeError("a run's result is no Measurement")
    return runs


def _failure(spec: TrialSpec, kept: dict[Role, list[Measurement]]) -> Rejection | None:
    for role, runs in kept.items():
        for number, run in enumerate(runs):
            if run.rejection is not None and role == "policy":
                return replace(run.rejection, reason=f"round {number}: {run.rejection.reason}")
            if run.rejection is not None:
                raise InfraError(f"the {role} failed on {spec.workload.id}: {run.rejection.reason}")
    return None


def equal_runs(spec: TrialSpec) -> Generator[Sequence[Asked], Sequence[Result], tuple[Ratio, Outcome]]:
    """EEVDF against itself in virtual time: the same work in guests of two seeds, and what would be made of it."""
    count = spec.plan.pairs
    runs = _measurements((yield (*baseline_runs(spec, 0, count), *floor_runs(spec))))
    pairs = _pairs_of(spec.workload, runs[:count], runs[count:])
    lower = spec.workload.direction == "lower"
    interval = look(log_ratios(pairs, lower_is_better=lower))
    middle = ratio(pairs, lower_is_better=lower, seed=spec.plan.seed)
    return middle, outcome(replace(middle, ci95=(interval.low, interval.high)))[0]


def _course(workload: Workload, seed: int, kept: dict[Role, list[Measurement]], floor: Sequence[Measurement]) -> Course:
    figures: Measured = {role: [run.metrics for run in runs] for role, runs in kept.items()}
    pairs = _pairs_of(workload, kept["baseline"], floor)
    equal = floor_of(ratio(pairs, lower_is_better=workload.direction == "lower", seed=seed))
    first = kept["baseline"][0]
    roles: tuple[Role, ...] = ("policy", "baseline")
    ids = tuple(run.id for role in roles for run in kept[role])
    return Course(figures, first.kernel, first.accel, equal, ids, _paid(kept))


def _paid(kept: dict[Role, list[Measurement]]) -> dict[str, Paid]:
    """What the machine's costs came to in all runs of a role; none where no machine was given."""
    by_role = {role: [run.paid for run in runs if run.paid is not None] for role, runs in kept.items()}
    return {role: summed(paid) for role, paid in by_role.items() if paid}


def _pairs_of(workload: Workload, runs: Sequence[Measurement], beside: Sequence[Measurement]) -> list[Pair]:
    both = zip(runs, beside, strict=False)
    return [Pair(run.metrics[workload.metric], other.metrics[workload.metric]) for run, other in both]


def _by_rounds(spec: TrialSpec, policy: Loadable | None, control: Loadable | None) -> Steps:
    plan, figures = spec.plan, Measured()
    while True:
        first = len(figures.get("policy", ()))
        count = plan.pairs if first == 0 else max(1, min(plan.pairs, plan.most_pairs - first))
        work = PairsWork(spec.workload, spec.shape, spec.settings, policy, control, plan.seed, first, count)
        (rounds,) = yield (work,)
        if not isinstance(rounds, Rounds):
            raise TypeError(f"rounds are no {type(rounds).__name__}")
        if isinstance(rounds.measured, Rejection):
            return rounds.measured
        for role, outputs in rounds.measured.items():
            figures.setdefault(role, []).extend(outputs)
        if policy is None or not _go_on(spec, figures):
            return Course(figures, rounds.kernel, rounds.accel, spec.floor)


def _go_on(spec: TrialSpec, figures: Measured) -> bool:
    lower = spec.workload.direction == "lower"
    logs = log_ratios(score_pairs(spec.workload, figures, spec.plan.seed), lower_is_better=lower)
    return spec.plan.most_pairs > spec.plan.pairs and decide(logs, most=spec.plan.most_pairs) == "go on"

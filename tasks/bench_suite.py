# SPDX-License-Identifier: Apache-2.0
"""The public benchmark run: policies as they are, and planners with a budget, on every case of a suite."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.suite import Case, Digits, Suite, digits_of, suite
from benchmarks.suite_result import CaseResult, Frozen, SuiteResult, Total
from bpf.library import policies, policy
from policy_lake.doing import doing
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.limits import MAX_RUNS, MEMORY_MIB
from policy_lake.measurement import Measurement
from policy_lake.scores import MeasurementPlan, Outcome, Ratio, Score
from tasks.compare import CompareRequest, compare
from tasks.host.guest import Shape, prepare_guest, shape_for
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.plan import candidate_of
from tasks.planners.makers import MAKERS
from tasks.trial.build import provenance_of
from tasks.trial.local import run_here
from tasks.trial.spec import Asked, TrialSpec
from tasks.trial.trial import baseline_runs, trial
from tasks.trial.work import Result

OF = ("kernel_sha256", "image_sha256", "qemu", "clock")  # what digits hang on beside their case
ROOM = 1.02  # a bound below leaves less to win than counts as a win
RESAMPLES = 10_000
NOTHING = Ratio(1.0, (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class SuiteRequest:
    """Which cases and contenders; InputError for names that nobody knows. Empty: all cases, all policies."""

    version: int = 1
    cases: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    planners: tuple[str, ...] = ()
    max_runs: int = 60
    held: bool = False

    def __post_init__(self) -> None:
        MAX_RUNS.check(self.max_runs)
        for name in self.policies:
            policy(name)
        for name in self.planners:
            if name not in MAKERS:
                raise InputError(f"--planners: no planner '{name[:40]}'; there are {', '.join(MAKERS)}")


def run_suite(request: SuiteRequest, settings: Settings, lake: Lake) -> SuiteResult:
    """Measure every contender in every case that was asked for. Runs that the lake holds are taken from there.

    No score becomes the lake's: what is measured here is used in no search.
    """
    of = suite(request.version)
    chosen = cases_of(of, request)
    names = request.policies or (() if request.planners else tuple(one.id for one in policies()))
    known, frozen, results = digits_of(request.version), dict[str, Frozen](), list[CaseResult]()
    for number, case in enumerate(chosen, 1):
        doing("suite: %s, case %d of %d", case.id, number, len(chosen))
        own = settings_for(case, settings)
        digits = measured_digits(of, case, own, lake)
        frozen[case.id] = compared(digits, known.get(case.id))
        results += [_policy(name, of, case, own, lake) for name in names]
        if request.planners:
            results += _planners(request, of, case, own, lake)
    return SuiteResult(of.version, request.held, frozen, tuple(results), totals(results))


def cases_of(of: Suite, request: SuiteRequest) -> list[Case]:
    """The cases that were asked for: those that are held only with `held`, and no others then."""
    if unknown := [name for name in request.cases if name not in {case.id for case in of.cases}]:
        raise InputError(f"--cases: suite v{of.version} has no case '{unknown[0][:60]}'")
    wanted = [
        case for case in of.cases if case.held is request.held and (not request.cases or case.id in request.cases)
    ]
    if not wanted:
        kept = "they are held for the end (--held)" if not request.held else "with --held the others stay closed"
        raise InputError(f"--cases: none of these is open: {kept}")
    return wanted


def settings_for(case: Case, settings: Settings) -> Settings:
    """The settings under which a case is run: nothing of the user's own that would change a digit."""
    work = " ".join(f"{name}={number}" for name, number in case.work.items())
    plain = {"llcs": 1, "smt": 1, "nodes": 1, "clock": "virtual", "schbench": None,
             "cold": False, "memory_mib": MEMORY_MIB.preset}  # fmt: skip
    own = {"tier": case.tier, "work": work, "cpus": case.cpus, "machine": case.machine}
    return settings.model_copy(update={**plain, **own})


def measured_digits(of: Suite, case: Case, settings: Settings, lake: Lake) -> Digits:
    """EEVDF's digits in a case, as this host has them."""
    workload = find_workload(case.workload, settings)
    shape = shape_for(settings, workload)
    spec = _spec("", of, case, settings, shape)
    runs = run_here(_baseline(spec, of.pairs), spec, lake, what=f"suite: EEVDF in {case.id}")
    guest = prepare_guest(settings, shape)
    provenance = provenance_of(spec, None, guest)
    bounds = tuple(run.metrics[workload.bound] for run in runs) if workload.bound else ()
    return Digits(
        tuple(run.metrics[workload.metric] for run in runs), bounds,
        {name: str(getattr(provenance, name)) for name in OF},
    )  # fmt: skip


def compared(here: Digits, frozen: Digits | None) -> Frozen:
    """Whether the digits are those of the repository, or why that cannot be asked."""
    if frozen is None:
        return "not frozen"
    if here.of != frozen.of:
        return "of another guest"
    return "equal" if (here.eevdf, here.bound) == (frozen.eevdf, frozen.bound) else "differs"


def _baseline(spec: TrialSpec, pairs: int) -> Generator[Sequence[Asked], Sequence[Result], list[Measurement]]:
    results = yield baseline_runs(spec, 0, pairs)
    return [run for run in results if isinstance(run, Measurement)]


def _spec(name: str, of: Suite, case: Case, settings: Settings, shape: Shape) -> TrialSpec:
    chosen = policy(name) if name else policies()[0]
    plan = MeasurementPlan(of.pairs, 0, of.seed)
    workload = find_workload(case.workload, settings)
    return TrialSpec(candidate_of(chosen, {}), workload, shape, settings, plan, known_suffices=True)


def _policy(name: str, of: Suite, case: Case, settings: Settings, lake: Lake) -> CaseResult:
    began = time.monotonic()
    shape = shape_for(settings, find_workload(case.workload, settings))
    spec = _spec(name, of, case, settings, shape)
    done = run_here(trial(spec), spec, lake, what=f"suite: {name} in {case.id}")
    why = done.verdict.rejection.reason if done.verdict.rejection is not None else ""
    return result_of(case.id, name, done.score, why, of.pairs, time.monotonic() - began)


def _planners(request: SuiteRequest, of: Suite, case: Case, settings: Settings, lake: Lake) -> list[CaseResult]:
    asked = CompareRequest(case.workload, request.planners, request.max_runs, pairs=of.pairs, seed=of.seed)
    done = compare(asked, settings, lake)
    return [
        result_of(case.id, f"{one.planner} (planner)", one.best, "" if one.best else "found nothing that may run",
                  one.runs, one.wall_s)
        for one in done.courses
    ]  # fmt: skip


def result_of(case: str, contender: str, score: Score | None, why_not: str, runs: int, seconds: float) -> CaseResult:
    """A contender's result: 1 where it may not run, for nobody has to load it."""
    if score is None or why_not:
        return CaseResult(case, contender, "", NOTHING, None, None, None, why_not or "not measured", runs, seconds)
    bound, outcome = score.bound, score.outcome
    room = bound is not None and bound > ROOM
    share = math.log(score.ratio.median) / math.log(bound) if room and bound is not None else None
    return CaseResult(case, contender, score.policy, score.ratio, outcome, bound, share, "", runs, seconds)


def totals(results: Iterable[CaseResult]) -> tuple[Total, ...]:
    """Each contender over its cases, best mean first."""
    by_name: dict[str, list[CaseResult]] = {}
    for result in results:
        by_name.setdefault(result.contender, []).append(result)
    made = [_total(name, own) for name, own in by_name.items()]
    return tuple(sorted(made, key=lambda total: -total.mean.median))


def _total(name: str, own: Sequence[CaseResult]) -> Total:
    logs = np.log([result.ratio.median for result in own])
    shares = [result.share for result in own if result.share is not None]
    return Total(
        name, mean_of(logs), float(np.mean(shares)) if shares else None, _count(own, "win"), _count(own, "loss"),
        sum(result.seconds for result in own),
    )  # fmt: skip


def mean_of(logs: Sequence[float] | np.ndarray) -> Ratio:
    """The geometric mean, with the percentile bootstrap's 95 % interval over cases (seeded, RESAMPLES draws)."""
    values = np.asarray(logs, dtype=float)
    picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), (0.025, 0.975))
    return Ratio(float(np.exp(values.mean())), (float(np.exp(low)), float(np.exp(high))))


def ahead_of(results: Sequence[CaseResult], one: str, other: str) -> Ratio:
    """How many times better one contender is than another on the mean over the cases that both have, with interval."""
    mine = {result.case: result.ratio.median for result in results if result.contender == one}
    theirs = {result.case: result.ratio.median for result in results if result.contender == other}
    logs = [math.log(mine[case] / theirs[case]) for case in mine if case in theirs]
    if not logs:
        raise InputError(f"{one} and {other} have no case in common")
    return mean_of(logs)


def _count(own: Sequence[CaseResult], outcome: Outcome) -> int:
    return sum(result.outcome == outcome for result in own)

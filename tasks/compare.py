# SPDX-License-Identifier: Apache-2.0
"""Planners side by side: each tunes the same workload with the same number of runs, from what it measures alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.workloads import Workload
from bpf.library import policies
from policy_lake.comparison import Comparison, Course, Point
from policy_lake.doing import doing
from policy_lake.errors import InfraError, InputError
from policy_lake.lake import Lake
from policy_lake.limits import MAX_RUNS, PER_ITERATION, SEED, most_pairs
from policy_lake.model import Candidate, Policy, PolicyPlan, Rejection
from policy_lake.profile import WorkloadProfile
from policy_lake.ranking import best
from policy_lake.scores import MeasurementPlan, Score
from policy_lake.tuned import Stop
from tasks.host.guest import Shape, prepare_guest, shape_for
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.observe import observe
from tasks.plan import composed_of, make_candidate
from tasks.planners.makers import MAKERS
from tasks.planners.protocol import Composed, PlanContext, Planner
from tasks.run.batch import SCREEN
from tasks.trial.drive import Slots, drive
from tasks.trial.local import LocalSlots
from tasks.trial.race import Race
from tasks.trial.spec import Trial, TrialSpec, Work
from tasks.trial.trial import trial
from tasks.trial.work import Done

OpenSlots = Callable[[], AbstractContextManager[Slots]]
NEAR = 0.98  # of the best that any planner found: as good, as far as a user notices


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """What is to be compared; InputError for a number beyond its limits or a planner that nobody knows."""

    workload: str
    planners: tuple[str, ...] = tuple(MAKERS)
    max_runs: int = 60
    per_round: int = PER_ITERATION.preset
    pairs: int = 5
    seed: int = SEED.preset

    def __post_init__(self) -> None:
        MAX_RUNS.check(self.max_runs)
        PER_ITERATION.check(self.per_round)
        SEED.check(self.seed)
        unknown = [name for name in self.planners if name not in MAKERS]
        if unknown or not self.planners or len(set(self.planners)) < len(self.planners):
            said = f"no planner '{unknown[0][:40]}'" if unknown else "name each planner once"
            raise InputError(f"--planners: {said}; there are {', '.join(MAKERS)}")
        if not self.max_runs:
            raise InputError("--max-runs: 0 is no budget, and without one nothing can be compared")


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all planners have in common."""

    request: CompareRequest
    workload: Workload
    shape: Shape
    settings: Settings
    lake: Lake
    profile: WorkloadProfile
    library: tuple[Policy, ...]
    open_slots: OpenSlots


def compare(
    request: CompareRequest, settings: Settings, lake: Lake, *, open_slots: OpenSlots | None = None
) -> Comparison:
    """Let each planner tune by itself. Runs that the lake holds are taken from there: they count, and take no time.

    `open_slots` is where a round's runs go (default: this process's own slots). What is found becomes no score of the
    lake, so that no planner profits from another. InputError by the wall clock.
    """
    workload = find_workload(request.workload, settings)
    shape = shape_for(settings, workload)
    if prepare_guest(settings, shape).machine.clock is None:
        raise InputError("planners are compared in virtual time alone: by the wall clock equal runs differ")
    profile, _ = observe(workload, settings, shape, lake, seed=request.seed, say=False)
    # In the library's own order: what a lake's search finds hangs on what has been in it, and so would the digits.
    count = settings.slots(prepare_guest(settings, shape).host_cpus)
    slots = open_slots or partial(LocalSlots[Work, Done], count)
    ground = _Ground(request, workload, shape, settings, lake, profile, policies(), slots)
    courses = []
    for number, name in enumerate(request.planners, 1):
        doing("compare: %s, planner %d of %d", name, number, len(request.planners))
        courses.append(_course(name, MAKERS[name](request.seed), ground))
    bounds = [course.best.bound for course in courses if course.best is not None and course.best.bound is not None]
    return Comparison(
        workload.id, workload.tier, shape.topology.cpus, request.max_runs, request.seed, max(bounds, default=None),
        tuple(courses),
    )  # fmt: skip


def _course(name: str, planner: Planner, ground: _Ground) -> Course:
    request, began, spent = ground.request, time.monotonic(), list[float]()
    context = PlanContext(ground.profile, ground.library, run_id=f"compare-{name}", seed=request.seed)
    points, scores, rejections = list[Point](), list[Score](), list[tuple[Candidate, Rejection]]()
    tried, first_win = 0, None
    stopped: Stop = "runs"
    while (left := request.max_runs - _runs(scores)) > 0:
        limit = min(request.per_round, max(1, left // SCREEN))
        context = replace(
            context,
            scores=tuple(scores),
            rejections=tuple(rejections),
            iteration=context.iteration + 1,
            limit=limit,
            composed=_composed(context, scores),
        )
        plans = planner.plan(context)
        if not plans:
            stopped = "nothing left"
            break
        composed = [one.policy for one in context.composed]
        for made in _tried(plans, ground, composed, best(scores), spent.append):
            tried += 1
            if made.score is not None:
                scores.append(replace(made.score, run_id=context.run_id))  # or it would be an earlier run's winner
                won = made.score.outcome == "win" and not made.score.over
                first_win = first_win or (tried if won else None)
            if made.verdict.rejection is not None:
                rejections.append((made.candidate, made.verdict.rejection))
            points.append(_point(scores))
    return Course(
        name, best(scores), tuple(points), tried, len(rejections), _runs(scores), sum(spent),
        time.monotonic() - began, stopped, first_win,
    )  # fmt: skip


def _tried(
    plans: Sequence[PolicyPlan], ground: _Ground, composed: Sequence[Policy], leader: Score | None,
    spent: Callable[[float], None],
) -> Iterator[Trial]:  # fmt: skip
    request, known = ground.request, {policy.id: policy for policy in (*ground.library, *composed)}
    plan = MeasurementPlan(request.pairs, most_pairs(request.pairs), request.seed, SCREEN)
    candidates = [make_candidate(made, known[made.policy], run_id="", iteration=1) for made in plans]
    specs = [
        TrialSpec(made, ground.workload, ground.shape, ground.settings, plan, known_suffices=True)
        for made in candidates
    ]  # fmt: skip
    to_beat = leader.ratio.ci95[0] if leader is not None and leader.outcome == "win" else 0.0
    done: dict[int, Trial] = {}
    with ground.open_slots() as slots:
        trials = [trial(spec) for spec in specs]
        heard = drive(trials, slots, ground.lake, on_span=lambda span: spent(span[1] - span[0]), race=Race(to_beat))
        for outcome in heard:
            if outcome.value is None:
                raise InfraError(outcome.failure.message if outcome.failure else "no outcome")
            done[outcome.index] = outcome.value
    yield from (done[index] for index in sorted(done))


def _composed(context: PlanContext, scores: Sequence[Score]) -> tuple[Composed, ...]:
    """What was composed before, and the variants of what leads now, which may have been composed itself."""
    known = {one.policy.id: one for one in context.composed}
    made = composed_of([*context.policies, *(one.policy for one in known.values())], scores)
    return tuple((known | {one.policy.id: one for one in made}).values())


def _runs(scores: Sequence[Score]) -> int:
    return sum(len(score.pairs) for score in scores)


def _point(scores: Sequence[Score]) -> Point:
    leader = best(scores)
    if leader is None or leader.ratio.median < 1:  # nobody has to load a policy: EEVDF is always there
        return Point(_runs(scores), 1.0, 1.0, 1.0)
    return Point(_runs(scores), leader.ratio.median, *leader.ratio.ci95)

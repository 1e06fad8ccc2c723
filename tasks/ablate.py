# SPDX-License-Identifier: Apache-2.0
"""Why it won: the best policy on the seeds that it won on, with each of its knob values and mechanisms taken back."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from benchmarks.scoring import pair_seed
from benchmarks.statistics import ratio
from benchmarks.workloads import Workload
from bpf.library import read_policy
from bpf.variants import without
from policy_lake.doing import doing
from policy_lake.errors import BuildError, InfraError
from policy_lake.measurement import Measurement
from policy_lake.model import Candidate, Lesson
from policy_lake.scores import MeasurementPlan, Pair, Ratio, Score
from policy_lake.show import logger
from policy_lake.tuned import Ablation
from tasks.host.guest import prepare_guest
from tasks.host.spans import Span
from tasks.planners.knobs import attempt
from tasks.run.certainty import paid_text
from tasks.run.report import best_of
from tasks.run.scope import Scope
from tasks.run.tally import tally
from tasks.trial.build import loadable
from tasks.trial.local import run_here
from tasks.trial.spec import Asked, Loadable, RunWork, TrialSpec
from tasks.trial.work import Result

MOST_VARIANTS = 8
log = logger(__name__)


def ablate(scope: Scope, *, on_span: Callable[[Span], None] = lambda _: None) -> tuple[Ablation, ...]:
    """What the run's best owes to each of its knob values, most first; also kept as a lesson. None where nothing won.

    In virtual time alone, where the runs that it won are there to be compared with.
    """
    tried = tally(scope, {})
    best = best_of(tried)
    guest = prepare_guest(scope.settings, scope.shape)
    if best is None or best.outcome != "win" or guest.machine.clock is None:
        return ()
    winner = next(attempt.candidate for attempt in tried if attempt.score is best)
    doing("why it won: %s without each of its knob values", best.policy)
    plan = MeasurementPlan(len(best.pairs), 0, best.seed)
    spec = TrialSpec(winner, scope.workload, scope.shape, scope.settings, plan)
    try:
        variants = [(what, loadable(made, guest)) for what, made in taken_back(winner)]
        found = run_here(_measured(spec, best, variants), spec, scope.lake, on_span=on_span, what="why it won")
    except (InfraError, BuildError) as error:  # it explains a result, and is none
        log.warning("why it won is not known: %s", error)
        return ()
    if found:
        text = paid_text(best, found)
        scope.lake.put(Lesson(f"{scope.run_id}-{winner.id}-why", scope.run_id, scope.workload.id, best.policy, text))
        log.info("learn: %s", text)
    return found


def taken_back(winner: Candidate) -> list[tuple[str, Candidate]]:
    """The candidate with each knob that is not at its default put back there, then without each mechanism of a composed
    one, and what each is without.
    """
    policy = read_policy(winner.source, winner.policy, "composed")
    defaults = dict(attempt(policy, {})[1])
    changed = [name for name, value in winner.knob_values.items() if name in defaults and value != defaults[name]]
    made = []
    for name in changed:
        values = {other: value for other, value in winner.knob_values.items() if other != name}
        made.append((name, replace(winner, knob_values=values)))
    for what, plain in without(policy):
        has = {knob.name for knob in plain.knobs}
        values = {name: value for name, value in winner.knob_values.items() if name in has}
        made.append((what, replace(winner, policy=plain.id, source=plain.source, knob_values=values)))
    return made[:MOST_VARIANTS]


def _measured(
    spec: TrialSpec, best: Score, variants: Sequence[tuple[str, Loadable]]
) -> Generator[Sequence[Asked], Sequence[Result], tuple[Ablation, ...]]:
    seeds = [pair_seed(spec.plan.seed, number) for number in range(spec.plan.pairs)]
    found = []
    for what, policy in variants:
        results = yield [RunWork(spec.workload, spec.shape, spec.settings, policy, seed, seed) for seed in seeds]
        found.append(_without(spec.workload, best, what, [run for run in results if isinstance(run, Measurement)]))
    return tuple(sorted(found, key=lambda one: -one.share if one.share is not None else -math.inf))


def _without(workload: Workload, best: Score, what: str, runs: Sequence[Measurement]) -> Ablation:
    if any(run.rejection is not None for run in runs):
        return Ablation(what, None, None)
    pairs = [
        Pair(pair.baseline, run.metrics[workload.metric], pair.seed) for pair, run in zip(best.pairs, runs, strict=True)
    ]
    without = ratio(pairs, lower_is_better=workload.direction == "lower", seed=best.seed)
    return Ablation(what, without, share_of(best.ratio, without))


def share_of(won: Ratio, without: Ratio) -> float:
    """Which part of the gain, on a logarithmic scale, goes with it: 1 all of it, below 0 it would be better without."""
    return 1 - math.log(without.median) / math.log(won.median)

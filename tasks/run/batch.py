# SPDX-License-Identifier: Apache-2.0
"""Execute, for an iteration: its candidates out through Ray, and each result into the lake as it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.statistics import outcome_text
from policy_lake.doing import doing
from policy_lake.errors import InfraError
from policy_lake.files import atomic_write
from policy_lake.limits import most_pairs
from policy_lake.model import Candidate, Verdict, from_json, to_json
from policy_lake.ranking import best
from policy_lake.records import Rejected
from policy_lake.scores import MeasurementPlan
from policy_lake.show import logger
from tasks.fleet.artifacts import Progress, artifact_key
from tasks.fleet.cluster import Cluster
from tasks.fleet.fan_out import Pool
from tasks.host.guest import prepare_guest
from tasks.host.settings import Settings
from tasks.host.spans import Span
from tasks.plan import describe
from tasks.run.certainty import ratio_text
from tasks.run.scope import Scope
from tasks.trial.drive import Slots, drive
from tasks.trial.floor import floor_for
from tasks.trial.kept import keep_object
from tasks.trial.race import Race
from tasks.trial.spec import Trial, TrialSpec, Work
from tasks.trial.trial import baseline_runs, floor_runs, trial
from tasks.trial.work import Done, Result

log = logger(__name__)
SCREEN = 2  # pairs with which every candidate begins: the fewest that have a spread


@dataclass(frozen=True, slots=True)
class Batch:
    """What the lake does not hold of an iteration: why nothing is known of a candidate, and when guests ran."""

    failures: dict[str, str]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a token is signed on: the verdict, the loader's arguments, the hash of the kernel's types."""

    verdict: Verdict
    arguments: tuple[str, ...]
    btf_sha256: str


def candidates_of(scope: Scope, iteration: int) -> list[Candidate]:
    """The candidates planned for an iteration of this run."""
    return [candidate for candidate in scope.lake.candidates(scope.run_id) if candidate.iteration == iteration]


def run_batch(scope: Scope, iteration: int, slots: Slots, *, on_trial: Callable[[], None] = lambda: None) -> Batch:
    """Try the iteration's candidates of which nothing is known yet, so that a repeat does only what is left.

    This process is the only writer to the lake. InfraError when not one of them could be tried.
    """
    settled = _settled(scope)
    waiting = [candidate for candidate in candidates_of(scope, iteration) if candidate.id not in settled]
    if not waiting:
        return Batch({}, ())
    specs = _specs(scope, waiting)
    failures: dict[str, str] = {}
    spans: list[Span] = []
    # EEVDF's runs, which all of them share, go out behind the verifications, for slots that are free meanwhile.
    steps = [*(trial(spec) for spec in specs), _shared_runs(specs[0])]
    left = len(waiting)

    def said(done: int, asked: int) -> None:
        doing("execute: %d of %d candidates left; %d runs done, %d to go", left, len(waiting), done, asked)

    race = Race(_to_beat(scope))
    for outcome in drive(steps, slots, scope.lake, on_span=spans.append, on_count=said, race=race):
        if outcome.index == len(waiting):
            continue
        left -= 1
        candidate = waiting[outcome.index]
        if outcome.value is not None:
            keep(scope, outcome.value)
        elif outcome.failure is not None:
            failures[candidate.id] = f"{outcome.failure.kind}: {outcome.failure.message}"
            log.warning("execute: %s: no result: %s", candidate.id, failures[candidate.id])
        on_trial()
    if len(failures) == len(waiting):
        raise InfraError(
            f"none of {len(waiting)} candidates could be tried; the first: {next(iter(failures.values()))}"
        )
    return Batch(failures, tuple(spans))


def _to_beat(scope: Scope) -> float:
    """The ratio that this run's best is sure of; 0 while it has none."""
    leader = best(scope.lake.scores(scope.workload.id, scope.run_id))
    return leader.ratio.ci95[0] if leader is not None and leader.outcome == "win" else 0.0


def _specs(scope: Scope, candidates: Sequence[Candidate]) -> list[TrialSpec]:
    run = scope.run
    plan = MeasurementPlan(run.pairs, most_pairs(run.pairs), run.seed, min(SCREEN, run.pairs))
    floor = floor_for(run.workload, run.settings, run.shape, scope.lake)
    regressions = tuple(scope.lake.regressions())
    return [
        TrialSpec(
            candidate, run.workload, run.shape, run.settings, plan, floor=floor, regressions=regressions
        )
        for candidate in candidates
    ]  # fmt: skip


def _shared_runs(spec: TrialSpec) -> Generator[Sequence[Work], Sequence[Result], None]:
    if prepare_guest(spec.settings, spec.shape).machine.clock is not None:
        yield (*baseline_runs(spec, 0, spec.plan.pairs), *floor_runs(spec))


def run_observed_batch(scope: Scope, ray_cluster: Cluster, iteration: int) -> Batch:
    """`run_batch` once the cluster is there, with its progress in the Prefect UI."""
    doing("execute: waiting for Ray")
    ray_cluster.ready()
    total = len(candidates_of(scope, iteration))
    key = artifact_key("progress", scope.workload.id)
    progress = Progress(key, total, f"Iteration {iteration} of {scope.run_id}: {total} candidates")
    deadline_s = batch_deadline_s(scope.settings, total, ray_cluster.slots)
    with Pool[Done](deadline_s=deadline_s, label="trial", lost=ray_cluster.lost) as pool:
        return run_batch(scope, iteration, pool, on_trial=progress.advance)


def batch_deadline_s(settings: Settings, trials: int, slots: int) -> float:
    """Time for so many trials to pass through the slots, each with its own worst case."""
    return -(-trials // max(1, slots)) * (settings.trial_deadline_s + settings.build_deadline_s)


def keep(scope: Scope, trial: Trial) -> None:
    """A trial's score and rejection into the lake; for a scored one also its object and what a token needs to say.

    It has both where it was measured and breaks a guard.
    """
    name = describe(trial.candidate.policy, trial.candidate.knob_values)
    rejection = trial.verdict.rejection
    if trial.score is not None:
        # Before the score: a score in the lake promises that its object can be had.
        keep_object(trial.object_data, scope.settings)
        write_evidence(scope, trial)
        scope.lake.put(trial.score)
        log.info("execute: %s, %s: %s", ratio_text(trial.score.ratio), outcome_text(trial.score), name)
    if rejection is not None:
        kernel = trial.verdict.kernel or prepare_guest(scope.settings, scope.shape).kernel.release
        scope.lake.put(Rejected(trial.candidate, rejection, scope.workload.id, kernel))
        log.info("execute: rejected at %s: %s: %s", rejection.stage, rejection.reason, name)


def write_evidence(scope: Scope, trial: Trial) -> None:
    """The verdict and what was loaded, as JSON in the run's directory: the lake keeps scores, not verdicts."""
    evidence = Evidence(trial.verdict, trial.arguments, trial.btf_sha256)
    atomic_write(
        _evidence_path(scope, trial.candidate.id), json.dumps(to_json(evidence), indent=1).encode(), durable=True
    )


def read_evidence(scope: Scope, candidate_id: str) -> Evidence:
    """What `write_evidence` wrote; InfraError when it is gone or damaged, for then there can be no token."""
    path = _evidence_path(scope, candidate_id)
    try:
        return from_json(Evidence, json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise InfraError(f"{path}: the verdict cannot be read: {error}") from error


def _evidence_path(scope: Scope, candidate_id: str) -> Path:
    return scope.settings.run_dir / scope.run_id / f"{candidate_id}.json"


def _settled(scope: Scope) -> set[str]:
    workload, run = scope.workload.id, scope.run_id
    scored = {score.candidate for score in scope.lake.scores(workload, run)}
    return scored | {rejected.candidate.id for rejected in scope.lake.rejections(workload, run)}

# SPDX-License-Identifier: Apache-2.0
"""What a run has come to: each candidate with its result from the lake, and the whole as a record."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from policy_lake.calls import ModelUse
from policy_lake.scores import Score
from policy_lake.tuned import (
    Ablation,
    StageAndReason,
    Stop,
    TunedBaseline,
    TunedBest,
    TunedCandidate,
    TunedIteration,
    TuneResult,
)
from tasks.run.certainty import Tried
from tasks.run.report import best_of
from tasks.run.scope import Scope


def tally(scope: Scope, failures: Mapping[str, str], *, iteration: int | None = None) -> list[Tried]:
    """The run's candidates in the order they were planned, all or one iteration's; `failures` are by candidate id."""
    workload, run = scope.workload.id, scope.run_id
    scores = {score.candidate: score for score in scope.lake.scores(workload, run)}
    rejections = {rejected.candidate.id: rejected.rejection for rejected in scope.lake.rejections(workload, run)}
    return [
        Tried(candidate, scores.get(candidate.id), rejections.get(candidate.id), failures.get(candidate.id, ""))
        for candidate in scope.lake.candidates(run)
        if iteration in (None, candidate.iteration)
    ]


def tune_result(
    scope: Scope,
    tried: Sequence[Tried],
    *,
    token: Path | None,
    report: Path | None,
    seconds: Mapping[str, float],
    warnings: Sequence[str] = (),
    pictures: Mapping[str, Path] | None = None,
    stopped: Stop = "",
    paid: Sequence[Ablation] = (),
    model: ModelUse | None = None,
) -> TuneResult:
    """What `schedcp tune` gives."""
    best = best_of(tried)
    numbers = sorted({attempt.candidate.iteration for attempt in tried})
    return TuneResult(
        run_id=scope.run_id,
        workload=scope.workload.id,
        iterations=tuple(
            TunedIteration(
                number, tuple(_candidate(attempt) for attempt in tried if attempt.candidate.iteration == number)
            )
            for number in numbers
        ),
        best=_best(best, token) if best is not None else None,
        candidates_tried=len(tried),
        rejected=sum(attempt.rejection is not None for attempt in tried),
        failed=sum(attempt.score is None and attempt.rejection is None for attempt in tried),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        report=str(report) if report else None,
        warnings=tuple(warnings),
        pictures={name: str(path) for name, path in (pictures or {}).items()},
        stopped=stopped,
        paid=tuple(paid),
        model=model,
    )


def _candidate(attempt: Tried) -> TunedCandidate:
    score, rejection = attempt.score, attempt.rejection
    return TunedCandidate(
        id=attempt.candidate.id,
        policy=attempt.candidate.policy,
        knob_values=dict(attempt.candidate.knob_values),
        planner=attempt.candidate.planner,
        reason=attempt.candidate.reason,
        ratio=score.ratio if score else None,
        outcome=score.outcome if score and not rejection else None,
        score=score.id if score else None,
        rejection=StageAndReason(rejection.stage, rejection.reason) if rejection else None,
        failure=attempt.failure or None if not (score or rejection) else None,
        predicted=attempt.candidate.predicted,
        pathway=attempt.candidate.pathway,
    )


def _best(score: Score, token: Path | None) -> TunedBest:
    median = statistics.median(pair.baseline for pair in score.pairs)
    return TunedBest(
        policy=score.policy,
        knob_values=dict(score.knob_values),
        candidate=score.candidate,
        ratio=score.ratio,
        outcome=score.outcome,
        bound=score.bound,
        clock=score.clock,
        topology=score.topology,
        baseline=TunedBaseline(score.baseline, score.metric, score.unit, median),
        token=str(token) if token else None,
    )

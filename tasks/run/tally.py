# SPDX-License-Identifier: Apache-2.0
"""What a run has come to: each candidate with its result from the lake, and the whole in the fixed JSON shape."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policy_lake.scores import Score
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
    scope: Scope, tried: Sequence[Tried], *, token: Path | None, report: Path | None, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """What `schedcp tune --json` prints."""
    best = best_of(tried)
    numbers = sorted({attempt.candidate.iteration for attempt in tried})
    return {
        "run_id": scope.run_id,
        "workload": scope.workload.id,
        "iterations": [
            {
                "iteration": number,
                "candidates": [_candidate(attempt) for attempt in tried if attempt.candidate.iteration == number],
            }
            for number in numbers
        ],
        "best": _best(best, token) if best is not None else None,
        "candidates_tried": len(tried),
        "rejected": sum(attempt.rejection is not None for attempt in tried),
        "failed": sum(attempt.score is None and attempt.rejection is None for attempt in tried),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "report": str(report) if report else None,
    }


def _candidate(attempt: Tried) -> dict[str, Any]:
    score, rejection = attempt.score, attempt.rejection
    return {
        "id": attempt.candidate.id,
        "policy": attempt.candidate.policy,
        "knob_values": attempt.candidate.knob_values,
        "planner": attempt.candidate.planner,
        "reason": attempt.candidate.reason,
        "ratio": _ratio(score) if score else None,
        "outcome": score.outcome if score else None,
        "score": score.id if score else None,
        "rejection": {"stage": rejection.stage, "reason": rejection.reason} if rejection else None,
        "failure": attempt.failure or None if not (score or rejection) else None,
    }


def _best(score: Score, token: Path | None) -> dict[str, Any]:
    return {
        "policy": score.policy,
        "knob_values": score.knob_values,
        "candidate": score.candidate,
        "ratio": _ratio(score),
        "outcome": score.outcome,
        "bound": score.bound,
        "clock": score.clock,
        "topology": score.topology,
        "baseline": {
            "name": score.baseline,
            "metric": score.metric,
            "unit": score.unit,
            "median": statistics.median(pair.baseline for pair in score.pairs),
        },
        "token": str(token) if token else None,
    }


def _ratio(score: Score) -> dict[str, Any]:
    return {"median": score.ratio.median, "ci95": list(score.ratio.ci95)}

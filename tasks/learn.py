# SPDX-License-Identifier: Apache-2.0
"""Learn: a lesson in words for every result."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.statistics import doubt_text
from policy_lake.model import Lesson
from policy_lake.scores import Score
from policy_lake.show import logger
from tasks.plan import describe
from tasks.run.certainty import Tried, ratio_text
from tasks.run.report import change
from tasks.run.scope import Scope

log = logger(__name__)


def learn(scope: Scope, tried: Iterable[Tried]) -> list[Lesson]:
    """Lessons from what was measured or rejected, stored in the lake; a failure of ours teaches none."""
    lessons = [
        Lesson(f"{scope.run_id}-{trial.candidate.id}", scope.run_id, scope.workload.id, trial.candidate.policy, text)
        for trial in tried
        if (text := lesson_text(trial, scope.workload.id))
    ]
    if lessons:
        scope.lake.put(*lessons)
        # Their words are for the next plan: what they say of each result was said when it came.
        log.info("learn: %d lesson%s kept", len(lessons), "" if len(lessons) == 1 else "s")
    return lessons


def lesson_text(attempt: Tried, workload: str) -> str:
    """One sentence that a planner can use; empty when there is nothing to learn."""
    name = describe(attempt.candidate.policy, attempt.candidate.knob_values)
    if attempt.score is not None:
        broken = f", but {attempt.rejection.reason}" if attempt.rejection is not None else ""
        figures = f"{_verb(attempt.score)} ({_figures(attempt.score)}){broken}"
        return f"{name}: {figures}. Tried because: {attempt.candidate.reason}"
    if attempt.rejection is not None:
        rejection = attempt.rejection
        where = f" at {rejection.place}" if rejection.place else ""
        advice = f" To change: {rejection.advice}" if rejection.advice else ""
        return f"{name} was rejected at {rejection.stage} on {workload}{where}: {rejection.reason}.{advice}"
    return ""


def _verb(score: Score) -> str:
    if score.outcome == "win":
        return f"made {score.workload} better on {score.cpus} CPUs, {change(score)}"
    if score.outcome == "loss":
        return f"made {score.workload} worse on {score.cpus} CPUs, {change(score)}"
    why = doubt_text(score)
    return f"was inconclusive on {score.workload} on {score.cpus} CPUs" + (f": {why}" if why else "")


def _figures(score: Score) -> str:
    bound = f", at most {score.bound:.2f}x possible" if score.bound is not None else ""
    return f"{ratio_text(score.ratio)} against {score.baseline}, 95 % CI{bound}"

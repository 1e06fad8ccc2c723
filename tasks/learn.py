# SPDX-License-Identifier: Apache-2.0
"""Learn: a lesson in words for every result, and a signed token for the policy that won."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from policy_lake.model import Candidate, Lesson, Score
from tasks.batch import read_evidence
from tasks.certainty import Tried, ratio_text
from tasks.execute import Order, Trial, try_candidate
from tasks.plan import describe
from tasks.report import best_of, change
from tasks.run import Scope
from tasks.token import token_for_verdict
from verifier_vm.tokens.terms import Provenance

FRESH_SEEDS = 500  # added to the seed of the score that is confirmed
log = logging.getLogger(__name__)


def learn(scope: Scope, tried: Iterable[Tried]) -> list[Lesson]:
    """Lessons from what was measured or rejected, stored in the lake; a failure of ours teaches none."""
    lessons = [
        Lesson(f"{scope.run_id}-{one.candidate.id}", scope.run_id, scope.workload.id, one.candidate.policy, text)
        for one in tried
        if (text := lesson_text(one, scope.workload.id))
    ]
    if lessons:
        scope.lake.put(*lessons)
    for lesson in lessons:
        log.info("learn: %s", lesson.text)
    return lessons


def lesson_text(one: Tried, workload: str) -> str:
    """One sentence that a planner can use; empty when there is nothing to learn."""
    name = describe(one.candidate.policy, one.candidate.settings)
    if one.score is not None:
        return f"{name}: {_verb(one.score)} ({_figures(one.score)}). Tried because: {one.candidate.reason}"
    if one.rejection is not None:
        return f"{name} was rejected at {one.rejection.stage} on {workload}: {one.rejection.reason}"
    return ""


def promote(scope: Scope, tried: Sequence[Tried], *, attempt: Callable[[Order], Trial] = try_candidate) -> Path | None:
    """The token of the run's winner, signed and written; None when nothing won, or not a second time.

    The winner is the luckiest of several, so it is measured again on fresh seeds before anybody may load it.
    """
    best = best_of(tried)
    if best is None or best.outcome != "win" or not best.attached:
        return None
    candidate = next(one.candidate for one in tried if one.score is best)
    if not confirmed(scope, best, candidate, attempt):
        return None
    evidence = read_evidence(scope, best.candidate)
    planner, _, model = candidate.planner.partition(":")
    path = token_for_verdict(
        evidence.verdict, candidate.source, scope.settings, policy=best.policy, arguments=evidence.arguments,
        btf_sha256=evidence.btf_sha256, workload=best.workload, score=best,
        provenance=Provenance(planner, model),
    )  # fmt: skip
    log.info("learn: promoted %s, token %s", describe(best.policy, best.settings), path)
    return path


def confirmed(scope: Scope, best: Score, winner: Candidate, attempt: Callable[[Order], Trial]) -> bool:
    """Whether the winner wins on seeds that nobody has seen; that score goes into the lake, too."""
    known = [one for one in scope.lake.scores(scope.workload.id) if one.confirms == best.id]
    if not known:
        order = Order(
            replace(winner, run_id=""), scope.workload, len(best.pairs), best.seed + FRESH_SEEDS, scope.shape,
            floor=best.floor, confirms=best.id,
        )  # fmt: skip
        again = attempt(order).score
        if again is None:
            log.info("learn: %s won, and was rejected when it was measured again", best.policy)
            return False
        scope.lake.put(again)
        known = [again]
    log.info("learn: on fresh seeds: %s, %s", ratio_text(known[-1].ratio), known[-1].outcome)
    return known[-1].outcome == "win"


def _verb(score: Score) -> str:
    if score.outcome == "win":
        return f"made {score.workload} better on {score.cpus} CPUs, {change(score)}"
    if score.outcome == "loss":
        return f"made {score.workload} worse on {score.cpus} CPUs, {change(score)}"
    return f"made no sure difference to {score.workload} on {score.cpus} CPUs"


def _figures(score: Score) -> str:
    bound = f", at most {score.bound:.2f}x possible" if score.bound is not None else ""
    return f"{ratio_text(score.ratio)} against {score.baseline}, 95 % interval{bound}"

# SPDX-License-Identifier: Apache-2.0
"""Promote: the run's winner measured once more on fresh seeds, and signed if it wins again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.statistics import outcome_text
from policy_lake.doing import doing
from policy_lake.errors import SchedcpError
from policy_lake.files import scratch
from policy_lake.model import Candidate, Lesson, Verdict
from policy_lake.records import Rejected
from policy_lake.scores import MeasurementPlan, Score
from policy_lake.show import logger
from tasks.host.audience import audience
from tasks.host.spans import Span
from tasks.plan import describe
from tasks.run.certainty import Tried, ratio_text
from tasks.run.report import best_of
from tasks.run.scope import Scope
from tasks.tokens.issue import ask_verifier
from tasks.tokens.work import Measure, Work
from tasks.trial.build import is_found_by_id
from tasks.trial.drive import RunStore
from tasks.trial.local import run_here
from tasks.trial.spec import Trial, TrialSpec
from tasks.trial.trial import trial
from verifier_vm.tokens.request import Says
from verifier_vm.tokens.terms import Provenance, RolloutStage

FRESH_SEEDS = 500  # added to the seed of the score that is confirmed
OnSpan = Callable[[Span], None]
Attempt = Callable[[TrialSpec, RunStore], Trial]
log = logger(__name__)


def promote(
    scope: Scope, tried: Sequence[Tried], *, attempt: Attempt | None = None, on_span: OnSpan = lambda _: None,
    on_refusal: Callable[[str], None] = lambda _: None,
) -> Path | None:  # fmt: skip
    """The token of the run's winner, signed and written; None when nothing won, not twice, or the signer refuses.

    The winner is the luckiest of several, so it is measured again on fresh seeds before anybody may load it. With
    SCHEDCP_VERIFY_TIER=full it passes the whole suite, too, and may then go beyond the canary, if enough of its own
    code was tried. `on_span` hears when guests ran, `on_refusal` why a winner could not be signed: the run's findings
    hold without its token.
    """
    best = best_of(tried)
    if best is None or best.outcome != "win" or not best.attached:
        return None
    candidate = next(attempt.candidate for attempt in tried if attempt.score is best)
    again = confirm(scope, best, candidate, attempt or partial(_attempt, on_span=on_span))
    if again is None or again.over or again.outcome != "win":
        return None
    return _signed(scope, best, candidate, on_refusal)


def _signed(scope: Scope, best: Score, winner: Candidate, on_refusal: Callable[[str], None]) -> Path | None:
    """Have the verifier look at the winner itself, measure it, and sign what it saw; None if it signs nothing."""
    name, settings, tier = describe(best.policy, best.knob_values), scope.settings, scope.settings.verify_tier
    planner, _, model = winner.planner.partition(":")
    workload = scope.workload.id if is_found_by_id(scope.workload, settings) else scope.workload.file
    measure = Measure(workload, len(best.pairs), 0, best.seed + FRESH_SEEDS)
    limit: RolloutStage = "canary" if tier == "short" or scope.shape.costs is not None else "fleet"
    if tier == "full" and limit == "canary":
        log.warning("learn: %s may go no further than the canary: it won on a model of a machine (--machine)", name)
    says = Says(
        audience(settings), best.policy, limit, provenance=Provenance(planner, model), must_win=True, at_most=True
    )
    doing("learn: the verifier looks at %s itself, and measures it", name)
    try:
        with scratch("winner") as made:
            source = Path(made) / f"{_plain(winner.policy)}.bpf.c"
            source.write_text(winner.source, encoding="utf-8")
            work = Work(str(source), knobs=dict(winner.knob_values), tier=tier, measure=measure)
            answer = ask_verifier(source, settings, work, says)
    except SchedcpError as refusal:
        log.warning("learn: %s won and is not promoted: %s", name, refusal)
        on_refusal(str(refusal))
        return None
    verdict = answer.verified.verdict
    if verdict.rejection is not None:
        log.warning("learn: %s won, and is rejected when it is tried further: %s", name, verdict.rejection.reason)
        _demote(scope, winner, best, verdict, name)
    elif answer.refused is not None:
        log.warning("learn: %s won and is not promoted: %s", name, answer.refused)
        on_refusal(str(answer.refused))
    elif answer.token is None:
        log.warning("learn: %s won and is not promoted: it did not win when the verifier measured it", name)
        on_refusal("it did not win when the verifier measured it itself")
    else:
        log.info("learn: promoted, token %s: %s", answer.token, name)
    return answer.token


def _demote(scope: Scope, winner: Candidate, best: Score, verdict: Verdict, name: str) -> None:
    """Keep why a winner may not run, and the lesson: from now on it is a rejection, and its scores are no winner's."""
    assert verdict.rejection is not None
    reason = verdict.rejection.reason
    text = f"{name} won {ratio_text(best.ratio)}, and is rejected when it is tried further: {reason}"
    lesson = Lesson(f"{scope.run_id}-{winner.id}-demoted", scope.run_id, scope.workload.id, winner.policy, text)
    scope.lake.put(Rejected(winner, verdict.rejection, scope.workload.id, best.kernel), lesson)


def confirm(scope: Scope, best: Score, winner: Candidate, attempt: Attempt) -> Score | None:
    """The winner's score on seeds that nobody has seen, which the lake keeps, too; None if it is rejected by now."""
    known = [score for score in scope.lake.scores(scope.workload.id) if score.confirms == best.id]
    again = known[-1] if known else None
    if again is None:
        plan = MeasurementPlan(len(best.pairs), 0, best.seed + FRESH_SEEDS)
        spec = TrialSpec(
            replace(winner, run_id=""), scope.workload, scope.shape, scope.settings, plan,
            floor=best.floor, confirms=best.id, known_suffices=True,
        )  # fmt: skip
        again = attempt(spec, scope.lake).score
        if again is not None:
            scope.lake.put(again)
        if again is None or again.over:
            log.warning("learn: %s won, and was rejected when it was measured again", best.policy)
            return again
    log.info("learn: on fresh seeds: %s, %s", ratio_text(again.ratio), outcome_text(again))
    return again


def _attempt(spec: TrialSpec, store: RunStore, *, on_span: OnSpan) -> Trial:
    what = f"learn: {spec.candidate.policy} once more, on fresh seeds"
    return run_here(trial(spec), spec, store, on_span=on_span, what=what)


def _plain(policy: str) -> str:
    """A file's name for a policy, which may be called anything."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in policy)[:60]

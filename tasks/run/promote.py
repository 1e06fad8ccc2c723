# SPDX-License-Identifier: Apache-2.0
"""Promote: the run's winner measured once more on fresh seeds, by the verifier, and signed if it wins again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.statistics import outcome_text
from policy_lake.doing import doing
from policy_lake.errors import SchedcpError
from policy_lake.files import scratch
from policy_lake.model import Candidate, Lesson, Verdict
from policy_lake.records import Rejected
from policy_lake.scores import Score
from policy_lake.show import logger
from tasks.host.audience import audience
from tasks.host.spans import Span
from tasks.plan import describe
from tasks.run.certainty import Tried, ratio_text
from tasks.run.report import best_of
from tasks.run.scope import Scope
from tasks.tokens.issue import Answer, ask_verifier
from tasks.tokens.work import Measure, Work
from tasks.trial.build import is_found_by_id
from verifier_vm.tokens.request import Says
from verifier_vm.tokens.terms import Provenance, RolloutStage

FRESH_SEEDS = 500  # added to the seed of the score that is confirmed
OnSpan = Callable[[Span], None]
log = logger(__name__)


def promote(
    scope: Scope, tried: Sequence[Tried], *, on_span: OnSpan = lambda _: None,
    on_refusal: Callable[[str], None] = lambda _: None,
) -> Path | None:  # fmt: skip
    """The token of the run's winner, signed and written; None when nothing won, not twice, or the signer refuses.

    The winner is the luckiest of several, so it must win again on fresh seeds before anybody may load it: the verifier
    measures it so, as often as it was measured here and against the floor that was known here, in runs of its own. With
    SCHEDCP_VERIFY_TIER=full it passes the whole suite, too, and may then go beyond the canary, if enough of its own
    code was tried. `on_span` hears when the verifier was at it, `on_refusal` why a winner could not be signed: the
    run's findings hold without its token. A run that is to have none has none.
    """
    best = best_of(tried)
    if best is None or best.outcome != "win" or not best.attached:
        return None
    if not scope.run.token:
        log.info("learn: %s won; this run is to have no token, so it is neither confirmed nor signed", best.policy)
        return None
    known = [score for score in scope.lake.scores(scope.workload.id) if score.confirms == best.id]
    if known and (known[-1].over or known[-1].outcome != "win"):
        log.info("learn: %s did not win again on fresh seeds: %s", best.policy, outcome_text(known[-1]))
        return None
    candidate = next(attempt.candidate for attempt in tried if attempt.score is best)
    name = describe(best.policy, best.knob_values)
    began = time.time()
    try:
        answer = _asked(scope, best, candidate, name)
    except SchedcpError as refusal:
        log.warning("learn: %s won and is not promoted: %s", name, refusal)
        on_refusal(str(refusal))
        return None
    finally:
        on_span((began, time.time()))
    if answer.verified.score is not None and not known:
        _keep(scope, best, answer.verified.score)
    return _promoted(scope, best, candidate, answer, name, on_refusal)


def _asked(scope: Scope, best: Score, winner: Candidate, name: str) -> Answer:
    """What the verifier saw of the winner, by its own measurement on seeds that nobody has seen."""
    settings, tier = scope.settings, scope.settings.verify_tier
    planner, _, model = winner.planner.partition(":")
    workload = scope.workload.id if is_found_by_id(scope.workload, settings) else scope.workload.file
    measure = Measure(workload, len(best.pairs), 0, best.seed + FRESH_SEEDS, best.floor)
    limit: RolloutStage = "canary" if tier == "short" or scope.shape.costs is not None else "fleet"
    if tier == "full" and limit == "canary":
        log.warning("learn: %s may go no further than the canary: it won on a model of a machine (--machine)", name)
    says = Says(
        audience(settings), best.policy, limit, provenance=Provenance(planner, model), must_win=True, at_most=True
    )
    doing("learn: the verifier looks at %s itself, and measures it on fresh seeds", name)
    with scratch("winner") as made:
        source = Path(made) / f"{_plain(winner.policy)}.bpf.c"
        source.write_text(winner.source, encoding="utf-8")
        work = Work(str(source), knobs=dict(winner.knob_values), tier=tier, measure=measure)
        return ask_verifier(source, settings, work, says)


def _keep(scope: Scope, best: Score, again: Score) -> None:
    """Keep what the verifier measured beside what it confirms; its runs are its own, and the lake has none of them."""
    scope.lake.put(replace(again, confirms=best.id, run_id="", candidate=best.candidate, measurements=()))
    log.info("learn: on fresh seeds: %s, %s", ratio_text(again.ratio), outcome_text(again))


def _promoted(
    scope: Scope, best: Score, winner: Candidate, answer: Answer, name: str, on_refusal: Callable[[str], None]
) -> Path | None:
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


def _plain(policy: str) -> str:
    """A file's name for a policy, which may be called anything."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in policy)[:60]

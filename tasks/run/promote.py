# SPDX-License-Identifier: Apache-2.0
"""Promote: the run's winner measured once more on fresh seeds, and signed if it wins again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.statistics import outcome_text
from policy_lake.coverage import shortfall
from policy_lake.doing import doing
from policy_lake.errors import InfraError, SchedcpError
from policy_lake.model import Candidate, Lesson, Stage, Verdict
from policy_lake.records import Rejected
from policy_lake.scores import MeasurementPlan, Score
from policy_lake.show import logger
from tasks.host.cpus import topologies_for
from tasks.host.spans import Span
from tasks.plan import describe
from tasks.run.batch import Evidence, read_evidence
from tasks.run.certainty import Tried, ratio_text
from tasks.run.report import best_of
from tasks.run.scope import Scope
from tasks.tokens.issue import token_for_verdict
from tasks.trial.drive import RunStore
from tasks.trial.full import verify_elsewhere, verify_full_tier
from tasks.trial.local import run_here
from tasks.trial.spec import Trial, TrialSpec
from tasks.trial.trial import trial
from verifier_vm.judge.stages import merged
from verifier_vm.tokens.terms import Provenance, RolloutStage
from verifier_vm.verdict import goes_on_with_hotplug, honours_cgroups, require, verdict_of

FRESH_SEEDS = 500  # added to the seed of the score that is confirmed
STATIC = ("source", "build", "object")
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
    evidence, tier = read_evidence(scope, best.candidate), scope.settings.verify_tier
    verdict = _beyond_this_guest(scope, evidence) if tier == "short" else _full(scope, evidence)
    name = describe(best.policy, best.knob_values)
    if verdict.rejection is not None:
        log.warning("learn: %s won, and is rejected when it is tried further: %s", name, verdict.rejection.reason)
        _demote(scope, candidate, best, verdict, name)
        return None
    limit: RolloutStage = "canary"
    if tier == "full":
        too_little = shortfall(verdict.coverage, scope.settings.min_coverage)
        limit = "canary" if too_little else "fleet"
        if scope.shape.costs is not None:
            limit = "canary"
            log.warning("learn: %s may go no further than the canary: it won on a model of a machine (--machine)", name)
        elif too_little:
            log.warning("learn: %s may go no further than the canary: %s (--min-coverage)", name, too_little)
    planner, _, model = candidate.planner.partition(":")
    try:
        path = token_for_verdict(
            verdict, candidate.source, scope.settings, policy=best.policy, arguments=evidence.arguments,
            btf_sha256=evidence.btf_sha256, workload=best.workload, score=again, tier=tier,
            rollout_limit=limit, provenance=Provenance(planner, model),
        )  # fmt: skip
    except SchedcpError as refusal:
        log.warning("learn: %s won and is not promoted: %s", name, refusal)
        on_refusal(str(refusal))
        return None
    log.info("learn: promoted, token %s: %s", path, name)
    return path


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


def _beyond_this_guest(scope: Scope, evidence: Evidence) -> Verdict:
    """The verdict, and what the winner did on topologies that it did not meet as a candidate, such as this host's."""
    met = [topology for stage in evidence.verdict.stages for topology in stage.topologies]
    wanted = topologies_for(scope.settings, "short", met)
    if not wanted:
        return evidence.verdict
    cgroups, hotplug = (asks(evidence.verdict.stages) for asks in (honours_cgroups, goes_on_with_hotplug))
    data, bugs = _object(scope, evidence), scope.settings.required_bugs
    more = verify_elsewhere(
        data, evidence.arguments, scope.settings, scope.shape, wanted, cgroups=cgroups, hotplug=hotplug
    )
    both = merged([evidence.verdict, *more])
    stages = [require(stage, bugs) for stage in both.stages]
    before = evidence.verdict
    return verdict_of(stages, ops=before.ops, data=data, kernel=before.kernel, coverage=both.coverage)


def _object(scope: Scope, evidence: Evidence) -> bytes:
    path = scope.settings.object_dir / f"{evidence.verdict.object_sha256}.bpf.o"
    try:
        return path.read_bytes()
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error


def _full(scope: Scope, evidence: Evidence) -> Verdict:
    """The verdict with the full tier's stages in place of the short tier's."""
    data = _object(scope, evidence)
    cgroups, hotplug = (asks(evidence.verdict.stages) for asks in (honours_cgroups, goes_on_with_hotplug))
    doing("learn: the winner goes through the full tier")
    full = verify_full_tier(
        data, evidence.arguments, scope.settings, scope.shape, cgroups=cgroups, hotplug=hotplug,
        topologies=topologies_for(scope.settings, "full"),
    )  # fmt: skip
    kept = [stage for stage in evidence.verdict.stages if stage.name in STATIC or stage.name == "score"]
    in_guests = [require(stage, scope.settings.required_bugs) for stage in full.stages]
    stages: list[Stage] = [*(stage for stage in kept if stage.name in STATIC), *in_guests]
    stages += [stage for stage in kept if stage.name == "score"]
    return verdict_of(stages, ops=full.ops, data=data, kernel=full.kernel, coverage=full.coverage)

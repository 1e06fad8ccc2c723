# SPDX-License-Identifier: Apache-2.0
"""Promotion: what must hold before a winner gets a token, and each way in which it gets none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from flow_cases import candidate
from flow_cases import score as score_of
from trial_cases import BATCH, spec

from policy_lake.embed import embedder
from policy_lake.errors import InfraError
from policy_lake.lake import Lake
from policy_lake.machine_model import Costs
from policy_lake.model import Finding, Verdict
from policy_lake.scores import MeasurementPlan
from tasks.run import promote as module
from tasks.run.certainty import Tried
from tasks.run.promote import promote
from tasks.tokens.issue import Answer
from tasks.tokens.work import Measure
from tasks.trial.spec import Trial, TrialSpec
from tasks.verify import Verified
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.request import Says
from verifier_vm.tokens.terms import Provenance
from verifier_vm.verdict import stage_of, verdict_of

STAGES = tuple(stage_of(name, 0.1) for name in ("source", "build", "object", "kernel", "survive", "fair", "score"))
ACCEPTED = verdict_of(STAGES, ops="ljf", data=b"object", kernel="7.3.4")
REJECTED = Verdict(False, None, ())
WINNER = candidate("ljf-1")
WON = score_of(WINNER)


@pytest.fixture
def scope(tmp_path):
    settings = spec(tmp_path).settings.model_copy(update={"audience": "host-1"})
    lake = Lake(tmp_path / "lake", embedder=embedder("hash:8"))
    return SimpleNamespace(
        run_id="run-1", settings=settings, lake=lake, workload=BATCH, shape=spec(tmp_path).shape,
    )  # fmt: skip


@pytest.fixture
def signed(monkeypatch):
    """What the verifier was asked: the source as it lay there, its work, what the token shall say."""
    asked = []

    def ask(file, settings, work, says):
        asked.append((file.name, file.read_text(), work, says))
        return Answer(Verified(ACCEPTED, WINNER.source, b"object"), Path("/tokens/t"))

    monkeypatch.setattr(module, "ask_verifier", ask)
    return asked


def again(outcome="win", score=WON):
    """An attempt that comes to this; `asked` are the specs it was given."""
    asked = []

    def attempt(given, store):
        asked.append(given)
        confirmed = score and replace(score, id="again", outcome=outcome, confirms=score.id)
        return Trial(given.candidate, ACCEPTED if score else REJECTED, confirmed)

    attempt.asked = asked
    return attempt


def test_what_won_twice_is_signed_with_the_second_score(scope, signed):
    attempt = again()
    assert promote(scope, [Tried(WINNER, WON)], attempt=attempt) == Path("/tokens/t")
    ((name, source, work, says),) = signed
    assert (name, source) == ("ljf.bpf.c", WINNER.source) and work.knobs == WINNER.knob_values
    assert work.tier == "short" and work.measure == Measure(BATCH.id, len(WON.pairs), 0, WON.seed + 500)
    assert says == Says("host-1", "ljf", "canary", provenance=Provenance("embedded"), must_win=True, at_most=True)
    (asked,) = attempt.asked
    assert asked.plan == MeasurementPlan(len(WON.pairs), 0, WON.seed + 500) and asked.known_suffices
    assert [kept.id for kept in scope.lake.scores()] == ["again"]


@pytest.mark.parametrize("outcome", ["loss", "inconclusive"])
def test_what_did_not_win_is_not_even_measured_again(scope, signed, outcome):
    attempt = again()
    assert promote(scope, [Tried(WINNER, replace(WON, outcome=outcome))], attempt=attempt) is None
    assert attempt.asked == [] and signed == []


def test_without_proof_of_attachment_there_is_no_token(scope, signed):
    attempt = again()
    assert promote(scope, [Tried(WINNER, replace(WON, attached=False))], attempt=attempt) is None
    assert attempt.asked == [] and signed == []


@pytest.mark.parametrize("outcome", ["loss", "inconclusive"])
def test_what_does_not_win_again_is_not_signed(scope, signed, outcome):
    assert promote(scope, [Tried(WINNER, WON)], attempt=again(outcome)) is None and signed == []
    assert [kept.outcome for kept in scope.lake.scores()] == [outcome]


def test_what_is_rejected_when_measured_again_is_not_signed(scope, signed):
    assert promote(scope, [Tried(WINNER, WON)], attempt=again(score=None)) is None and signed == []
    assert scope.lake.scores() == []


def test_a_confirmation_that_the_lake_has_is_not_measured_again(scope, signed):
    scope.lake.put(replace(WON, id="known", confirms=WON.id))
    attempt = again()
    assert promote(scope, [Tried(WINNER, WON)], attempt=attempt) is not None and attempt.asked == []
    scope.lake.put(replace(WON, id="lost", confirms=WON.id, outcome="inconclusive"))
    assert promote(scope, [Tried(WINNER, WON)], attempt=attempt) is None


def test_nothing_tried_nothing_promoted(scope, signed):
    assert promote(scope, [], attempt=again()) is None
    assert promote(scope, [Tried(WINNER, failure="infra: gone")], attempt=again()) is None and signed == []


def answers(monkeypatch, **fields):
    monkeypatch.setattr(module, "ask_verifier", lambda *_: Answer(**fields))


def test_what_the_verifier_rejects_is_not_signed_though_it_won(scope, monkeypatch):
    stall = verdict_of([stage_of("survive", 0.1, [Finding("F01", "reject", "it stalled")])], kernel="7.3.4")
    answers(monkeypatch, verified=Verified(stall, "", b""))
    assert promote(scope, [Tried(WINNER, WON)], attempt=again()) is None
    (kept,), (lesson,) = scope.lake.rejections(), scope.lake.lessons()
    assert (kept.candidate.id, kept.rejection.stage, kept.kernel) == ("ljf-1", "survive", WON.kernel)
    assert "won 1.31x" in lesson.text and "rejected" in lesson.text, "demoted: a later plan hears of both"


def test_what_does_not_win_when_the_verifier_measures_it_is_not_signed(scope, monkeypatch, caplog):
    answers(monkeypatch, verified=Verified(ACCEPTED, "", b""))
    heard = []
    assert promote(scope, [Tried(WINNER, WON)], attempt=again(), on_refusal=heard.append) is None
    assert "did not win when the verifier measured it" in caplog.text and len(heard) == 1


@pytest.mark.parametrize(("costs", "limit"), [(None, "fleet"), (Costs(switch_ns=1), "canary")])
def test_a_win_of_the_full_tier_may_go_to_the_fleet_but_for_one_on_a_model_of_a_machine(scope, signed, costs, limit):
    scope.settings = scope.settings.model_copy(update={"verify_tier": "full"})
    scope.shape = replace(scope.shape, costs=costs)
    assert promote(scope, [Tried(WINNER, WON)], attempt=again()) is not None
    assert (signed[0][3].rollout_limit, signed[0][2].tier) == (limit, "full")


FAILURES = [
    TokenError("the object is revoked", Code.REVOKED),
    KeyFileError("others may use it"),
    InfraError("no space"),
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("raised", [True, False])
def test_a_winner_that_cannot_be_signed_does_not_cost_the_run_s_findings(scope, monkeypatch, caplog, failure, raised):
    def refuse(*_):
        if raised:
            raise failure
        return Answer(Verified(ACCEPTED, "", b""), None, failure)

    monkeypatch.setattr(module, "ask_verifier", refuse)
    heard = []
    assert promote(scope, [Tried(WINNER, WON)], attempt=again(), on_refusal=heard.append) is None
    assert heard == [str(failure)] and f"is not promoted: {failure}" in caplog.text


def test_a_winner_is_measured_again_as_it_was_measured_on_other_seeds(scope, signed):
    attempt, won = again(), replace(WON, floor=1.07)
    assert promote(scope, [Tried(WINNER, won)], attempt=attempt) is not None
    plan = MeasurementPlan(len(won.pairs), 0, won.seed + 500)
    assert attempt.asked == [
        TrialSpec(replace(WINNER, run_id=""), BATCH, scope.shape, scope.settings, plan, floor=1.07, confirms=won.id,
                  known_suffices=True)
    ]  # fmt: skip


def test_a_winner_is_measured_again_here(scope, signed, monkeypatch):
    asked = []

    def run_here(steps, given, store, **more):
        asked.append((steps, store, more))
        return again()(given, store)

    monkeypatch.setattr(module, "run_here", run_here)
    monkeypatch.setattr(module, "trial", lambda given: given.confirms)
    assert promote(scope, [Tried(WINNER, WON)], on_span=print) is not None
    what = "learn: ljf once more, on fresh seeds"
    assert asked == [(WON.id, scope.lake, {"on_span": print, "what": what})]

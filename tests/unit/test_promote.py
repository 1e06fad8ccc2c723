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
from policy_lake.errors import InfraError, InputError
from policy_lake.lake import Lake
from policy_lake.machine_model import Costs
from policy_lake.model import Finding, Verdict
from policy_lake.scores import MeasurementPlan
from tasks.run import promote as module
from tasks.run.certainty import Tried
from tasks.run.promote import promote
from tasks.tokens.issue import Answer
from tasks.tokens.work import Measure
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
        run=SimpleNamespace(token=True),
    )  # fmt: skip


AGAIN = replace(WON, id="again", seed=WON.seed + 500, run_id="", measurements=("its own",))


@pytest.fixture
def signed(monkeypatch):
    """What the verifier was asked: the source as it lay there, its work, what the token shall say."""
    asked = []

    def ask(file, settings, work, says):
        asked.append((file.name, file.read_text(), work, says))
        return Answer(Verified(ACCEPTED, WINNER.source, b"object", score=AGAIN), Path("/tokens/t"))

    monkeypatch.setattr(module, "ask_verifier", ask)
    return asked


def test_a_run_that_is_to_have_no_token_asks_nobody_for_one(scope, signed):
    scope.run.token = False
    assert promote(scope, [Tried(WINNER, WON)]) is None and signed == []


def test_what_won_twice_is_signed_and_measured_by_the_verifier_alone(scope, signed):
    assert promote(scope, [Tried(WINNER, WON)]) == Path("/tokens/t")
    ((name, source, work, says),) = signed
    assert (name, source) == ("ljf.bpf.c", WINNER.source) and work.knobs == WINNER.knob_values
    assert work.tier == "short" and work.measure == Measure(BATCH.id, len(WON.pairs), 0, WON.seed + 500, WON.floor)
    assert says == Says("host-1", "ljf", "canary", provenance=Provenance("embedded"), must_win=True, at_most=True)
    (kept,) = scope.lake.scores()
    assert (kept.id, kept.confirms, kept.candidate) == ("again", WON.id, WON.candidate)
    assert kept.measurements == () and kept.run_id == "", "its runs are the verifier's, and are no run's of the tune"


def test_a_win_is_measured_again_against_the_floor_that_was_known(scope, signed):
    assert promote(scope, [Tried(WINNER, replace(WON, floor=1.07))]) is not None
    measure = signed[0][2].measure
    assert measure.floor == 1.07 and measure.seed == WON.seed + 500
    assert replace(measure, pairs=8).plan == MeasurementPlan(8, 0, WON.seed + 500)


@pytest.mark.parametrize("floor", [0.99, 0.0, -1.0, 101.0, float("nan"), float("inf")])
def test_a_floor_that_would_ask_for_less_is_bad_input(floor):
    with pytest.raises(InputError, match="floor"):
        _ = Measure("batch", 8, floor=floor).plan


@pytest.mark.parametrize("outcome", ["loss", "inconclusive"])
def test_what_did_not_win_is_not_even_measured_again(scope, signed, outcome):
    assert promote(scope, [Tried(WINNER, replace(WON, outcome=outcome))]) is None and signed == []


def test_without_proof_of_attachment_there_is_no_token(scope, signed):
    assert promote(scope, [Tried(WINNER, replace(WON, attached=False))]) is None and signed == []


@pytest.mark.parametrize("bad", [{"outcome": "loss"}, {"outcome": "inconclusive"}, {"over": {"p99_us": 1.5}}])
def test_what_was_once_not_good_on_fresh_seeds_is_not_tried_until_it_is(scope, signed, bad):
    scope.lake.put(replace(WON, id="known", confirms=WON.id, **bad))
    assert promote(scope, [Tried(WINNER, WON)]) is None and signed == []
    assert [kept.id for kept in scope.lake.scores()] == ["known"]


def test_a_confirmation_that_the_lake_has_is_no_token_the_verifier_believes_its_own_runs(scope, signed):
    scope.lake.put(replace(WON, id="known", confirms=WON.id))
    scope.lake.put(replace(WON, id="other", confirms="another", outcome="loss"))
    assert promote(scope, [Tried(WINNER, WON)]) is not None and len(signed) == 1
    assert {kept.id for kept in scope.lake.scores()} == {"known", "other"}


def test_nothing_tried_nothing_promoted(scope, signed):
    assert promote(scope, []) is None
    assert promote(scope, [Tried(WINNER, failure="infra: gone")]) is None and signed == []


def test_the_verifier_s_time_counts_as_time_in_guests(scope, signed, monkeypatch):
    spans = []
    promote(scope, [Tried(WINNER, WON)], on_span=spans.append)
    monkeypatch.setattr(module, "ask_verifier", lambda *_: (_ for _ in ()).throw(InfraError("gone")))
    promote(scope, [Tried(WINNER, WON)], on_span=spans.append)
    assert len(spans) == 2 and all(0 < began <= ended for began, ended in spans)


def answers(monkeypatch, **fields):
    monkeypatch.setattr(module, "ask_verifier", lambda *_: Answer(**fields))


def test_what_the_verifier_rejects_is_not_signed_though_it_won(scope, monkeypatch):
    stall = verdict_of([stage_of("survive", 0.1, [Finding("F01", "reject", "it stalled")])], kernel="7.3.4")
    answers(monkeypatch, verified=Verified(stall, "", b""))
    assert promote(scope, [Tried(WINNER, WON)]) is None
    (kept,), (lesson,) = scope.lake.rejections(), scope.lake.lessons()
    assert (kept.candidate.id, kept.rejection.stage, kept.kernel) == ("ljf-1", "survive", WON.kernel)
    assert "won 1.31x" in lesson.text and "rejected" in lesson.text, "demoted: a later plan hears of both"


@pytest.mark.parametrize("outcome", ["loss", "inconclusive"])
def test_what_does_not_win_when_the_verifier_measures_it_is_not_signed_nor_measured_a_third_time(
    scope, monkeypatch, caplog, outcome
):
    answers(monkeypatch, verified=Verified(ACCEPTED, "", b"", score=replace(AGAIN, outcome=outcome)))
    heard = []
    assert promote(scope, [Tried(WINNER, WON)], on_refusal=heard.append) is None
    assert "did not win when the verifier measured it" in caplog.text and len(heard) == 1
    assert [(kept.outcome, kept.confirms) for kept in scope.lake.scores()] == [(outcome, WON.id)]
    monkeypatch.setattr(module, "ask_verifier", lambda *_: pytest.fail("measured a third time"))
    assert promote(scope, [Tried(WINNER, WON)]) is None


@pytest.mark.parametrize(("costs", "limit"), [(None, "fleet"), (Costs(switch_ns=1), "canary")])
def test_a_win_of_the_full_tier_may_go_to_the_fleet_but_for_one_on_a_model_of_a_machine(scope, signed, costs, limit):
    scope.settings = scope.settings.model_copy(update={"verify_tier": "full"})
    scope.shape = replace(scope.shape, costs=costs)
    assert promote(scope, [Tried(WINNER, WON)]) is not None
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
    assert promote(scope, [Tried(WINNER, WON)], on_refusal=heard.append) is None
    assert heard == [str(failure)] and f"is not promoted: {failure}" in caplog.text

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

from policy_lake.coverage import Branch, Coverage, counted
from policy_lake.embed import embedder
from policy_lake.errors import InfraError
from policy_lake.lake import Lake
from policy_lake.machine_model import Costs
from policy_lake.model import Finding, Verdict
from policy_lake.scores import MeasurementPlan
from policy_lake.topology import HostCpus, Topology
from tasks.host import cpus as host_cpus
from tasks.run import promote as module
from tasks.run.batch import write_evidence
from tasks.run.certainty import Tried
from tasks.run.promote import promote
from tasks.trial.spec import Trial, TrialSpec
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.verdict import stage_of, verdict_of

STAGES = tuple(stage_of(name, 0.1) for name in ("source", "build", "object", "kernel", "survive", "fair", "score"))
ACCEPTED = verdict_of(STAGES, ops="ljf", data=b"object", kernel="7.3.4")
COVERAGE = counted(["f"], [], [Branch("f", "ljf.bpf.c", 1, 1, 0, "ran", "ran")])
HALF = counted([], [], [Branch("f", "ljf.bpf.c", 1, 1, 0, "ran", "not tried")])
REJECTED = Verdict(False, None, ())
WINNER = candidate("ljf-1")
WON = score_of(WINNER)


@pytest.fixture(autouse=True)
def this_host(monkeypatch):
    """A host that the short tier's guest covers, whatever the tests run on."""
    monkeypatch.setattr(host_cpus, "read_host_cpus", lambda: HostCpus(2))


@pytest.fixture
def scope(tmp_path):
    settings = spec(tmp_path).settings
    lake = Lake(tmp_path / "lake", embedder=embedder("hash:8"))
    made = SimpleNamespace(
        run_id="run-1", settings=settings, lake=lake, workload=BATCH, shape=spec(tmp_path).shape,
    )  # fmt: skip
    write_evidence(made, Trial(WINNER, ACCEPTED, WON, b"object", ("slice_ns=5",), "btf"))
    return made


@pytest.fixture
def signed(monkeypatch):
    """What the signer was asked for."""
    asked = []

    def sign(verdict, source, settings, **terms):
        asked.append((verdict, terms))
        return Path("/tokens/t")

    monkeypatch.setattr(module, "token_for_verdict", sign)
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
    ((verdict, terms),) = signed
    assert verdict == ACCEPTED and terms.pop("score").id == "again" and terms.pop("provenance").planner == "embedded"
    assert terms == {
        "policy": "ljf", "arguments": ("slice_ns=5",), "btf_sha256": "btf", "workload": WON.workload, "tier": "short",
        "rollout_limit": "canary",
    }  # fmt: skip
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


def test_what_the_full_tier_rejects_is_not_signed_though_it_won(scope, signed, monkeypatch):
    scope.settings = scope.settings.model_copy(update={"verify_tier": "full"})
    with pytest.raises(InfraError, match="No such file"):  # nothing to verify: nothing is known
        promote(scope, [Tried(WINNER, WON)], attempt=again())
    scope.settings.object_dir.mkdir(parents=True)
    (scope.settings.object_dir / f"{ACCEPTED.object_sha256}.bpf.o").write_bytes(b"object")
    stall = [replace(stage, ok=False) if stage.name == "survive" else stage for stage in STAGES[3:6]]
    monkeypatch.setattr(module, "verify_full_tier", lambda *_, **__: verdict_of(stall, kernel="7.3.4"))
    assert promote(scope, [Tried(WINNER, WON)], attempt=again()) is None and signed == []
    (kept,), (lesson,) = scope.lake.rejections(), scope.lake.lessons()
    assert (kept.candidate.id, kept.rejection.stage, kept.kernel) == ("ljf-1", "survive", WON.kernel)
    assert "won 1.31x" in lesson.text and "rejected" in lesson.text, "demoted: a later plan hears of both"
    monkeypatch.setattr(
        module, "verify_full_tier", lambda *_, **__: verdict_of(STAGES[3:6], kernel="7.3.4", coverage=COVERAGE)
    )
    assert promote(scope, [Tried(WINNER, WON)], attempt=again()) is not None
    assert (signed[0][1]["rollout_limit"], signed[0][1]["tier"]) == ("fleet", "full")
    assert [stage.name for stage in signed[0][0].stages] == [stage.name for stage in STAGES]
    assert signed[0][0].coverage == COVERAGE


@pytest.mark.parametrize(
    ("coverage", "least", "limit"),
    [(None, 95, "canary"), (Coverage("nobody looked"), 0, "canary"), (HALF, 95, "canary"), (HALF, 51, "canary"),
     (HALF, 50, "fleet")],
)  # fmt: skip
def test_a_token_goes_no_further_than_the_canary_with_too_little_coverage(
    scope, signed, monkeypatch, caplog, coverage, least, limit
):
    scope.settings = scope.settings.model_copy(update={"verify_tier": "full", "min_coverage": least})
    scope.settings.object_dir.mkdir(parents=True)
    (scope.settings.object_dir / f"{ACCEPTED.object_sha256}.bpf.o").write_bytes(b"object")
    full = verdict_of(STAGES[3:6], kernel="7.3.4", coverage=coverage)
    monkeypatch.setattr(module, "verify_full_tier", lambda *_, **__: full)
    assert promote(scope, [Tried(WINNER, WON)], attempt=again()) is not None
    assert signed[0][1]["rollout_limit"] == limit
    assert ("no further than the canary" in caplog.text) == (limit == "canary")


def test_a_win_on_a_model_of_a_machine_goes_no_further_than_the_canary(scope, signed, monkeypatch):
    scope.settings = scope.settings.model_copy(update={"verify_tier": "full"})
    scope.settings.object_dir.mkdir(parents=True)
    (scope.settings.object_dir / f"{ACCEPTED.object_sha256}.bpf.o").write_bytes(b"object")
    full = verdict_of(STAGES[3:6], kernel="7.3.4", coverage=COVERAGE)
    monkeypatch.setattr(module, "verify_full_tier", lambda *_, **__: full)
    scope.shape = replace(scope.shape, costs=Costs(switch_ns=1))
    assert promote(scope, [Tried(WINNER, WON)], attempt=again()) is not None
    assert (signed[0][1]["rollout_limit"], signed[0][1]["tier"]) == ("canary", "full")


@pytest.mark.parametrize(
    "failure",
    [TokenError("the object is revoked", Code.REVOKED), KeyFileError("others may use it"), InfraError("no space left")],
)
def test_a_winner_that_cannot_be_signed_does_not_cost_the_run_s_findings(scope, monkeypatch, caplog, failure):
    def refuse(*_, **__):
        raise failure

    monkeypatch.setattr(module, "token_for_verdict", refuse)
    heard = []
    assert promote(scope, [Tried(WINNER, WON)], attempt=again(), on_refusal=heard.append) is None
    assert heard == [str(failure)] and f"is not promoted: {failure}" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"{", b"[]"])
def test_without_the_evidence_there_is_no_token(scope, signed, damage):
    path = scope.settings.run_dir / scope.run_id / f"{WINNER.id}.json"
    path.write_bytes(damage)
    with pytest.raises(InfraError, match="cannot be read"):
        promote(scope, [Tried(WINNER, WON)], attempt=again())
    assert signed == []


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


WHOSE = ("ops", "kernel", "object_sha256")
FURTHER = (Topology(4), Topology(16, smt=2))  # what is asked for, and what this host is like


@pytest.fixture
def further(scope, monkeypatch):
    """Promotes where more is to be tried; what those guests were asked for."""

    def run(tier, make=lambda topology: (stage_of("survive", 0.1),), evidence=ACCEPTED, coverage=COVERAGE, require=""):
        asked = []

        def elsewhere(data, arguments, settings, shape, topologies, **more):
            asked.append((data, arguments, settings, {**more, "topologies": tuple(topologies)}))
            return [verdict_of(make(topology), coverage=coverage) for topology in topologies]

        def full(data, arguments, settings, shape, **more):
            asked.append((data, arguments, settings, more))
            stages = [*STAGES[3:6], *(stage for topology in more["topologies"] for stage in make(topology))]
            return verdict_of(stages, ops="ljf", kernel="7.3.4", coverage=coverage)

        monkeypatch.setattr(host_cpus, "read_host_cpus", lambda: HostCpus(16, smt=2))
        monkeypatch.setattr(module, "verify_elsewhere", elsewhere)
        monkeypatch.setattr(module, "verify_full_tier", full)
        changes = {"verify_tier": tier, "topologies": "cpus=4", "require": require}
        scope.settings = scope.settings.model_copy(update=changes)
        scope.settings.object_dir.mkdir(parents=True)
        (scope.settings.object_dir / f"{ACCEPTED.object_sha256}.bpf.o").write_bytes(b"object")
        write_evidence(scope, Trial(WINNER, evidence, WON, b"object", ("slice_ns=5",), "btf"))
        return promote(scope, [Tried(WINNER, WON)], attempt=again()), asked

    return run


@pytest.mark.parametrize("tier", ["short", "full"])
@pytest.mark.parametrize(
    ("callbacks", "promised"),
    [(("cgroup_init",), {"cgroups": True, "hotplug": False}),
     (("cpu_online", "cpu_offline"), {"cgroups": False, "hotplug": True})],
)  # fmt: skip
def test_what_is_tried_further_is_held_to_what_the_policy_promises(scope, signed, further, tier, callbacks, promised):
    stages = [replace(stage, callbacks=callbacks) if stage.name == "object" else stage for stage in STAGES]
    made, asked = further(tier, evidence=replace(ACCEPTED, stages=tuple(stages)))
    expected = FURTHER if tier == "short" else module.topologies_for(scope.settings, "full")
    assert made and expected
    assert asked == [(b"object", ("slice_ns=5",), scope.settings, {**promised, "topologies": expected})]
    ((verdict, _),) = signed
    assert [getattr(verdict, name) for name in WHOSE] == [getattr(ACCEPTED, name) for name in WHOSE]


def test_a_verdict_is_of_every_guest_that_a_winner_was_tried_in(signed, further):
    branch = Branch("f", "ljf.bpf.c", 1, 1, 0, "not tried", "ran")
    made, _ = further(
        "short", lambda topology: (replace(stage_of("survive", 0.1), topologies=(topology,)),),
        replace(ACCEPTED, coverage=HALF), counted([], [], [branch]),
    )  # fmt: skip
    ((verdict, _),) = signed
    assert made and verdict.coverage == counted([], [], [replace(branch, jumped="ran")])
    assert [stage.topologies for stage in verdict.stages if stage.name == "survive"] == [FURTHER]


@pytest.mark.parametrize("at", FURTHER)
def test_one_guest_of_several_that_rejects_is_enough(signed, further, caplog, at):
    findings = [Finding("F02", "reject", "no such queue", "W28")]
    made, _ = further("short", lambda topology: (stage_of("survive", 0.1, findings if topology == at else ()),))
    assert made is None and signed == [] and "no such queue" in caplog.text


@pytest.mark.parametrize("tier", ["short", "full"])
@pytest.mark.parametrize(("require", "signs"), [("", True), ("cgroups", True), ("nice", False)])
def test_what_the_hosts_need_is_asked_of_further_guests_too(signed, further, tier, require, signs):
    note = Finding("F16", "note", "nice levels are void", "W4")
    made, _ = further(tier, lambda topology: (stage_of("fair", 0.1, [note]),), require=require)
    assert (made is not None, len(signed)) == (signs, signs)

# SPDX-License-Identifier: Apache-2.0
"""A run's winner gets a token that tells of its score; a refusal of the signer ends the promotion, not the run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from token_cases import SCORE, STAGES, TRIED, sha

from policy_lake.files import atomic_write
from policy_lake.model import Candidate, Finding, Verdict, to_json
from policy_lake.topology import HostCpus, Topology, outside
from tasks.host import cpus as host_cpus
from tasks.host.guest import Shape
from tasks.host.settings import Settings
from tasks.run import promote as promoting
from tasks.run.batch import Evidence
from tasks.run.certainty import Tried
from tasks.run.promote import promote
from tasks.tokens.check import ReportState, show_token
from verifier_vm.tokens.dsse import canonical_json
from verifier_vm.tokens.report import digest_of
from verifier_vm.verdict import stage_of, verdict_of

WINNER = Candidate("ljf-1", "run-1", 1, "ljf", "// ljf\n", {}, "one long job", "model:some-model")
BEST = replace(SCORE, candidate="ljf-1", run_id="run-1")


@pytest.fixture(autouse=True)
def this_host(monkeypatch):
    """A host that the token cases' topologies cover, whatever the tests run on."""
    monkeypatch.setattr(host_cpus, "read_host_cpus", lambda: HostCpus(2))


def _promote(tmp_path, stages):
    settings = Settings(data_dir=tmp_path, key_store=None, audience="host-1")
    verdict = Verdict(True, None, stages, "ljf", sha("object"), SCORE.kernel)
    evidence = canonical_json(to_json(Evidence(verdict, ("slice_us=500",), sha("btf"))))
    atomic_write(settings.run_dir / "run-1" / "ljf-1.json", evidence)
    again = replace(BEST, id="score-2", confirms=BEST.id)
    lake = SimpleNamespace(scores=lambda *_: [again], put=lambda *_: None)
    atomic_write(settings.object_dir / f"{sha('object')}.bpf.o", b"object")
    workload = SimpleNamespace(id="batch")
    scope = SimpleNamespace(settings=settings, run_id="run-1", workload=workload, shape=Shape(Topology()), lake=lake)
    return promote(scope, [Tried(WINNER, BEST)]), settings


def test_the_token_tells_of_the_score_and_of_who_proposed_the_policy(tmp_path):
    path, settings = _promote(tmp_path, STAGES)
    shown = show_token(path, settings)
    assert (shown.distrust, shown.report) == (None, ReportState.AS_SIGNED)
    assert (
        shown.token.score_sha256 == digest_of(replace(BEST, id="score-2", confirms=BEST.id))
        and shown.token.ratio == BEST.ratio
    )
    assert (shown.token.provenance.planner, shown.token.provenance.model) == ("model", "some-model")


def test_a_refusal_of_the_signer_is_no_failure_of_the_run(tmp_path, caplog):
    path, settings = _promote(tmp_path, STAGES[1:])
    assert path is None and "won and is not promoted: no token for 'ljf': the verdict lacks the stage" in caplog.text
    assert not settings.token_dir.exists()


LARGE = HostCpus(16, smt=2)


def elsewhere(monkeypatch, *findings):
    """The host is another than what the winner met as a candidate, and what a guest like it finds is this."""
    asked = []

    def verify(data, arguments, settings, shape, topologies, **more):
        asked.append((data, arguments, tuple(topologies), more))
        survive = replace(stage_of("survive", 1.0, findings), topologies=() if findings else tuple(topologies))
        return [verdict_of([survive])]

    monkeypatch.setattr(host_cpus, "read_host_cpus", lambda: LARGE)
    monkeypatch.setattr(promoting, "verify_elsewhere", verify)
    return asked


def test_a_winner_is_tried_on_a_guest_like_this_host_and_its_token_holds_there(tmp_path, monkeypatch):
    asked = elsewhere(monkeypatch)
    path, settings = _promote(tmp_path, STAGES)
    ((data, arguments, topologies, _),) = asked
    assert (data, arguments, topologies) == (b"object", ("slice_us=500",), (Topology(16, smt=2),))
    token = show_token(path, settings).token
    assert token.topologies == (*TRIED, *topologies) and outside(LARGE, token.topologies) == ""


def test_one_that_fails_on_a_guest_like_this_host_is_not_promoted(tmp_path, monkeypatch, caplog):
    elsewhere(monkeypatch, Finding("F02", "reject", "no such queue", "W28"))
    path, settings = _promote(tmp_path, STAGES)
    assert path is None and "is rejected when it is tried further: no such queue" in caplog.text
    assert not settings.token_dir.exists()


def test_what_the_winner_met_already_is_not_tried_again(tmp_path, monkeypatch):
    asked = elsewhere(monkeypatch)
    met = tuple(replace(stage, topologies=(*stage.topologies, Topology(16, smt=2))) for stage in STAGES)
    assert _promote(tmp_path, met)[0] is not None and asked == []

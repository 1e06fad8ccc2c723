# SPDX-License-Identifier: Apache-2.0
"""A run's winner gets a token that tells of its score; a refusal of the signer ends the promotion, not the run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from token_cases import SCORE, STAGES, sha

from policy_lake.files import atomic_write
from policy_lake.model import Candidate, Verdict, to_json
from tasks.host.settings import Settings
from tasks.run.batch import Evidence
from tasks.run.certainty import Tried
from tasks.run.promote import promote
from tasks.tokens.check import ReportState, show_token
from verifier_vm.tokens.dsse import canonical_json
from verifier_vm.tokens.report import digest_of

WINNER = Candidate("ljf-1", "run-1", 1, "ljf", "// ljf\n", {}, "one long job", "model:some-model")
BEST = replace(SCORE, candidate="ljf-1", run_id="run-1")


def _promote(tmp_path, stages):
    settings = Settings(data_dir=tmp_path, key_store=None, audience="host-1")
    verdict = Verdict(True, None, stages, "ljf", sha("object"), SCORE.kernel)
    evidence = canonical_json(to_json(Evidence(verdict, ("slice_us=500",), sha("btf"))))
    atomic_write(settings.run_dir / "run-1" / "ljf-1.json", evidence)
    again = replace(BEST, id="score-2", confirms=BEST.id)
    lake = SimpleNamespace(scores=lambda *_: [again])
    scope = SimpleNamespace(settings=settings, run_id="run-1", workload=SimpleNamespace(id="batch"), lake=lake)
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

# SPDX-License-Identifier: Apache-2.0
"""Decisions round a token that no other test notices when they are turned round; `make mutants` found them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from token_cases import NO_CGROUPS, REQUEST, SCORE, STAGES, TRIED, check, issue, refusal, resigned, revoke, sha, trust

from policy_lake.errors import InputError
from policy_lake.machine_model import Costs
from policy_lake.model import Finding, Stage
from policy_lake.scores import Ratio
from policy_lake.topology import HostCpus
from verifier_vm.tokens.dsse import canonical_json, strict_json
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.files import SIZE_LIMIT
from verifier_vm.tokens.issue import Assigned, issue_token, limits_of
from verifier_vm.tokens.private_key import SigningKey
from verifier_vm.tokens.revocation import (
    REVOCATIONS,
    RevocationList,
    Revoked,
    check_revocation,
    read_revocations,
    write_revocations,
)
from verifier_vm.tokens.terms import LIMITS_OF_BUGS, LONGEST_TEXT, LONGEST_VALID_FOR, LogPlace


def test_signed_json_is_sorted_short_and_as_it_is_spelt():
    assert canonical_json({"b": [1, 2], "a": "ü"}) == '{"a":"ü","b":[1,2]}'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_not_signed(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": number})


def test_json_may_be_as_large_as_the_limit_and_no_larger():
    content = b'"' + b"x" * (SIZE_LIMIT - 2) + b'"'
    assert len(strict_json(content)) == SIZE_LIMIT - 2
    with pytest.raises(ValueError, match="larger than"):
        strict_json(content + b" ")


def test_a_reason_may_be_as_long_as_the_limit_and_no_longer():
    def revoked(length):
        return Revoked("object", sha("bad"), "x" * length, datetime(2026, 1, 1, tzinfo=UTC))

    check_revocation(revoked(LONGEST_TEXT))
    with pytest.raises(InputError, match="needs a reason"):
        check_revocation(revoked(LONGEST_TEXT + 1))


def test_everybody_can_read_the_revocation_list_and_only_the_signer_can_write_it(tmp_path):
    keys = tmp_path / "keys"
    issue(keys)
    revoke(keys, "object", sha("bad"), "it starves kworkers")
    assert (keys / REVOCATIONS).stat().st_mode & 0o777 == 0o644
    assert trust(keys)["revocations"].version == 2


NOW = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ASSIGNED = Assigned(1, LogPlace(1, sha("before")), sha("checks"), NOW)


def test_a_token_is_issued_at_a_second_and_ends_so_many_later():
    token, _ = issue_token(REQUEST, ASSIGNED, RevocationList(1))
    assert token.issued == NOW.replace(microsecond=0)
    assert (token.expires - token.issued).total_seconds() == REQUEST.valid_for_s


@pytest.mark.parametrize("seconds", [1, LONGEST_VALID_FOR.total_seconds()])
def test_a_token_is_valid_for_a_second_to_thirty_days(seconds):
    request = replace(REQUEST, valid_for_s=int(seconds))
    assert issue_token(request, ASSIGNED, RevocationList(1))[0].expires > NOW.replace(microsecond=0)
    for beyond in (0, -1, int(LONGEST_VALID_FOR.total_seconds()) + 1):
        with refusal(Code.TERMS):
            issue_token(replace(REQUEST, valid_for_s=beyond), ASSIGNED, RevocationList(1))


@pytest.mark.parametrize(
    ("changes", "assigned"),
    [({"breaker": replace(REQUEST.breaker, p99_ratio=float("nan"))}, ASSIGNED),
     ({}, replace(ASSIGNED, now=datetime(9999, 12, 31, tzinfo=UTC)))],
    ids=["no JSON for it", "no such time"],
)  # fmt: skip
def test_terms_that_cannot_be_written_down_are_refused(changes, assigned):
    with refusal(Code.TERMS):
        issue_token(replace(REQUEST, **changes), assigned, RevocationList(1))


def test_the_limits_of_a_token_are_the_notes_and_the_requests_each_once():
    token, _ = issue_token(replace(REQUEST, limits=("mine", "mine")), ASSIGNED, RevocationList(1))
    assert token.limits == (LIMITS_OF_BUGS["F41"], "mine")
    rejecting = Stage("build", True, 1.0, (replace(NO_CGROUPS, level="unknown"),))
    assert limits_of((rejecting,)) == ()


def stages_with(**changes):
    """The request's stages, with these fields of some of them replaced."""
    return tuple(replace(stage, **changes.get(stage.name, {})) for stage in REQUEST.stages)


def test_a_token_says_what_was_tried_and_what_not_and_what_a_hotplug_does():
    suspicion = Finding("F14", "suspicion", "credit without limit")
    handles = {"object": {"callbacks": ("cpu_offline", "cpu_online")}, "source": {"findings": (suspicion,)}}
    token, _ = issue_token(replace(REQUEST, stages=stages_with(**handles)), ASSIGNED, RevocationList(1))
    assert token.hotplug == "goes on" and token.not_tried == ("F14: sleepers that come back",) and token.tried == ()
    met = {**handles, "survive": {"situations": ("two that yield", "sleepers that come back")}}
    token, _ = issue_token(replace(REQUEST, stages=stages_with(**met)), ASSIGNED, RevocationList(1))
    assert token.tried == ("sleepers that come back", "two that yield") and token.not_tried == ()
    half = {"object": {"callbacks": ("cpu_online",)}}
    for stages in (REQUEST.stages, stages_with(**half)):
        assert issue_token(replace(REQUEST, stages=stages), ASSIGNED, RevocationList(1))[0].hotplug == "ends"


def test_a_token_of_what_a_hotplug_ends_is_refused_only_where_that_matters(tmp_path):
    keys = tmp_path / "keys"
    envelope = issue(keys)
    assert check(keys, envelope).hotplug == "ends"
    with refusal(Code.ENDS_BY_HOTPLUG):
        check(keys, envelope, hotplug=True)
    handles = stages_with(object={"callbacks": ("cpu_offline", "cpu_online")})
    assert check(keys, issue(keys, stages=handles), hotplug=True).hotplug == "goes on"


def test_a_last_stage_that_suspects_something_is_no_end():
    suspecting = {"fair": {"findings": (Finding("F16", "suspicion", "upside down"),)}}
    with refusal(Code.REJECTED):
        issue_token(replace(REQUEST, stages=stages_with(**suspecting)), ASSIGNED, RevocationList(1))


def test_without_a_score_the_requests_own_words_stand():
    ratio = Ratio(1.1, (1.05, 1.2))
    token, _ = issue_token(replace(REQUEST, score=None, workload="", ratio=ratio), ASSIGNED, RevocationList(1))
    assert (token.workload, token.ratio, token.score_sha256) == ("", ratio, "")
    token, _ = issue_token(replace(REQUEST, workload=""), ASSIGNED, RevocationList(1))
    assert (token.workload, token.ratio) == (SCORE.workload, SCORE.ratio) and token.score_sha256


def test_the_first_list_is_version_1_and_none_before_it_is_believed(tmp_path):
    key = SigningKey(Ed25519PrivateKey.generate())
    for version in (1, 0):
        write_revocations(tmp_path, RevocationList(version), key)
        if version:
            assert read_revocations(tmp_path / REVOCATIONS, key.public).version == 1
        else:
            with refusal(Code.OLD_REVOCATIONS):
                read_revocations(tmp_path / REVOCATIONS, key.public)


@pytest.mark.parametrize("host", [HostCpus(2), HostCpus(8, llcs=2, smt=2), HostCpus(5, smt=2)], ids=str)
def test_a_token_holds_on_hosts_that_have_no_more_than_was_tried(tmp_path, host):
    envelope = issue(tmp_path)
    assert check(tmp_path, envelope, cpus=host).topologies == TRIED


@pytest.mark.parametrize("host", [HostCpus(9), HostCpus(2, nodes=2), HostCpus(2, unequal=True)], ids=str)
def test_a_token_is_refused_on_a_host_outside_them(tmp_path, host):
    envelope = issue(tmp_path)
    with refusal(Code.OTHER_TOPOLOGY):
        check(tmp_path, envelope, cpus=host)


def test_a_verdict_that_names_no_topology_gets_no_token(tmp_path):
    stages = tuple(replace(stage, topologies=()) for stage in STAGES)
    with refusal(Code.TERMS):
        issue(tmp_path, stages=stages)
    forged = resigned(tmp_path, issue(tmp_path), lambda said: said["predicate"]["schedcp"].update(topologies=[]))
    with refusal(Code.MALFORMED):
        check(tmp_path, forged)


def test_a_score_on_a_model_of_a_machine_is_told_and_allows_the_canary_alone():
    """What its descriptor says, anybody may have written; the signer goes by the score and not by who asks."""
    of = replace(SCORE.provenance, machine="mine, whole", costs=Costs(switch_ns=1))
    asked = replace(REQUEST, score=replace(SCORE, provenance=of), rollout_limit="canary")
    token, _ = issue_token(asked, ASSIGNED, RevocationList(1))
    assert any("model of a machine (mine, whole)" in limit for limit in token.limits)
    plain, _ = issue_token(REQUEST, ASSIGNED, RevocationList(1))
    assert not any("model of a machine" in limit for limit in plain.limits)
    with pytest.raises(TokenError, match="model of a machine") as caught:
        issue_token(replace(asked, rollout_limit="fleet", tier="full"), ASSIGNED, RevocationList(1))
    assert caught.value.code == Code.SCORE
    unnamed = replace(asked, score=replace(SCORE, provenance=replace(of, machine="")))
    assert any("without a name" in limit for limit in issue_token(unnamed, ASSIGNED, RevocationList(1))[0].limits)

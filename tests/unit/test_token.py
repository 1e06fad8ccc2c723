# SPDX-License-Identifier: Apache-2.0
"""Tokens: they authorise exactly what was signed, and nothing else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from token_cases import COVERAGE, DAY, REQUEST, SCORE, STAGES, check, issue, payload, refusal, resigned, sha, trust

from policy_lake.coverage import Share
from policy_lake.errors import InputError
from verifier_vm.tokens import private_key
from verifier_vm.tokens.dsse import REVOCATIONS_TYPE, TOKEN_TYPE, pae, seal
from verifier_vm.tokens.errors import Code
from verifier_vm.tokens.public_key import TrustedKey
from verifier_vm.tokens.report import check_report, digest_of, report_of
from verifier_vm.tokens.statement import arguments_digest, token_digest
from verifier_vm.tokens.terms import CLOCK_SKEW, LARGEST_P99_RATIO, LONGEST_STALL_MS, LONGEST_VALID_FOR, Tried


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("signer") / "keys"


@pytest.fixture(scope="module")
def envelope(keys):
    return issue(keys)


def test_a_token_authorises_what_was_signed(keys, envelope):
    token = check(keys, json.dumps(envelope).encode())
    assert token == check(keys, envelope)
    assert (token.policy, token.workload, token.ratio) == ("ljf", "batch", SCORE.ratio)
    assert token.arguments == REQUEST.arguments and token.expires - token.issued == 7 * DAY
    assert [(stage.name, stage.ok, stage.sha256) for stage in token.stages] == [
        (stage.name, True, digest_of(stage)) for stage in STAGES
    ]
    assert token.limits == ("cgroup weights and quotas (cpu.weight, cpu.max) are not honoured",)
    assert token.coverage == Tried(Share(2, 3), Share(21, 21), 95, digest_of(COVERAGE))
    assert (token.rollout_limit, token.breaker.stall_ms, token.last_known_good) == ("canary", 5000, "")


def test_the_envelope_is_dsse_round_a_verification_summary(keys, envelope):
    assert envelope["payloadType"] == TOKEN_TYPE == "application/vnd.in-toto+json"
    statement = json.loads(payload(envelope))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "ljf", "digest": {"sha256": REQUEST.object_sha256}}]
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    predicate = statement["predicate"]
    needed = {"verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels"}
    assert needed < set(predicate) and predicate["verificationResult"] == "PASSED"
    assert predicate["verifiedLevels"] == [
        "SCHEDCP_VERIFIED", "SCHEDCP_SOURCE_CHECKED", "SCHEDCP_OBJECT_CHECKED", "SCHEDCP_KERNEL_VERIFIED",
        "SCHEDCP_SURVIVES", "SCHEDCP_FAIR", "SCHEDCP_SCORED",
    ]  # fmt: skip
    assert len(predicate["policy"]["digest"]["sha256"]) == 64
    reports = {attestation["uri"]: attestation["digest"]["sha256"] for attestation in predicate["inputAttestations"]}
    assert reports["urn:schedcp:report:kernel"] == digest_of(next(stage for stage in STAGES if stage.name == "kernel"))
    assert reports["urn:schedcp:report:score"] == digest_of(SCORE)
    assert predicate["schedcp"]["arguments_sha256"] == arguments_digest(REQUEST.arguments)


@pytest.mark.parametrize(
    ("here", "code"),
    [
        ({"object_sha256": sha("tampered")}, Code.OTHER_OBJECT),
        ({"arguments": ("slice_us=501", "long_comms=transcode")}, Code.OTHER_ARGUMENTS),
        ({"arguments": ()}, Code.OTHER_ARGUMENTS),
        ({"kernel": "7.3.5"}, Code.OTHER_KERNEL),
        ({"btf_sha256": sha("other")}, Code.OTHER_BTF),
        ({"audience": "host-2"}, Code.OTHER_AUDIENCE),
        ({"audience": ""}, Code.OTHER_AUDIENCE),
        ({"now": datetime.now(UTC) + 8 * DAY}, Code.EXPIRED),
        ({"now": datetime.now(UTC) - timedelta(minutes=30)}, Code.NOT_YET_VALID),
        ({"public_key": TrustedKey(Ed25519PrivateKey.generate().public_key())}, Code.OTHER_KEY),
        ({"stage": "host"}, Code.LATER_STAGE),
        ({"stage": "anything"}, Code.LATER_STAGE),
    ],
)
def test_any_other_use_is_refused(keys, envelope, here, code):
    with refusal(code):
        check(keys, envelope, **here)


def test_the_times_of_a_token_are_exact(keys, envelope):
    token, second = check(keys, envelope), timedelta(seconds=1)
    for now in (token.issued - CLOCK_SKEW, token.expires - second):
        assert check(keys, envelope, now=now) == token
    with refusal(Code.NOT_YET_VALID):
        check(keys, envelope, now=token.issued - CLOCK_SKEW - second)
    with refusal(Code.EXPIRED):
        check(keys, envelope, now=token.expires)


def test_a_time_without_a_zone_is_bad_input(keys, envelope):
    with pytest.raises(InputError, match="time zone"):
        check(keys, envelope, now=datetime(2026, 11, 22))


def test_another_verifiers_token_is_refused(keys, envelope, monkeypatch):
    monkeypatch.setattr("verifier_vm.tokens.check.VERIFIER_VERSION", "1000")
    with refusal(Code.OTHER_VERIFIER):
        check(keys, envelope)


def _ours(statement):
    return statement["predicate"]["schedcp"]


def _after(statement, time):
    issued = datetime.fromisoformat(statement["predicate"]["timeVerified"])
    return (issued + time).isoformat().replace("+00:00", "Z")


CHANGES = [
    lambda s: s["subject"].append(s["subject"][0]),
    lambda s: s["subject"][0]["digest"].update(sha512="0" * 128),
    lambda s: s["subject"][0]["digest"].clear(),
    lambda s: s.update(extra=1),
    lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
    lambda s: s["predicate"].update(verificationResult="FAILED"),
    lambda s: s["predicate"].update(verifiedLevels=[]),
    lambda s: s["predicate"]["verifier"].update(id="urn:someone:else"),
    lambda s: s["predicate"]["policy"]["digest"].clear(),
    lambda s: s["predicate"]["inputAttestations"].pop(),
    lambda s: s["predicate"].pop("schedcp"),
    lambda s: s["predicate"].update(timeVerified="2026-11-22 10:00:00"),
    lambda s: _ours(s).pop("expires"),
    lambda s: _ours(s).pop("workload"),
    lambda s: _ours(s).update(ratio=None),
    lambda s: _ours(s).update(revoked=True),
    lambda s: _ours(s).update(expires="2026-11-21T10:00:00Z"),
    lambda s: _ours(s).update(expires="2036-11-21T10:00:00Z"),
    lambda s: _ours(s).update(version="5"),
    lambda s: _ours(s).update(version=0),
    lambda s: _ours(s).update(nonce=""),
    lambda s: _ours(s).update(audience=["host-1"]),
    lambda s: _ours(s).update(rollout_limit="everywhere"),
    lambda s: _ours(s).update(stages=[]),
    lambda s: _ours(s)["stages"].pop(1),
    lambda s: _ours(s)["stages"].append(_ours(s)["stages"][0]),
    lambda s: _ours(s)["stages"][0].update(ok=False),
    lambda s: _ours(s)["stages"][0].update(ok="true"),
    lambda s: _ours(s)["stages"][0].update(sha256=""),
    lambda s: _ours(s).update(source_sha256="0" * 63),
    lambda s: _ours(s).update(arguments_sha256="0" * 64),
    lambda s: _ours(s).update(last_known_good="none"),
    lambda s: _ours(s).update(limits=["one\nline"]),
    lambda s: _ours(s)["breaker"].update(stall_ms=0),
    lambda s: _ours(s)["breaker"].update(stall_ms=10**9),
    lambda s: _ours(s)["breaker"].update(stall_ms=LONGEST_STALL_MS + 1),
    lambda s: _ours(s)["breaker"].update(p99_ratio=LARGEST_P99_RATIO + 0.01),
    lambda s: _ours(s)["breaker"].update(p99_ratio=0.99),
    lambda s: _ours(s).update(expires=_after(s, LONGEST_VALID_FOR + timedelta(seconds=1))),
    lambda s: _ours(s).update(expires=_after(s, timedelta())),
    lambda s: _ours(s)["breaker"].pop("p99_ratio"),
    lambda s: _ours(s)["provenance"].update(cost_usd=-1.0),
    lambda s: _ours(s)["provenance"].update(model="\x1b[2J"),
    lambda s: _ours(s)["log"].update(seq=0),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_a_statement_that_is_not_ours_is_refused_though_well_signed(keys, envelope, number):
    with refusal(Code.MALFORMED):
        check(keys, resigned(keys, envelope, CHANGES[number]))


def test_a_statement_at_the_limits_of_its_terms_is_ours(keys, envelope):
    """One second or one millisecond more is not: see above. Only the log has no entry of it."""
    for change in (
        lambda s: _ours(s)["breaker"].update(stall_ms=LONGEST_STALL_MS, p99_ratio=LARGEST_P99_RATIO),
        lambda s: _ours(s)["breaker"].update(stall_ms=1, p99_ratio=1.0),
        lambda s: _ours(s).update(expires=_after(s, LONGEST_VALID_FOR)),
    ):
        assert check(keys, resigned(keys, envelope, change), log=None)


def test_a_statement_resigned_unchanged_is_ours(keys, envelope):
    assert check(keys, resigned(keys, envelope, lambda statement: None)) == check(keys, envelope)


def test_a_rightly_signed_token_that_the_log_does_not_know_is_refused(keys, envelope):
    """What whoever had stolen the key could make, without the signer's directory."""
    forged = resigned(keys, envelope, lambda s: _ours(s).update(nonce="ab" * 16))
    with refusal(Code.NOT_LOGGED):
        check(keys, forged)


def test_a_payload_with_a_member_named_twice_is_refused(keys, envelope):
    twice = payload(envelope).replace(b'"_type"', b'"_type":"x","_type"')
    with refusal(Code.MALFORMED):
        check(keys, seal(twice, private_key.signing_key(keys)))


def test_what_was_signed_as_something_else_is_no_token(keys, envelope):
    other = seal(payload(envelope), private_key.signing_key(keys), kind=REVOCATIONS_TYPE)
    with refusal(Code.MALFORMED):
        check(keys, other)
    with refusal(Code.BAD_SIGNATURE):
        check(keys, {**other, "payloadType": TOKEN_TYPE})
    assert pae(TOKEN_TYPE, b"") != pae(REVOCATIONS_TYPE, b"")


def test_no_token_with_a_flipped_byte_is_accepted(keys, envelope):
    """Any byte: of the payload, of the signature, of the envelope's file."""
    given_to = trust(keys)
    content = json.dumps(envelope, separators=(",", ":")).encode()
    inner = payload(envelope)

    @given(where=st.sampled_from(["payload", "sig", "file"]), place=st.integers(min_value=0), flip=st.integers(1, 255))
    @settings(max_examples=150, deadline=None)
    def flipped(where, place, flip):
        changed = json.loads(content)
        if where == "file":
            data = bytearray(content)
        elif where == "payload":
            data = bytearray(inner)
        else:
            data = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        data[place % len(data)] ^= flip
        if where == "payload":
            changed["payload"] = base64.b64encode(data).decode()
        elif where == "sig":
            changed["signatures"][0]["sig"] = base64.b64encode(data).decode()
        with refusal(Code.MALFORMED, Code.BAD_SIGNATURE, Code.OTHER_KEY):
            check(keys, bytes(data) if where == "file" else changed, **given_to)

    flipped()


def test_a_report_is_the_one_that_was_signed_or_is_told_apart(keys, envelope):
    token, digest = check(keys, envelope), token_digest(payload(envelope))
    report = report_of(digest, STAGES, SCORE, COVERAGE)
    assert [stage["name"] for stage in check_report(report, token, digest)["stages"]] == [s.name for s in STAGES]
    for old, new, code in (
        (b'"seconds":1.5', b'"seconds":1.6', Code.REPORT_CHANGED),
        (b'"median":1.22', b'"median":1.52', Code.REPORT_CHANGED),
        (b'"ok":true', b'"ok":false', Code.REPORT_CHANGED),
        (b'"not_tried":[62]', b'"not_tried":[]', Code.REPORT_CHANGED),
        (digest.encode(), sha("another").encode(), Code.REPORT_OTHER),
        (b'"score":', b'"scores":', Code.REPORT_CHANGED),
        (b'"stages":', b'"score":null,"stages":', Code.REPORT_CHANGED),
    ):
        assert report.count(old)
        with refusal(code):
            check_report(report.replace(old, new), token, digest)
    with refusal(Code.REPORT_CHANGED):
        check_report(report_of(digest, STAGES[:2], SCORE, COVERAGE), token, digest)
    with refusal(Code.REPORT_CHANGED):
        check_report(report_of(digest, STAGES, SCORE), token, digest)

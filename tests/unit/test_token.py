# SPDX-License-Identifier: Apache-2.0
"""Tokens: leave is given for exactly what was signed, and refused for anything else."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lake.model import InputError, Ratio, Stage
from verifier_vm.tokens.check import check_token, sign_token
from verifier_vm.tokens.dsse import PAYLOAD_TYPE, TokenError, canonical_json, read_token, seal, write_token
from verifier_vm.tokens.private_key import SigningKey

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
KEY = SigningKey(Ed25519PrivateKey.generate())
SIGNED = {
    "object_sha256": hashlib.sha256(b"object").hexdigest(),
    "source_sha256": hashlib.sha256(b"source").hexdigest(),
    "arguments": ["slice_us=500", "long_comms=transcode"],
    "kernel": "7.3.4+deb13-cloud-amd64",
    "btf_sha256": hashlib.sha256(b"btf").hexdigest(),
    "audience": "host-1",
    "stages": [Stage("load", True, 1), Stage("survive", True, 2.5)],
    "ratio": Ratio(1, (1, 1.5)),
    "now": NOW,
}
HERE = {name: SIGNED[name] for name in ("object_sha256", "arguments", "kernel", "btf_sha256", "audience", "now")}
HERE["public_key"] = KEY.public
ENVELOPE = sign_token(KEY, "ljf", **SIGNED, workload="batch")
OTHER = hashlib.sha256(b"other").hexdigest()


def check(envelope=None, **changes):
    return check_token(ENVELOPE if envelope is None else envelope, **{**HERE, **changes})


def resigned(change) -> dict:
    """An envelope with a right signature over a statement that `change` has changed."""
    statement = json.loads(base64.b64decode(ENVELOPE["payload"]))
    change(statement)
    return seal(canonical_json(statement), KEY)


def test_a_token_gives_leave_for_what_was_signed(tmp_path):
    path = tmp_path / "tokens" / "ljf.json"
    write_token(ENVELOPE, path)
    token = check(read_token(path))
    assert token == check(ENVELOPE) and [p.name for p in path.parent.iterdir()] == ["ljf.json"]
    assert (token.policy, token.workload, token.ratio) == ("ljf", "batch", Ratio(1.0, (1.0, 1.5)))
    assert token.arguments == tuple(SIGNED["arguments"]) and token.stages == tuple(SIGNED["stages"])
    assert token.issued == NOW and token.expires == NOW + timedelta(days=7)
    assert token.version == int(NOW.timestamp() * 1000) and token.rollout_limit == "canary"
    nonces = {check(sign_token(KEY, "ljf", **SIGNED)).nonce for _ in range(3)}
    assert len(nonces) == 3


def test_the_envelope_is_dsse_round_a_verification_summary():
    assert ENVELOPE["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(ENVELOPE["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "ljf", "digest": {"sha256": SIGNED["object_sha256"]}}]
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    predicate = statement["predicate"]
    assert {"verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels"} < set(
        predicate
    )
    assert predicate["verificationResult"] == "PASSED" and predicate["timeVerified"] == "2026-11-22T10:00:00Z"
    assert predicate["verifiedLevels"] == ["SCHEDCP_VERIFIED", "SCHEDCP_SCORED"]


@pytest.mark.parametrize(
    ("here", "reason"),
    [
        ({"object_sha256": OTHER}, "the token is for object_sha256"),
        ({"arguments": ["slice_us=501", "long_comms=transcode"]}, "the token is for arguments"),
        ({"arguments": []}, "the token is for arguments"),
        ({"kernel": "7.3.5"}, r"the token is for kernel '7.3.4\+deb13-cloud-amd64', not '7.3.5'"),
        ({"btf_sha256": OTHER}, "the token is for btf_sha256"),
        ({"audience": "host-2"}, "the token is for audience 'host-1', not 'host-2'"),
        ({"audience": ""}, "the token is for audience"),
        ({"now": NOW + timedelta(days=7)}, "expired at 2026-11-29 10:00:00 UTC"),
        ({"now": NOW - timedelta(minutes=3)}, "not valid before 2026-11-22 10:00:00 UTC"),
        ({"public_key": Ed25519PrivateKey.generate().public_key()}, "which is not trusted here"),
        ({"stage": "fleet"}, "ends at the rollout stage 'canary', before 'fleet'"),
        ({"stage": "anything"}, "ends at the rollout stage"),
        ({"minimum_version": int(NOW.timestamp() * 1000) + 1}, "is older than"),
    ],
)
def test_any_other_use_is_refused(here, reason):
    with pytest.raises(TokenError, match=reason) as caught:
        check(**here)
    assert caught.value.exit_status == 3 and "\n" not in str(caught.value)


def test_a_time_without_a_zone_is_bad_input():
    with pytest.raises(InputError, match="time zone"):
        check(now=NOW.replace(tzinfo=None))


def test_another_verifiers_token_is_refused(monkeypatch):
    monkeypatch.setattr("verifier_vm.tokens.check.VERIFIER_VERSION", "2")
    with pytest.raises(TokenError, match="the token is for verifier_version '1', not '2'"):
        check()


def _ours(statement):
    return statement["predicate"]["schedcp"]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["subject"].append(s["subject"][0]),
        lambda s: s["subject"][0]["digest"].update(sha512="0" * 128),
        lambda s: s["subject"][0]["digest"].clear(),
        lambda s: s.update(extra=1),
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda s: s["predicate"].update(verificationResult="FAILED"),
        lambda s: s["predicate"].update(verifiedLevels=[]),
        lambda s: s["predicate"]["verifier"].update(id="urn:someone:else"),
        lambda s: s["predicate"].pop("schedcp"),
        lambda s: s["predicate"].update(timeVerified="2026-11-22 10:00:00"),
        lambda s: _ours(s).pop("expires"),
        lambda s: _ours(s).pop("workload"),
        lambda s: _ours(s).update(ratio=None),
        lambda s: _ours(s).update(revoked=True),
        lambda s: _ours(s).update(expires="2026-11-21T10:00:00Z"),
        lambda s: _ours(s).update(version="5"),
        lambda s: _ours(s).update(version=0),
        lambda s: _ours(s).update(nonce=""),
        lambda s: _ours(s).update(audience=["host-1"]),
        lambda s: _ours(s).update(rollout_limit="everywhere"),
        lambda s: _ours(s).update(stages=[]),
        lambda s: _ours(s)["stages"][0].update(ok=False),
        lambda s: _ours(s)["stages"][0].update(ok="true"),
        lambda s: _ours(s).update(source_sha256="0" * 63),
    ],
)
def test_a_statement_that_is_not_ours_is_refused_though_well_signed(change):
    with pytest.raises(TokenError, match="the token is not well formed"):
        check(resigned(change))


def test_a_statement_resigned_unchanged_is_ours():
    assert check(resigned(lambda statement: None)) == check()


def test_a_payload_with_a_member_named_twice_is_refused():
    payload = base64.b64decode(ENVELOPE["payload"]).replace(b'"_type"', b'"_type":"x","_type"')
    with pytest.raises(TokenError, match="named twice"):
        check(seal(payload, KEY))


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
@settings(max_examples=80, deadline=None)
def test_no_token_with_a_flipped_byte_is_accepted(place, flip):
    payload = bytearray(base64.b64decode(ENVELOPE["payload"]))
    payload[place % len(payload)] ^= flip
    with pytest.raises(TokenError, match="signature is wrong"):
        check({**ENVELOPE, "payload": base64.b64encode(payload).decode()})


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": []},
        {"stages": [Stage("load", False, 1.0)]},
        {"object_sha256": "abc"},
        {"btf_sha256": ""},
        {"kernel": ""},
        {"audience": ""},
        {"valid_for": timedelta(0)},
        {"version": 0},
        {"rollout_limit": "everywhere"},
        {"ratio": Ratio(float("nan"), (1.0, 1.0))},
    ],
)
def test_nothing_is_signed_that_would_not_be_accepted(wrong):
    with pytest.raises(InputError, match="no token for 'ljf'"):
        sign_token(KEY, "ljf", **{**SIGNED, **wrong})

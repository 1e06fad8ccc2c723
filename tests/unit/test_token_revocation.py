# SPDX-License-Identifier: Apache-2.0
"""The revocation list: what is on it authorises nothing, and without a list that can be trusted nothing does."""

from __future__ import annotations

import base64
import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from token_cases import REQUEST, check, issue, payload, refusal, revoke, sha, trust

from policy_lake.errors import InputError
from policy_lake.model import to_json
from verifier_vm.tokens.dsse import TOKEN_TYPE, canonical_json, seal
from verifier_vm.tokens.errors import Code
from verifier_vm.tokens.files import SIZE_LIMIT
from verifier_vm.tokens.private_key import SigningKey, signing_key
from verifier_vm.tokens.revocation import REVOCATIONS, RevocationList, read_revocations
from verifier_vm.tokens.statement import parse_payload


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys"


def test_the_first_list_is_empty_and_signed(keys):
    issue(keys)
    assert trust(keys)["revocations"] == RevocationList(1)


def test_a_revoked_token_is_refused_and_others_for_the_object_are_not(keys):
    revoked, other = issue(keys), issue(keys)
    revoke(keys, "nonce", parse_payload(payload(revoked)).nonce, "leaked")
    with refusal(Code.REVOKED):
        check(keys, revoked)
    assert check(keys, other)


def test_every_token_for_a_revoked_object_is_refused(keys):
    envelopes = [issue(keys), issue(keys)]
    revocations = revoke(keys, "object", REQUEST.object_sha256, "it starves kworkers")
    assert revocations["version"] == 2
    for envelope in envelopes:
        with refusal(Code.REVOKED):
            check(keys, envelope)


def test_a_second_revocation_of_the_same_changes_nothing(keys):
    revoke(keys, "object", sha("bad"))
    before = (keys / REVOCATIONS).read_bytes()
    assert revoke(keys, "object", sha("bad"), "once more")["version"] == 2
    assert (keys / REVOCATIONS).read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("nonce", "abc", "why"),
        ("nonce", "AB" * 16, "why"),
        ("object", "ab" * 16, "why"),
        ("object", "ab" * 32, " "),
        ("object", "ab" * 32, "two\nlines"),
        ("object", "ab" * 32, "x" * 301),
    ],
)
def test_a_revocation_out_of_shape_is_bad_input(keys, kind, value, reason):
    with pytest.raises(InputError):
        revoke(keys, kind, value, reason)
    assert not keys.exists()


def test_an_older_list_is_refused_by_who_has_seen_a_newer_one(keys, tmp_path):
    issue(keys)
    shutil.copy2(keys / REVOCATIONS, tmp_path / "old")
    revoke(keys, "object", sha("bad"))
    public = trust(keys)["public_key"]
    with refusal(Code.OLD_REVOCATIONS):
        read_revocations(tmp_path / "old", public, minimum_version=2)
    shutil.copy2(tmp_path / "old", keys / REVOCATIONS)
    with refusal(Code.OLD_REVOCATIONS):  # the signer has its log to know it from
        issue(keys)


def test_no_list_or_one_that_is_not_ours_is_a_refusal(keys, tmp_path):
    issue(keys)
    public, path = trust(keys)["public_key"], keys / REVOCATIONS
    good = path.read_bytes()
    key, stranger = signing_key(keys), SigningKey(Ed25519PrivateKey.generate())
    empty = canonical_json(to_json(RevocationList(9)))
    envelope = json.loads(good)
    kind = envelope["payloadType"]
    for code, content in (
        (Code.OTHER_KEY, json.dumps(seal(empty, stranger, kind=kind)).encode()),
        (Code.MALFORMED, json.dumps(seal(empty, key, kind=TOKEN_TYPE)).encode()),
        (Code.MALFORMED, json.dumps(seal(empty.replace(b"9", b'"9"'), key, kind=kind)).encode()),
        (Code.MALFORMED, b"{}"),
        (Code.UNREADABLE, b" " * (SIZE_LIMIT + 1)),
        (Code.BAD_SIGNATURE, json.dumps({**envelope, "payload": base64.b64encode(empty).decode()}).encode()),
    ):
        path.write_bytes(content)
        with refusal(code):
            read_revocations(path, public)
    path.unlink()
    with refusal(Code.UNREADABLE):
        read_revocations(path, public)
    path.mkdir()
    with refusal(Code.UNREADABLE):
        read_revocations(path, public)


def test_a_flipped_byte_of_the_list_is_refused(keys):
    revoke(keys, "object", sha("bad"))
    public = trust(keys)["public_key"]
    content = json.dumps(json.loads((keys / REVOCATIONS).read_bytes()), separators=(",", ":")).encode()

    @given(place=st.integers(0, len(content) - 1), flip=st.integers(1, 255))
    @settings(max_examples=100, deadline=None)
    def flipped(place, flip):
        changed = bytearray(content)
        changed[place] ^= flip
        (keys / REVOCATIONS).write_bytes(changed)
        with refusal(Code.MALFORMED, Code.BAD_SIGNATURE, Code.OTHER_KEY, Code.UNREADABLE):
            read_revocations(keys / REVOCATIONS, public)

    flipped()

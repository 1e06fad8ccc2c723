# SPDX-License-Identifier: Apache-2.0
"""The envelope round a token: not a byte of it can change unnoticed, and nothing else passes for one."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from token_cases import refusal

from verifier_vm.tokens.dsse import pae, seal, unseal
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.files import SIZE_LIMIT, read_bounded
from verifier_vm.tokens.private_key import SigningKey

KEY = SigningKey(Ed25519PrivateKey.generate())
PAYLOAD = b'{"a":[1,"two"]}'
ENVELOPE = seal(PAYLOAD, KEY)


def test_what_is_sealed_comes_out_again():
    assert unseal(ENVELOPE, KEY.public) == unseal(json.dumps(ENVELOPE).encode(), KEY.public) == PAYLOAD
    with refusal(Code.OTHER_KEY):
        unseal(ENVELOPE, SigningKey(Ed25519PrivateKey.generate()).public)


def test_the_signature_is_over_the_encoding_of_the_dsse_protocol():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    KEY.public.verify(base64.b64decode(ENVELOPE["signatures"][0]["sig"]), pae(ENVELOPE["payloadType"], PAYLOAD))


@given(part=st.sampled_from(["payload", "sig"]), place=st.integers(min_value=0), flip=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_no_flipped_byte_of_what_is_signed_is_accepted(part, place, flip):
    envelope = json.loads(json.dumps(ENVELOPE))
    holder = envelope if part == "payload" else envelope["signatures"][0]
    content = bytearray(base64.b64decode(holder[part]))
    content[place % len(content)] ^= flip
    holder[part] = base64.b64encode(content).decode()
    with refusal(Code.BAD_SIGNATURE):
        unseal(envelope, KEY.public)


def test_a_signature_spelt_otherwise_is_refused():
    envelope = json.loads(json.dumps(ENVELOPE))
    sig = envelope["signatures"][0]["sig"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    again = sig[:-3] + alphabet[alphabet.index(sig[-3]) + 1] + "=="  # in bits that are not part of the 64 bytes
    assert sig.endswith("==") and base64.b64decode(again) == base64.b64decode(sig)
    envelope["signatures"][0]["sig"] = again
    with refusal(Code.MALFORMED):
        unseal(envelope, KEY.public)


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_no_flipped_byte_of_the_file_is_accepted(place, flip):
    content = bytearray(json.dumps(ENVELOPE, separators=(",", ":")).encode())
    content[place % len(content)] ^= flip
    with refusal(Code.MALFORMED, Code.BAD_SIGNATURE, Code.OTHER_KEY):
        unseal(bytes(content), KEY.public)


@given(st.integers(min_value=0))
@settings(max_examples=60, deadline=None)
def test_a_truncated_file_is_refused(length):
    content = json.dumps(ENVELOPE).encode()
    with refusal(Code.MALFORMED):
        unseal(content[: length % len(content)], KEY.public)


@given(st.binary(max_size=60) | st.lists(st.none() | st.text(max_size=5)).map(lambda data: json.dumps(data).encode()))
@settings(max_examples=40, deadline=None)
def test_no_other_file_is_a_token(content):
    with refusal(Code.MALFORMED):
        unseal(content, KEY.public)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b" " * (SIZE_LIMIT + 1),
        json.dumps(ENVELOPE).encode() + b" " * SIZE_LIMIT,
        json.dumps({**ENVELOPE, "signatures": [{**ENVELOPE["signatures"][0], "more": 1}]}).encode(),
        json.dumps({**ENVELOPE, "signatures": []}).encode(),
        json.dumps({**ENVELOPE, "signatures": ENVELOPE["signatures"] * 2}).encode(),
        json.dumps({**ENVELOPE, "payloadType": "text/plain"}).encode(),
        json.dumps({**ENVELOPE, "more": 1}).encode(),
        json.dumps({**ENVELOPE, "payload": ENVELOPE["payload"] + "\n"}).encode(),
        json.dumps(ENVELOPE).replace('"payload":', '"payload": "", "payload":').encode(),
    ],
)
def test_an_envelope_out_of_shape_is_refused(content):  # and told in our words
    with refusal(Code.MALFORMED):
        unseal(content, KEY.public)


def test_only_a_plain_file_of_bounded_size_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").write_bytes(b" " * (SIZE_LIMIT + 1))
    for name in ("none", "pipe", "huge", ""):
        with refusal(Code.UNREADABLE):
            read_bounded(tmp_path / name)
    with refusal(Code.UNREADABLE):
        read_bounded(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xf7", "it is no UTF-8 text (byte 0)"),
        (b"[]", "a member is of another type"), (b"[" * 100_000, "it is nested too deep"),
        (b"{}", "the member 'signatures' is missing"), (b'{"a": ' + b"9" * 5000 + b"}", "a number has 5000 digits"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_envelope_is_told_in_our_words(content, why):
    with pytest.raises(TokenError) as refused:
        unseal(content, KEY.public)
    assert str(refused.value).endswith(why)

# SPDX-License-Identifier: Apache-2.0
"""The log: what was signed stays written, and a change anywhere shows."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_cases import history, issue, payload, refusal, revoke, sha, trust

from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.key_store import open_key_store, write_head
from verifier_vm.tokens.private_key import PRIVATE
from verifier_vm.tokens.revocation import REVOCATIONS
from verifier_vm.tokens.statement import token_digest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with a history, which tests copy."""
    return history(tmp_path_factory.mktemp("signer") / "keys")


@pytest.fixture
def keys(made, tmp_path):
    return shutil.copytree(made, tmp_path / "keys", copy_function=shutil.copy2)


def events(directory):
    return [entry.event for entry in trust(directory)["log"].entries]


def test_the_log_tells_of_everything(keys):
    envelope = issue(keys)
    entries = trust(keys)["log"].entries
    assert [entry.event for entry in entries] == ["opened", "issued", "issued", "issued", "revoked", "issued"]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert entries[-1].token_sha256 == token_digest(payload(envelope)) and entries[-1].policy == "ljf"
    assert (entries[4].object_sha256, entries[4].reason) == (sha("bad"), "it stalls under load")


def test_a_change_to_any_byte_shows(made, tmp_path_factory):
    directory = shutil.copytree(made, tmp_path_factory.mktemp("flip") / "keys", copy_function=shutil.copy2)
    content = (directory / LOG).read_bytes()

    @given(place=st.integers(0, len(content) - 1), flip=st.integers(1, 255))
    @settings(max_examples=120, deadline=None)
    def flipped(place, flip):
        changed = bytearray(content)
        changed[place] ^= flip
        (directory / LOG).write_bytes(changed)
        with refusal(Code.LOG_BROKEN):
            trust(directory)

    flipped()


@pytest.mark.parametrize("lines", [0, 1, 4])
def test_a_log_that_was_cut_off_is_refused_by_reader_and_writer(keys, lines):
    path = keys / LOG
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))
    with refusal(Code.LOG_BROKEN):
        trust(keys)
    with refusal(Code.LOG_BROKEN):
        issue(keys)


def test_a_log_and_head_of_before_do_not_pass_beside_a_newer_list(keys, tmp_path):
    shutil.copytree(keys, tmp_path / "before")
    for number in range(2):
        revoke(keys, "nonce", f"{number:032x}")
    for name in (LOG, HEAD):
        shutil.copy2(tmp_path / "before" / name, keys / name)
    with refusal(Code.LOG_BROKEN):
        issue(keys)


@pytest.mark.parametrize(
    ("gone", "code"),
    [(LOG, Code.LOG_GONE), (HEAD, Code.LOG_GONE), (REVOCATIONS, Code.UNREADABLE), (PRIVATE, None)],
)
def test_what_is_gone_is_not_made_anew(keys, gone, code):
    (keys / gone).unlink()
    with pytest.raises((TokenError, KeyFileError)) as caught:
        issue(keys)
    assert getattr(caught.value, "code", None) == code
    assert not (keys / gone).exists()


def test_another_keys_log_is_refused(keys, tmp_path):
    issue(tmp_path / "other")
    for name in (LOG, HEAD, REVOCATIONS):
        shutil.copy2(tmp_path / "other" / name, keys / name)
    for act in (trust, issue):
        with refusal(Code.OTHER_KEY):
            act(keys)


def test_a_head_that_tells_of_other_things_than_the_log_is_refused(keys):
    with open_key_store(keys) as store:
        write_head(keys, replace(store.head, versions={}), store.key)
    with refusal(Code.LOG_BROKEN):
        trust(keys)


def test_a_log_is_opened_once(keys):
    with open_key_store(keys) as store:
        store.append("opened", revocations=store.revocations.version)
    with refusal(Code.LOG_BROKEN):
        trust(keys)


def test_a_list_that_is_not_empty_is_not_begun_anew_without_its_log(keys):
    for name in (LOG, HEAD):
        (keys / name).unlink()
    before = (keys / REVOCATIONS).read_bytes()
    with refusal(Code.LOG_GONE):
        issue(keys)
    assert (keys / REVOCATIONS).read_bytes() == before and not (keys / HEAD).exists()


def test_a_log_whose_head_is_gone_is_not_begun_anew(tmp_path):
    """Not even where the list is as empty as at a beginning: its entries would be cut off."""
    issue(tmp_path / "keys")
    (tmp_path / "keys" / HEAD).unlink()
    before = (tmp_path / "keys" / LOG).read_bytes()
    with refusal(Code.LOG_GONE):
        issue(tmp_path / "keys")
    assert (tmp_path / "keys" / LOG).read_bytes() == before


def test_a_log_without_head_and_list_is_no_beginning(tmp_path):
    with open_key_store(tmp_path / "keys"):
        pass
    for name in (HEAD, REVOCATIONS):
        (tmp_path / "keys" / name).unlink()
    with refusal(Code.LOG_GONE):
        issue(tmp_path / "keys")
    assert not (tmp_path / "keys" / REVOCATIONS).exists()

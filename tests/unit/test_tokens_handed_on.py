# SPDX-License-Identifier: Apache-2.0
"""What is signed and kept goes through what makes it one form, private, and whole again."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from token_cases import issue, payload, sha, trust

from policy_lake.errors import InfraError
from verifier_vm.tokens import client
from verifier_vm.tokens.client import request_restoration
from verifier_vm.tokens.errors import KeyFileError
from verifier_vm.tokens.files import LOCK
from verifier_vm.tokens.key_store import HEAD, open_key_store
from verifier_vm.tokens.private_key import BEGINNING, PRIVATE
from verifier_vm.tokens.statement import _wrong_stages, _wrong_terms, parse_payload, payload_of


def test_a_token_is_signed_in_one_form_and_its_digests_are_digests(tmp_path: Path) -> None:
    token = parse_payload(payload(issue(tmp_path / "keys")))
    whole, same = (replace(token, provenance=replace(token.provenance, cost_usd=cost)) for cost in (1, 1.0))
    assert payload_of(whole) == payload_of(same)
    assert _wrong_stages(token) == "" == _wrong_terms(token)
    assert _wrong_stages(replace(token, stages=(replace(token.stages[0], sha256="other"), *token.stages[1:])))
    assert _wrong_terms(replace(token, log=replace(token.log, previous="other")))
    assert not _wrong_terms(replace(token, log=replace(token.log, previous=sha("other"))))


def test_a_signer_s_last_words_need_not_be_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "START", "import sys; sys.stderr.buffer.write(b'no \\xff key')")
    with pytest.raises(InfraError, match=r"no . key"):
        request_restoration(tmp_path)


def test_a_key_store_is_private_and_has_a_head_again_where_its_first_was_lost(tmp_path: Path) -> None:
    keys: Any = tmp_path / "keys"
    with open_key_store(keys) as store:
        before = store.head
        with (keys / LOCK).open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (keys / HEAD).unlink()
    (keys / PRIVATE).rename(keys / BEGINNING)
    with open_key_store(keys):
        assert (keys / HEAD).exists() and trust(keys)["log"].head == before
    (keys / "another's").touch()
    keys.chmod(0o777)
    with pytest.raises(KeyFileError), open_key_store(keys):
        pass

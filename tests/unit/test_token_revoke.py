# SPDX-License-Identifier: Apache-2.0
"""A revocation where a verifier service signs: its log says what there is to revoke, and its signer is asked."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from policy_lake.errors import InfraError, InputError
from tasks.host.settings import Settings
from tasks.tokens import revoke as revoking
from tasks.tokens.revoke import revoke
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.key_store import open_key_store
from verifier_vm.tokens.public_key import PUBLIC
from verifier_vm.tokens.revocation import REVOCATIONS

KNOWN, UNKNOWN, OBJECT = "ab" * 16, "cd" * 16, "ef" * 32


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a service was asked whose log has one token; this user has a store of his own, in which it is unknown."""
    with open_key_store(tmp_path / "service") as store:
        store.append("issued", audience="host", version=1, nonce=KNOWN)
    with open_key_store(tmp_path / "keys") as store:
        store.append("issued", audience="host", version=1, nonce=UNKNOWN)
    names = (PUBLIC, LOG, HEAD, REVOCATIONS)
    told = {name: base64.b64encode((tmp_path / "service" / name).read_bytes()).decode() for name in names}
    monkeypatch.setattr(revoking, "request_of_service", lambda service, do, data: told)
    seen: list[Any] = []

    def request(signer: Any, kind: str, value: str, reason: str) -> dict[str, Any]:
        seen.append((signer.service, kind, value))
        return {"version": 2, "revoked": [value]}

    monkeypatch.setattr(revoking, "request_revocation", request)
    seen.append(told)
    return seen


def test_the_service_is_asked_for_what_its_log_has(asked, tmp_path):
    settings = Settings(data_dir=tmp_path, verifier=tmp_path / "socket")
    assert not revoke(KNOWN, "why", settings).already and not revoke(OBJECT, "why", settings).already
    assert asked[1:] == [(tmp_path / "socket", "nonce", KNOWN), (tmp_path / "socket", "object", OBJECT)]
    with pytest.raises(InputError, match=UNKNOWN):
        revoke(UNKNOWN, "why", settings)
    assert len(asked) == 3


def test_a_service_that_tells_no_log_is_not_believed(asked, tmp_path):
    del asked[0][LOG]
    with pytest.raises(InfraError, match="what it tells of its log is none"):
        revoke(KNOWN, "why", Settings(data_dir=tmp_path, verifier=tmp_path / "socket"))
    assert len(asked) == 1


def test_where_there_is_no_log_the_signer_is_asked(asked, tmp_path):
    assert revoke(UNKNOWN, "why", Settings(data_dir=tmp_path / "new")).value == UNKNOWN
    assert asked[1:] == [(None, "nonce", UNKNOWN)]

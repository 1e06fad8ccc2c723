# SPDX-License-Identifier: Apache-2.0
"""What `schedcp token restore --json` prints of the signer's answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from control_plane import token
from policy_lake.model import to_json
from verifier_vm.tokens.revocation import RevocationList, Revoked


def test_it_prints_the_list_as_it_is_signed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    made = to_json(RevocationList(4, (Revoked("nonce", "ab" * 16, "it leaks", at), Revoked("object", "cd", "x", at))))
    monkeypatch.setattr(token, "load_settings", lambda: SimpleNamespace(key_dir=None, verifier=None))
    monkeypatch.setattr(token, "request_restoration", lambda _: made)
    token.restore_command(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"schema": "schedcp/token-restore/1", **made}
    monkeypatch.setattr(token, "request_restoration", lambda _: {"version": 4, "revoked": [{"kind": "host"}]})
    with pytest.raises(ValueError, match="kind"):
        token.restore_command(as_json=True)

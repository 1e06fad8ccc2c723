# SPDX-License-Identifier: Apache-2.0
"""The first of the five commands of docs/rollout.md comes before any token, so it must find or make the key."""

from __future__ import annotations

import json

import pytest

from control_plane.verifierd_ask import trust_command
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.public_key import PUBLIC
from verifier_vm.tokens.revocation import REVOCATIONS


def test_what_a_host_trusts_is_written_before_the_first_token_and_is_the_same_afterwards(
    tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    told = []
    for _ in range(2):
        trust_command(tmp_path / "trust", as_json=True)
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["key_id"] == told[1]["key_id"] and told[0]["signed_by"] == "lab"
    assert {path.name for path in (tmp_path / "trust").iterdir()} == {PUBLIC, LOG, HEAD, REVOCATIONS}

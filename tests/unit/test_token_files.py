# SPDX-License-Identifier: Apache-2.0
"""Where an issued token lies and who may read it; the signer itself is met in tests/integration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from token_cases import SCORE, STAGES, sha

from policy_lake.model import Verdict
from tasks.host.settings import Settings
from tasks.tokens import issue
from tasks.tokens.issue import report_path, token_for_verdict


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(issue, "request_token", lambda directory, request: ({"payload": "x"}, sha("token")))

    def call(policy: str) -> Path:
        verdict = Verdict(True, None, STAGES, policy, sha("object"), SCORE.kernel)
        return token_for_verdict(verdict, "source", Settings(data_dir=tmp_path), btf_sha256=sha("btf"))

    return call


def test_a_token_and_its_report_may_be_read_by_all_and_written_by_their_owner(write) -> None:
    before = os.umask(0)
    try:
        path = write("ljf")
    finally:
        os.umask(before)
    assert [file.stat().st_mode & 0o777 for file in (path, report_path(path))] == [0o644, 0o644]
    assert path.read_bytes().startswith(b"{") and path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("length", [59, 60, 61, 5000])
def test_a_name_takes_at_most_sixty_characters_of_the_policy_s(write, length: int) -> None:
    name, _, digest = write("a" * length).name.removesuffix(".dsse.json").rpartition("-")
    assert name == "a" * min(length, 60) and len(digest) == 16

# SPDX-License-Identifier: Apache-2.0
"""Where an issued token lies and who may read it; the signer itself is met in tests/integration."""

from __future__ import annotations

import base64
import json
import os
import platform
from hashlib import sha256
from pathlib import Path

import pytest
from token_cases import SCORE, STAGES, sha

from policy_lake.model import Verdict
from tasks.host import audience as audiences
from tasks.host.audience import audience
from tasks.host.settings import Settings
from tasks.tokens.issue import check_key_store, keep_token, report_path
from tasks.verify import Verified
from verifier_vm.tokens.errors import KeyFileError


@pytest.fixture
def write(tmp_path: Path):
    def call(ops: str, policy: str = "", audience: str = "host:one") -> Path:
        said = {"predicate": {"schedcp": {"score_sha256": "", "audience": audience}}}
        payload = base64.b64encode(json.dumps(said).encode()).decode()
        verdict = Verdict(True, None, STAGES, ops, sha("object"), SCORE.kernel)
        signed = {"envelope": {"payload": payload}, "token_sha256": sha("token")}
        return keep_token(signed, Verified(verdict, "source", b"o"), Settings(data_dir=tmp_path), policy=policy)

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


def test_what_is_odd_in_a_policy_s_name_is_in_no_file_s(write) -> None:
    assert write("a.b_c-9/../\u00e9 x\x1b").name.startswith("a.b_c-9_..___x_-")


def test_a_token_is_of_the_policy_s_own_name_unless_another_is_given(write) -> None:
    assert write("ljf").name.startswith("ljf-") and write("ljf", "mine").name.startswith("mine-")


def test_a_token_for_another_host_takes_no_other_s_place(write) -> None:
    one, again, other = write("ljf"), write("ljf"), write("ljf", audience="fleet:web")
    assert one == again and other != one and one.exists()


@pytest.mark.parametrize("denied", [os.R_OK, os.W_OK, os.X_OK])
def test_a_key_store_that_cannot_be_used_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: int
) -> None:
    settings = Settings(data_dir=tmp_path)
    check_key_store(settings)
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & denied)
    with pytest.raises(KeyFileError, match=r"^key store: .*keys: it cannot be written to; mend it, or name another"):
        check_key_store(settings)
    monkeypatch.undo()
    settings.key_dir.chmod(0o755)
    with pytest.raises(KeyFileError, match=r"^key store: .*others may use it .*; mend it, or name another"):
        check_key_store(settings)


@pytest.mark.parametrize("machine", [b"", b"uninitialized\n", b"a" * 31, b"a" * 33, b"\xff" * 32, None])
def test_a_host_without_a_machine_id_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: bytes | None
) -> None:
    monkeypatch.setattr(audiences, "MACHINE_ID", tmp_path / "machine-id")
    if machine is not None:
        (tmp_path / "machine-id").write_bytes(machine)
    assert audience(Settings(audience="")) == f"host:{platform.node()}"


def test_a_machine_id_stays_private_and_an_audience_that_is_given_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiences, "MACHINE_ID", tmp_path / "machine-id")
    (tmp_path / "machine-id").write_text("a" * 32 + "\n")
    derived = sha256(b"schedcp " + b"a" * 32).hexdigest()[:32]
    assert audience(Settings(audience="")) == f"machine:{derived}" and audience(Settings(audience="mine")) == "mine"

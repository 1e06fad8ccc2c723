# SPDX-License-Identifier: Apache-2.0
"""What the client makes of a signer's answers, and of none; one-line programs stand in for the signer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policy_lake.errors import InfraError, InputError
from verifier_vm.tokens import client
from verifier_vm.tokens.client import Signer, request_restoration, request_revocation, request_verified
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    def reply(answer: Any) -> None:
        monkeypatch.setattr(client, "START", f"print({json.dumps(answer)!r})")

    return reply


def test_a_token_comes_with_its_digest_and_a_list_as_it_is(says: Any, tmp_path: Path) -> None:
    says({"ok": True, "answer": {"envelope": {"a": 1}, "token_sha256": "ab"}})
    assert request_verified(Signer(tmp_path), {}, {}, print) == {"envelope": {"a": 1}, "token_sha256": "ab"}
    assert request_revocation(tmp_path, "nonce", "x", "y") == {"envelope": {"a": 1}, "token_sha256": "ab"}
    assert request_restoration(tmp_path) == {"envelope": {"a": 1}, "token_sha256": "ab"}


def test_an_error_keeps_its_kind(says: Any, tmp_path: Path) -> None:
    for more, kind in (
        ({"exit_status": 3, "code": Code.REVOKED}, TokenError), ({"exit_status": 2}, InputError),
        ({"exit_status": 4}, KeyFileError),
    ):  # fmt: skip
        says({"ok": False, "error": "why", **more})
        with pytest.raises(kind, match=r"^why$") as error:
            request_restoration(tmp_path)
        assert type(error.value) is kind
    says({"ok": False, "error": "why", "exit_status": 3, "code": Code.REVOKED})
    with pytest.raises(TokenError) as refused:
        request_restoration(tmp_path)
    assert refused.value.code is Code.REVOKED


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import sys; sys.exit('first\\n last line ')", "last line"),
        ("raise SystemExit(7)", "exit status 7"),
        ("print('no json')", "exit status 0"),
        ("import sys; sys.stderr.write('\\xff' + 'x' * 400)", "x"),
    ],
)
def test_a_signer_without_an_answer_is_our_failure_with_its_last_words(
    program: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "START", program)
    with pytest.raises(InfraError) as error:
        request_restoration(tmp_path)
    begins = "the signer ended without an answer: "
    assert str(error.value).startswith(begins) and str(error.value).endswith(told)
    assert told != "x" or len(str(error.value)) == len(begins) + 200


def test_one_that_does_not_start_or_takes_too_long_is_our_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 10 <= client.TIMEOUT_S <= 600
    monkeypatch.setattr(client, "START", "import time; time.sleep(60)")
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(client, "ENDING_S", 0.2)
    with pytest.raises(InfraError, match="the signer gave no answer in time"):
        request_restoration(tmp_path)
    monkeypatch.setattr(client.sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(InfraError, match=r"the signer gave no answer: .*No such file"):
        request_restoration(tmp_path)


def test_the_signer_is_asked_in_a_session_of_its_own_without_a_key_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    program = (
        "import json, os, sys\n"
        "print(json.dumps({'ok': True, 'answer': {'own': os.getsid(0) == os.getpid(), 'argv': sys.argv[1:],"
        " 'key': os.environ.get('OPENAI_API_KEY'), 'asked': json.loads(sys.stdin.readline())}}))"
    )
    monkeypatch.setattr(client, "START", program)
    told = request_revocation(tmp_path, "nonce", "ab", "why")
    assert told["own"] is True and told["key"] is None
    assert told["argv"] == [str(client.ROOT), "verifier_vm.tokens.signer", str(tmp_path)]
    assert told["asked"] == {"do": "revoke", "data": {"kind": "nonce", "value": "ab", "reason": "why"}}
    assert request_restoration(tmp_path)["asked"] == {"do": "restore", "data": {}}
    assert (client.ROOT / "verifier_vm" / "tokens" / "signer.py").is_file()


def test_what_json_has_no_number_for_is_not_sent(says: Any, tmp_path: Path) -> None:
    says({"ok": True, "answer": {}})
    with pytest.raises(InputError, match=r"^not to be signed: "):
        client._ask(tmp_path, "verify", {"says": {"valid_for_s": float("nan")}})


def test_events_come_before_the_answer_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        {"event": "stage", "of": "build"},
        {"event": "done", "of": "build", "ok": False},
        {"ok": True, "answer": {}},
    ]
    monkeypatch.setattr(client, "START", "".join(f"print({json.dumps(line)!r});" for line in lines))
    heard: list[Any] = []
    assert request_verified(Signer(tmp_path), {}, {}, lambda *event: heard.append(event)) == {}
    assert heard == [("stage", "build", None), ("done", "build", False)]


def test_a_service_that_is_not_there_is_our_failure(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"the verifier service at .* gives no answer: No such file"):
        request_verified(Signer(tmp_path, tmp_path / "none.sock"), {}, {}, print)

# SPDX-License-Identifier: Apache-2.0
"""The signer's answers and its hardened process; tests/integration asks it in a process of its own."""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from token_cases import REQUEST, issue, refusal, revoke, sha, tell, trust

from policy_lake.errors import InputError
from verifier_vm.tokens import signer
from verifier_vm.tokens.dsse import unseal
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.private_key import PRIVATE
from verifier_vm.tokens.revocation import REVOCATIONS
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import LONGEST_TEXT

MESSAGE = json.dumps({"do": "revoke", "data": {"kind": "nonce", "value": "ab" * 16, "reason": "why"}}).encode()
PLACE = signer.Place


@pytest.mark.parametrize(
    "message",
    [
        b"", b"[]", b"{}", b'{"do":"seal"}', b"[" * 100_000, b'{"do":"verify"}', b" " * (49 << 20), b"[1]",
        b'{"do":"verify","do":"verify","data":{}}', b'{"do":"revoke","data":{"kind":"key","value":"","reason":"x"}}',
        b'{"do":"verify","data":[]}', b'{"do":"revoke","data":[1]}', b'{"do":["verify"]}', b"\xff\xfe",
        b'{"do":"revoke"}',
    ],
)  # fmt: skip
def test_a_message_out_of_shape_is_told_in_one_short_line(tmp_path: Path, message: bytes) -> None:
    reply = signer.answer(PLACE(tmp_path / "keys"), message)
    assert reply["ok"] is False and reply["exit_status"] == 2 and "code" not in reply
    assert "\n" not in reply["error"] and len(reply["error"]) < 250


def test_of_a_long_complaint_200_characters_are_told(tmp_path: Path) -> None:
    begins = "not a message for the signer: "
    error = signer.answer(PLACE(tmp_path / "keys"), json.dumps({"do": "x" * 400}).encode())["error"]
    assert error.startswith(begins) and len(error) == len(begins) + 200


def test_each_kind_of_answer_has_its_exit_status_and_a_refusal_its_code(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    given = signer.answer(PLACE(keys), MESSAGE)
    assert given["ok"] is True and set(given["answer"]) == {"version", "revoked"}
    refused = signer.answer(PLACE(keys), json.dumps({"do": "issue", "data": {}}).encode())
    assert (refused["ok"], refused["exit_status"], refused["code"]) == (False, 3, Code.MADE_UP)
    (keys / PRIVATE).chmod(0o640)
    ours = signer.answer(PLACE(keys), MESSAGE)
    assert (
        (ours["ok"], ours["exit_status"]) == (False, 4) and "others may use it" in ours["error"] and "code" not in ours
    )


@pytest.mark.parametrize(
    ("error", "told"), [(OSError(28, "No space left on device", "/a/log"), "/a/log: No space left on device"),
                        (OSError(28, "No space left on device"), "{keys}: No space left on device")]
)  # fmt: skip
def test_a_disk_that_is_full_is_our_failure_and_names_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setitem(signer.HANDLERS, "revoke", fail)
    keys = tmp_path / "keys"
    assert signer.answer(PLACE(keys), MESSAGE) == {"ok": False, "error": told.format(keys=keys), "exit_status": 4}


def test_what_was_refused_is_logged_without_what_cannot_be_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    with refusal(Code.TERMS):
        issue(keys, policy="\x1b[2J")
    entry = trust(keys)["log"].entries[-1]
    assert entry.event == "refused" and entry.reason and entry.reason.isprintable()
    token = signer.issue(keys, REQUEST)
    signed = parse_payload(unseal(json.dumps(token["envelope"]).encode(), trust(keys)["public_key"]))
    logged = trust(keys)["log"].entries[-1]
    assert (logged.event, logged.policy, logged.audience, logged.version) == (
        "issued", signed.policy, signed.audience, signed.version,
    )  # fmt: skip
    assert (logged.token_sha256, logged.nonce, logged.object_sha256) == (
        token["token_sha256"], signed.nonce, signed.object_sha256,
    )  # fmt: skip
    assert signer._printable("a\x1b\nb" + "x" * 400) == ("a  b" + "x" * 400)[:LONGEST_TEXT]

    def refuse(*_: Any) -> Any:
        raise TokenError("no\x1b[2J, not so", Code.TERMS)

    monkeypatch.setattr(signer, "issue_token", refuse)
    with refusal(Code.TERMS):
        signer.issue(keys, REQUEST)
    assert trust(keys)["log"].entries[-1].reason == "no [2J, not so"


def test_a_lost_list_is_made_anew_from_the_log_and_a_revoked_object_stays_so(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert issue(keys)
    made = revoke(keys, "object", sha("evil"))
    before = trust(keys)["revocations"]
    (keys / REVOCATIONS).unlink()
    with pytest.raises(Exception, match="revo"):
        issue(keys)
    assert set(tell(keys, "restore", {})) == set(made)
    after = trust(keys)["revocations"].revoked
    assert [one.value for one in after] == [one.value for one in before.revoked] == [sha("evil")]
    with refusal(Code.REVOKED):
        issue(keys, object_sha256=sha("evil"), score=None)
    assert {one.at.microsecond for one in (*before.revoked, *after)} == {0} and after[0].at.tzinfo is not None


def test_who_revokes_says_what_and_not_when(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no nonce"):
        revoke(tmp_path / "keys", "nonce", "xyz")
    with pytest.raises(InputError, match="not a revocation"):
        tell(tmp_path / "keys", "revoke", {"kind": "object", "value": sha("evil")})
    said = {"kind": "object", "value": sha("evil"), "reason": "x", "at": "2001-01-01T00:00:00Z"}
    assert "2001" not in json.dumps(tell(tmp_path / "keys", "revoke", said))


def in_a_child(work: Callable[[], Any]) -> Any:
    """What work gives in a copy of this process, which ends then: it changes the process for good."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writes, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as told:
        answer = told.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def test_the_process_leaves_no_core_no_readable_file_and_cannot_be_traced(tmp_path: Path) -> None:
    def harden() -> Any:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        libc = ctypes.CDLL(None)
        libc.prctl(4, 1, 0, 0, 0)
        sink = io.BytesIO()
        status = signer.main([str(tmp_path / "keys")], io.BytesIO(b" " * (signer.MESSAGE_LIMIT + 2)), sink)
        limits = resource.getrlimit(resource.RLIMIT_CORE)
        return status, json.loads(sink.getvalue()), libc.prctl(3, 0, 0, 0, 0), limits, os.umask(0)

    status, reply, dumpable, limits, umask = in_a_child(harden)
    assert (status, dumpable, limits, umask) == (0, 0, [0, 0], 0o077)
    assert reply["exit_status"] == 2 and "larger than" in reply["error"], reply


def test_a_message_as_long_as_there_may_be_is_read_whole(tmp_path: Path) -> None:
    def ask() -> Any:
        sink = io.BytesIO()
        signer.main([str(tmp_path / "keys")], io.BytesIO(MESSAGE + b" " * (signer.MESSAGE_LIMIT - len(MESSAGE))), sink)
        return json.loads(sink.getvalue())["ok"]

    assert in_a_child(ask) is True


def test_started_as_a_program_it_answers_on_its_output_for_the_directory_it_is_given(tmp_path: Path) -> None:
    def start() -> Any:
        sink = io.BytesIO()
        sys.argv = ["signer", str(tmp_path / "keys")]
        sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(MESSAGE)), io.TextIOWrapper(sink)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(signer.__file__, run_name="__main__")
        return ended.value.code, json.loads(sink.getvalue())["ok"]

    assert in_a_child(start) == [0, True] and (tmp_path / "keys" / PRIVATE).is_file()

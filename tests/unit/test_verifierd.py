# SPDX-License-Identifier: Apache-2.0
"""The verifier service: who may ask what, its limits, what ends its work; a small program stands in for signers."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from token_cases import refusal, sha

from control_plane import verifierd
from control_plane.verifierd import Service
from control_plane.verifierd_config import ServiceConfig, groups_of, read_config
from policy_lake.errors import InfraError, InputError
from verifier_vm.tokens import client
from verifier_vm.tokens.client import Signer, request_of_service, request_revocation, request_verified
from verifier_vm.tokens.errors import Code

ANSWER = {"ok": True, "answer": {"result": {}, "token": None, "refused": None}}
OPENED = {"ok": True, "answer": {"key_id": "ab", "signed_by": "service"}}
# What stands in for a signer: it opens at once, and answers other requests after its caller's file is gone.
PROGRAM = """
import json, os, sys, time
asked = json.loads(sys.stdin.readline())
if asked["do"] == "open":
    print({opened!r}); sys.exit()
open({marks!r} + "/" + str(os.getpid()), "w").write(json.dumps([asked, sys.argv[1:]]))
print(json.dumps({{"event": "stage", "of": "build"}}), flush=True)
import select
poll = select.poll(); poll.register(0, select.POLLRDHUP)
while os.path.exists({hold!r}):
    if poll.poll(50):
        open({marks!r} + "/gone", "w"); sys.exit()
print({answer!r})
"""


class Run:
    """A service on a thread; `hold` keeps its signers at work while it exists, `marks` has what each was asked."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
        self.marks, self.hold = tmp_path / "marks", tmp_path / "hold"
        self.marks.mkdir()
        program = PROGRAM.format(
            opened=json.dumps(OPENED), answer=json.dumps(ANSWER), marks=str(self.marks), hold=str(self.hold)
        )
        monkeypatch.setattr(client, "START", program)
        for name in ("DATA_DIR", "CACHE_DIR", "KEY_STORE"):
            monkeypatch.setenv(f"SCHEDCP_{name}", "")
        given = {"users": (os.geteuid(),), "admins": (), **more}
        self.path = tmp_path / "v.sock"
        config = ServiceConfig(self.path, tmp_path / "data", tmp_path / "cache", tmp_path / "keys", **given)
        self.service = Service(config)
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()
        wait_for(self.path.exists)

    def end(self) -> None:
        self.service.ending.set()
        self.thread.join(20)
        assert not self.thread.is_alive() and not self.path.exists()

    def verify(self, says: Any = None, work: Any = None) -> Any:
        heard: list[Any] = []
        message = work or {"file": "own/a.bpf.c"}
        answer = request_verified(
            Signer(Path(), self.path), message, says or {"audience": "h"}, lambda *event: heard.append(event)
        )
        return answer, heard

    def asked(self) -> list[Any]:
        return [json.loads(path.read_text()) for path in self.marks.iterdir() if path.name != "gone"]


def wait_for(true: Any) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Run] = []

    def start(**more: Any) -> Run:
        made.append(Run(tmp_path, monkeypatch, **more))
        return made[-1]

    yield start
    for run in made:
        run.hold.unlink(missing_ok=True)
        run.end()


def test_a_request_goes_to_a_signer_of_the_service_s_and_its_answer_comes_back(started: Any, tmp_path: Path) -> None:
    run = started()
    answer, heard = run.verify()
    assert answer == ANSWER["answer"] and heard == [("stage", "build", None)]
    ((asked, words),) = run.asked()
    assert asked == {"do": "verify", "data": {"work": {"file": "own/a.bpf.c"}, "says": {"audience": "h"}}}
    assert words[2:] == [str(tmp_path / "keys"), "service", "3600"]
    wait_for(lambda: request_of_service(run.path, "status", {})["done"] == 1)
    assert request_of_service(run.path, "status", {})["pid"] == os.getpid()


def test_who_is_not_listed_is_told_so_and_asks_nothing(started: Any) -> None:
    run = started(users=(), groups=())
    for ask in (run.verify, lambda: request_of_service(run.path, "status", {})):
        with pytest.raises(InputError, match=f"user {os.geteuid()} may not ask this verifier service"):
            ask()
    assert run.asked() == []


def test_a_group_may_ask_and_only_administrators_revoke(started: Any) -> None:
    run = started(users=(), groups=(os.getegid(),))
    assert run.verify()[0] == ANSWER["answer"]
    with pytest.raises(InputError, match="may not revoke"):
        request_revocation(Signer(Path(), run.path), "nonce", "ab" * 16, "why")
    assert len(run.asked()) == 1


def test_an_administrator_revokes(started: Any) -> None:
    run = started(users=(), admins=(os.geteuid(),))
    assert request_revocation(Signer(Path(), run.path), "nonce", "ab" * 16, "why") == ANSWER["answer"]
    assert run.asked()[0][0]["do"] == "revoke"


@pytest.mark.parametrize(
    "data",
    [{"stages": []}, {"verdict": {}}, {"work": {}, "says": {}, "observed": {}}, {"score": {"ratio": 9.0}}],
)
def test_a_made_up_verdict_does_not_reach_a_signer(started: Any, data: Any) -> None:
    run = started()
    for do in ("verify", "issue"):
        with refusal(Code.MADE_UP):
            request_of_service(run.path, do, data)
    assert run.asked() == []


def test_what_is_no_request_is_answered_in_one_line(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = started(request_mib=1)
    monkeypatch.setattr(verifierd, "READ_S", 0.5)
    for line, told in (
        (b"\n", "not a request"), (b"[1]\n", "not a request"), (b"x" * (3 << 20), "larger than 1 MiB"),
        (b'{"do":"verify","do":"status"}\n', "not a request"), (b'{"do":"rm"}\n', "is not one of"),
        (b'{"do":', "no request came in time"), (b'{"do":["status"]}\n', "not a request"),
        (b"[" * 9999 + b"\n", "not a request"),
    ):  # fmt: skip
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(run.path))
            try:
                peer.sendall(line)
                reply = json.loads(peer.makefile("rb").readline() or json.dumps({"ok": False, "error": told}))
            except (BrokenPipeError, ConnectionResetError):
                continue  # it closed, with more unread
        assert reply["ok"] is False and told in reply["error"] and "\n" not in reply["error"]
    assert run.verify()[0] == ANSWER["answer"], "it goes on"


def test_as_many_wait_as_may_and_others_are_sent_away(started: Any) -> None:
    run = started(queue=1)
    run.hold.touch()
    threads = [threading.Thread(target=run.verify) for _ in range(2)]
    threads[0].start()
    wait_for(lambda: len(run.asked()) == 1)
    threads[1].start()
    wait_for(lambda: request_of_service(run.path, "status", {})["waiting"] == 1)
    with pytest.raises(InfraError, match="is busy, and 1 wait"):
        run.verify()
    run.hold.unlink()
    for thread in threads:
        thread.join(20)
    wait_for(lambda: request_of_service(run.path, "status", {})["done"] == 2)


def test_a_client_that_goes_away_and_the_end_of_the_service_end_the_work(started: Any) -> None:
    run = started()
    run.hold.touch()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(run.path))
        peer.sendall(b'{"do":"verify","data":{"work":{},"says":{}}}\n')
        wait_for(lambda: len(run.asked()) == 1)
    wait_for((run.marks / "gone").exists)
    (run.marks / "gone").unlink()
    ended: list[Any] = []

    def ask() -> None:
        try:
            run.verify()
        except InfraError as error:
            ended.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: len(list(run.marks.iterdir())) == 2)
    run.end()
    thread.join(20)
    assert (run.marks / "gone").exists() and "ended meanwhile" in ended[0]


def test_evidence_and_trust_are_given_back(started: Any, tmp_path: Path) -> None:
    run = started()
    (tmp_path / "data" / "evidence").mkdir(parents=True)
    (tmp_path / "data" / "evidence" / sha("object")).write_bytes(b"object")
    told = request_of_service(run.path, "evidence", {"digest": sha("object")})
    assert base64.b64decode(told["content"]) == b"object"
    for digest in ("../../keys/signing.key", sha("none"), "", 7):
        with pytest.raises(InputError):
            request_of_service(run.path, "evidence", {"digest": digest})
    (tmp_path / "keys").mkdir()
    for name in (*verifierd.TRUST, "signing.key"):
        (tmp_path / "keys" / name).write_bytes(name.encode())
    told = request_of_service(run.path, "trust", {})
    assert {name: base64.b64decode(text).decode() for name, text in told.items()} == {
        name: name for name in verifierd.TRUST
    }


def test_a_configuration_is_strict_and_nobody_else_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "verifierd.toml"
    path.write_text('users = ["daemon", 12345]\ngroups = ["daemon"]\nqueue = 2\nsocket = "/run/x.sock"\n')
    config = read_config(path)
    assert (
        12345 in config.users and len(config.users) == 2 and config.queue == 2 and config.socket == Path("/run/x.sock")
    )
    assert config.may_ask(12345, set()) and config.may_ask(0, set()) and not config.may_ask(54321, {54321})
    assert config.may_ask(54321, set(config.groups)) and groups_of(54321, 7) == {7}
    for text in (
        "x = 1", "queue = 1000", "queue = 'a'", "users = ['nobody such']", "socket = 'here'", "= 1", "queue = true",
        f"users = [{os.geteuid()}]",
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InputError, match=str(path)):
            read_config(path)
    path.write_text("")
    path.chmod(0o666)
    with refusal(Code.OPEN_STORE):
        read_config(path)

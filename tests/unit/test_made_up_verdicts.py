# SPDX-License-Identifier: Apache-2.0
"""What nobody gets signed: a verdict that he made up. The signer believes the verifier that it started itself."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from token_cases import REQUEST, SCORE, STAGES, refusal, sha, trust

from policy_lake.errors import InfraError, InputError
from policy_lake.model import to_json
from policy_lake.scores import Ratio
from tasks.tokens import worker
from tasks.tokens.evidence import keep_evidence, listed_files, read_evidence_file
from tasks.tokens.work import Measure, Work, chosen_settings, packed, read_work, settings_of, unpacked
from verifier_vm.tokens import client, signer, verifying
from verifier_vm.tokens.errors import Code, KeyFileError
from verifier_vm.tokens.request import SEEN, Observed
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import REQUIRED_STAGES

# The attack: six stages "ok", nine times as fast, of an object that never existed.
MADE_UP = {
    "policy": "never", "object_sha256": sha("never existed"), "source_sha256": sha("none"), "arguments": [],
    "kernel": "7.3.4+deb13-cloud-amd64", "btf_sha256": sha("btf"), "audience": "host-1", "tier": "full",
    "rollout_limit": "fleet", "ratio": {"median": 9.0, "ci95": [8.5, 9.5]},
    "stages": [{"name": name, "ok": True, "seconds": 1.0, "topologies": [{"cpus": 64}]} for name in REQUIRED_STAGES],
}  # fmt: skip
SAYS = {"audience": "host-1"}


def ask(
    directory: Path,
    message: Any,
    *,
    cwd: Path | None = None,
    environment: Any = None,
    more: Any = (),
    fds: Any = (),
) -> Any:
    """What a signer that is started as anybody may start it answers to a message, and what it said before."""
    command = [sys.executable, "-I", "-c", client.START, str(client.ROOT), client.SIGNER, str(directory), *more]
    lines = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
    pipes: Any = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "cwd": cwd,
        "env": {**os.environ, **(environment or {})},
    }
    with subprocess.Popen(command, pass_fds=fds, **pipes) as started:
        started.stdin.write(lines)
        started.stdin.flush()  # and it stays open: one whose caller has gone ends
        return json.loads([line for line in started.stdout if b'"event"' not in line][-1])


def issued(directory: Path) -> list[str]:
    entries = trust(directory)["log"].entries if (directory / "log.jsonl").exists() else ()
    return [entry.policy for entry in entries if entry.event == "issued"]


@pytest.mark.parametrize(
    "message",
    [{"do": "issue", "data": MADE_UP}, {"do": "sign", "data": MADE_UP}, {"do": "issue"},
     {"do": "verify", "data": MADE_UP}, {"do": "verify", "data": {"work": {"file": "x.bpf.c"}, "says": MADE_UP}},
     {"do": "verify", "data": {"work": MADE_UP, "says": SAYS}},
     {"do": "verify", "data": {"work": {"file": "x.bpf.c"}, "says": SAYS, "observed": MADE_UP}},
     {"do": "verify", "data": {"work": {"file": "x.bpf.c", "verdict": {"accepted": True}}, "says": SAYS}},
     {"do": "verify", "data": {"work": {"file": "x.bpf.c", "score": to_json(SCORE)}, "says": SAYS}},
     {"do": "verify", "data": {"work": {"file": "x.bpf.c"}, "says": {**SAYS, "stages": MADE_UP["stages"]}}},
     {"do": "verify", "data": {"work": {"file": "x.bpf.c"}, "says": {**SAYS, "evidence_sha256": "ab" * 32}}}],
    ids=range(11),
)  # fmt: skip
def test_a_verdict_that_its_caller_made_up_is_refused_with_a_code(tmp_path: Path, message: Any) -> None:
    answer = ask(tmp_path / "keys", message)
    assert (answer["ok"], answer.get("code"), answer["exit_status"]) == (False, Code.MADE_UP, 3), answer
    assert issued(tmp_path / "keys") == []


@pytest.mark.parametrize("name", sorted(SEEN))
def test_nothing_of_what_is_seen_is_for_a_caller_to_say(tmp_path: Path, name: str) -> None:
    with refusal(Code.MADE_UP):
        signer.verify(signer.Place(tmp_path / "keys"), {"work": {name: 1}, "says": SAYS}, print)


@pytest.mark.parametrize(
    ("message", "status"),
    [({"do": "verify", "data": {"work": {"file": "/none.bpf.o"}, "says": SAYS}}, 2),  # an object that never existed
     ({"do": "verify", "data": {"work": {"file": "a.txt"}, "says": SAYS}}, 2),
     ({"do": "verify", "data": {"work": {"file": "x.bpf.c", "trust me": 1}, "says": SAYS}}, 2),
     ({"do": "verify", "data": {"work": {"file": "own/a.bpf.c", "sent": {"own/../../a.bpf.c": ""}}, "says": SAYS}}, 2),
     ({"do": "verify", "data": {"work": {"file": "x.bpf.c", "settings": {"cpus": "many"}}, "says": SAYS}}, 2),
     ({"do": "verify", "data": {"work": {}, "says": {**SAYS, "nonce": "ab" * 16}}}, 2),
     (b'{"do":"verify","data":{"work":{"file":"x"},"work":{"file":"y"},"says":{"audience":"h"}}}\n', 2)],
    ids=range(7),
)  # fmt: skip
def test_what_cannot_be_looked_at_is_bad_input_and_signed_by_nobody(tmp_path: Path, message: Any, status: int) -> None:
    answer = ask(tmp_path / "keys", message)
    assert (answer["ok"], answer["exit_status"]) == (False, status), answer
    assert issued(tmp_path / "keys") == []


def test_no_line_and_no_descriptor_of_the_caller_is_taken_for_the_verifier_s(tmp_path: Path) -> None:
    """He sends the verifier's last line behind his own, and holds a descriptor with it open in the signer."""
    last = json.dumps({"result": {}, "observed": MADE_UP}).encode() + b"\n"
    message = json.dumps({"do": "verify", "data": {"work": {"file": "/none.bpf.c"}, "says": SAYS}}).encode() + b"\n"
    assert ask(tmp_path / "keys", message + last * 3)["exit_status"] == 2
    ours, its = socket.socketpair()
    ours.sendall(last * 3)
    answer = ask(tmp_path / "keys", message, fds=[its.fileno()])
    assert answer["exit_status"] == 2 and issued(tmp_path / "keys") == []


def test_no_program_of_the_caller_is_taken_for_the_verifier(tmp_path: Path) -> None:
    fake = tmp_path / "tasks" / "tokens"
    fake.mkdir(parents=True)
    for path in (tmp_path / "tasks" / "__init__.py", fake / "__init__.py", tmp_path / "sitecustomize.py"):
        path.touch()
    answer = json.dumps({"result": {}, "observed": {**MADE_UP, "ops": "never"}})
    (fake / "worker.py").write_text(f"import os; os.write(0, {answer!r}.encode() + b'\\n')")
    message = {"do": "verify", "data": {"work": {"file": "/none.bpf.c"}, "says": SAYS}}
    told = ask(tmp_path / "keys", message, cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert told["exit_status"] == 2 and issued(tmp_path / "keys") == []


def test_a_lab_key_signs_nothing_as_a_service(tmp_path: Path) -> None:
    client.request_revocation(tmp_path / "keys", "nonce", "ab" * 16, "made")
    message = {"do": "verify", "data": {"work": {"file": "/none.bpf.c"}, "says": SAYS}}
    answer = ask(tmp_path / "keys", message, more=("service", "60"))
    assert answer["exit_status"] == 4 and "a lab key, where a service's is needed" in answer["error"]


def seen(**changes: Any) -> Observed:
    told = {field.name: getattr(REQUEST, field.name) for field in fields(Observed) if field.name != "ops"}
    return replace(Observed(**told, ops="ljf"), **changes)


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A verifier that is a program of one line, and says this at last."""

    def last(answer: Any, *events: Any) -> None:
        lines = "".join(json.dumps(line) + "\n" for line in (*events, answer))
        monkeypatch.setattr(verifying, "START", f"import os; os.read(0, 1); os.write(0, {lines!r}.encode())")

    return last


def verify(directory: Path, says: Any = SAYS, told: Any = None, **place: Any) -> Any:
    work = {"file": "x.bpf.c"}
    tell = (lambda line: None) if told is None else told.append
    return signer.verify(signer.Place(directory, **place), {"work": work, "says": says}, tell)


@pytest.mark.parametrize("service", [False, True])
def test_what_the_verifier_saw_is_signed_with_what_its_caller_chose(tmp_path: Path, sees: Any, service: bool) -> None:
    event = {"event": "stage", "of": "build", "more": 1}
    sees({"result": {"a": 1}, "observed": to_json(seen(evidence_sha256="ab" * 32))}, event)
    told: list[Any] = []
    answer = verify(tmp_path / "keys", {**SAYS, "policy": "mine", "valid_for_s": 60}, told, service=service)
    assert answer["result"] == {"a": 1} and answer["refused"] is None
    assert told == [{"event": "stage", "of": "build", "ok": None}]
    token = parse_payload(base64.b64decode(answer["token"]["envelope"]["payload"]))
    assert (token.policy, token.audience, token.evidence_sha256) == ("mine", "host-1", "ab" * 32)
    assert token.signed_by == ("service" if service else "lab") and token.object_sha256 == REQUEST.object_sha256


def test_what_was_seen_and_does_not_suffice_is_refused_beside_the_result(tmp_path: Path, sees: Any) -> None:
    sees({"result": {}, "observed": to_json(seen(stages=STAGES[1:]))})
    assert verify(tmp_path / "keys")["refused"]["code"] == Code.INCOMPLETE
    sees({"result": {"verdict": "rejected"}, "observed": None})
    assert verify(tmp_path / "keys") == {"result": {"verdict": "rejected"}, "token": None, "refused": None}
    sees({"result": {}, "observed": None, "unsigned": {"error": "full", "exit_status": 4}})
    assert verify(tmp_path / "keys")["refused"] == {"error": "full", "exit_status": 4}
    lost = replace(SCORE, outcome="inconclusive", ratio=Ratio(1.0, (0.9, 1.1)))
    sees({"result": {}, "observed": to_json(seen(score=lost))})
    assert verify(tmp_path / "keys", {**SAYS, "must_win": True})["token"] is None
    assert verify(tmp_path / "keys")["token"] is not None and issued(tmp_path / "keys") == ["ljf"]


@pytest.mark.parametrize(
    ("last", "kind"),
    [({"error": "no", "exit_status": 2}, InputError), ({"error": "no", "exit_status": 4}, InfraError),
     ({"error": "no", "exit_status": 4, "key_file": True}, KeyFileError)],
)  # fmt: skip
def test_the_verifier_s_errors_keep_their_kind(tmp_path: Path, sees: Any, last: Any, kind: Any) -> None:
    sees(last)
    with pytest.raises(kind, match=r"^no$"):
        verify(tmp_path / "keys")
    sees({"error": "no", "exit_status": 3, "code": "terms"})
    with refusal(Code.TERMS):
        verify(tmp_path / "keys")


def test_a_verifier_that_ends_or_takes_too_long_signs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "ENDING_S", 0.3)
    for program, told in (
        ("import sys; sys.exit('it fell')", "the verifier ended without an answer: it fell"),
        ("import time; time.sleep(60)", "the verifier took longer than it may"),
        ("import signal, time; signal.signal(15, 1); time.sleep(60)", "the verifier took longer than it may"),
    ):
        monkeypatch.setattr(verifying, "START", program)
        with pytest.raises(InfraError, match=told):
            verify(tmp_path / "keys", limit_s=1.0)
    monkeypatch.setattr(verifying.sys, "executable", str(tmp_path / "none"))
    with pytest.raises(InfraError, match="the verifier cannot be started"):
        verify(tmp_path / "keys")


def test_a_caller_who_goes_away_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "ENDING_S", 0.3)
    monkeypatch.setattr(verifying, "START", "import time; time.sleep(60)")
    ours, its = socket.socketpair()
    monkeypatch.setattr(verifying.sys, "stdin", its)
    ours.close()
    with pytest.raises(InfraError, match="whoever asked has gone"):
        verify(tmp_path / "keys")


def test_a_service_takes_contents_and_few_settings_and_no_path(tmp_path: Path) -> None:
    source = tmp_path / "mine.bpf.c"
    source.write_text("int x;")
    (tmp_path / "own.h").write_text("int y;")
    (tmp_path / "secret.txt").write_text("no header")
    sent = packed(source, (), (tmp_path,))
    work = to_json(Work(**sent))
    assert sorted(sent["sent"]) == ["include0/own.h", "own/mine.bpf.c", "own/own.h"]
    with unpacked(read_work(work, service=True)) as files:
        assert files.own.read_text() == "int x;" and [path.name for path in files.include] == ["include0"]
        assert (files.include[0] / "own.h").read_text() == "int y;" and (files.own.parent / "own.h").exists()
    assert not files.own.exists()
    for more in (
        {"sent": {}}, {"include": ["/etc"]}, {"plots": "/tmp"}, {"minimize": True}, {"file": "own/other.bpf.c"},
        {"measure": {"workload": "/tmp/w.toml"}}, {"measure": {"workload": "w.toml"}},
    ):  # fmt: skip
        with pytest.raises(InputError):
            read_work({**work, **more}, service=True)
    for name in ("own/../x", "/etc/passwd", "own/.x", "own/", "other/x", "own/a/b", "own/a\0b", "x"):
        with pytest.raises(InputError), unpacked(Work(name, sent={name: ""})):
            pass
    with pytest.raises(InputError, match="no base64"), unpacked(Work("own/a", sent={"own/a": "?"})):
        pass
    with pytest.raises(InputError, match="lets nobody choose cache_dir"):
        settings_of(Work("x", settings={"cache_dir": "/tmp"}), service=True)
    assert settings_of(Work("x", settings={"cpus": 4}), service=True).cpus == 4
    mine = settings_of(Work("x", settings={"data_dir": "/tmp/d", "cpus": 4}), service=False)
    assert chosen_settings(mine, service=True) == {"cpus": 4}
    assert chosen_settings(mine, service=False) == {"data_dir": "/tmp/d", "cpus": 4}
    assert Measure("batch").plan is None and Measure("batch", 4, 0, 7).plan is not None
    with pytest.raises(InputError):
        Measure("batch", 10_000).plan  # noqa: B018


@pytest.mark.parametrize("measure", [None, Measure("batch"), Measure("batch", 8, 0, 7, 1.07)])
def test_the_verifier_measures_by_the_plan_and_the_floor_of_its_work(measure: Any, monkeypatch: Any) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(worker, "verify", lambda *_, **given: asked.update(given))
    files: Any = SimpleNamespace(own="mine.bpf.c", linked=(), include=())
    nothing: Any = None
    worker._verify(Work("mine.bpf.c", measure=measure), files, nothing, nothing)
    wanted = (measure.workload, measure.plan, measure.floor) if measure else ("", None, None)
    assert (asked["workload"], asked["plan"], asked["floor"]) == wanted
    assert type(asked["store"]).__name__ == "MemoryStore", "its runs are its own"


def test_evidence_is_kept_by_its_digest_and_read_back_as_it_was(tmp_path: Path) -> None:
    digest = keep_evidence(tmp_path, {"verdict.json": b"{}", "object.bpf.o": b"object"})
    files = listed_files(read_evidence_file(tmp_path, digest))
    assert {name: read_evidence_file(tmp_path, one) for name, one in files.items()} == {
        "verdict.json": b"{}", "object.bpf.o": b"object",
    }  # fmt: skip
    assert listed_files(b"object") == {} and files["object.bpf.o"] == sha("object")
    (tmp_path / digest).write_bytes(b"another")
    for word in (digest, "ab" * 32, "../x", "x"):
        with pytest.raises(InputError):
            read_evidence_file(tmp_path, word)


def test_the_verifier_tells_its_errors_and_what_it_does(tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    told = worker.Told(its)
    told.event("stage", "build")
    told.event("done", "build", False)
    assert told.events == ["stage build", "done build rejected"]
    assert [json.loads(line) for line in ours.recv(1 << 16).splitlines()] == [
        {"event": "stage", "of": "build", "ok": None}, {"event": "done", "of": "build", "ok": False},
    ]  # fmt: skip
    answer = worker.answer({"file": "/none.bpf.c"}, told, service=False)
    assert answer["exit_status"] == 2 and answer["error"].startswith("/none.bpf.c: ") and "observed" not in answer

# SPDX-License-Identifier: Apache-2.0
"""The verifier's own process: it is started by the signer, does one piece of work, and tells the signer what it saw.

It reads the work, a line, from the socket that is its standard input, and writes lines back: events, and the answer.
Whatever a policy, a compiler or a guest does to it, it has no key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from policy_lake.doing import is_doing
from policy_lake.errors import InfraError, SchedcpError
from policy_lake.model import to_json
from policy_lake.scores import Score
from tasks.host.interrupts import interruptible
from tasks.host.settings import Settings
from tasks.tokens.evidence import keep_evidence
from tasks.tokens.work import Files, Work, read_work, settings_of, unpacked
from tasks.trial.drive import MemoryStore
from tasks.trial.kept import keep_object
from tasks.verify import Verified, VerifyOptions, verify
from verifier_vm.tokens.errors import KeyFileError, TokenError
from verifier_vm.tokens.hardening import harden
from verifier_vm.tokens.terms import LONGEST_TEXT

WORK_LIMIT = 64 << 20


class Told:
    """What goes back to the signer, line by line; what was told is evidence, too."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer, self._lock = peer, threading.Lock()
        self.events: list[str] = []

    def line(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._peer.sendall(json.dumps(message).encode() + b"\n")

    def event(self, kind: str, of: str, ok: bool | None = None) -> None:
        self.events.append(f"{kind} {of}" + ("" if ok is None else " passed" if ok else " rejected"))
        self.line({"event": kind, "of": of, "ok": ok})


class Log(logging.Handler):
    """What the work says of itself on the way: what it is at, and warnings."""

    def __init__(self, told: Told) -> None:
        super().__init__(logging.INFO)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        if is_doing(record):
            self._told.event("doing", record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._told.event("warning", record.getMessage())


def work_on(work: Work, settings: Settings, told: Told, *, service: bool) -> dict[str, Any]:
    """The answer: `result` for the caller, and `observed`, what is to be signed, of an accepted policy."""
    with unpacked(work) as files:
        done = _verify(work, files, settings, told)
    evidence, observed, unsigned = "", None, None
    if done.verdict.accepted:
        try:
            evidence = keep_evidence(settings.data_dir / "evidence", _evidence(work, done, told))
            keep_object(done.object_data, settings)
            observed = _observed(work, done, settings, evidence)
        except SchedcpError as error:  # a full disk takes nothing of the verdict
            unsigned = _told_error(error)
    result = {
        "verdict": to_json(done.verdict), "clock": done.clock, "warning": done.warning, "machine": done.machine,
        "tier": done.tier,
        "arguments": list(done.arguments), "evidence_sha256": evidence, "source": done.source if not service else "",
        "smallest": [done.smallest.situation, done.smallest.guests] if done.smallest else None,
        "pictures": {name: str(path) for name, path in done.pictures.files.items()},
        "score": to_json(done.score) if done.score else None, "btf_sha256": done.btf_sha256,
        "object": base64.b64encode(done.object_data).decode(),
    }  # fmt: skip
    return {"result": result, "observed": observed, "unsigned": unsigned}


def _verify(work: Work, files: Files, settings: Settings, told: Told) -> Verified:
    options = VerifyOptions(
        work.tier, work.check_all, work.require, None, work.minimize, Path(work.plots) if work.plots else None,
        here=True,
    )  # fmt: skip
    measure = work.measure
    return verify(
        files.own, settings, include_dirs=files.include, linked=files.linked, knobs=work.knobs, sets=work.sets,
        options=options, workload=measure.workload if measure else "", plan=measure.plan if measure else None,
        floor=measure.floor if measure else None, store=MemoryStore(), on_stage=lambda name: told.event("stage", name),
        on_done=lambda name, ok: told.event("done", name, ok),
    )  # fmt: skip


def _observed(work: Work, done: Verified, settings: Settings, evidence: str) -> dict[str, Any]:
    verdict, machine = done.verdict, done.machine
    return {
        "ops": verdict.ops, "object_sha256": verdict.object_sha256, "arguments": list(done.arguments),
        "source_sha256": hashlib.sha256(done.source.encode()).hexdigest(), "kernel": verdict.kernel,
        "btf_sha256": done.btf_sha256, "stages": [to_json(stage) for stage in verdict.stages],
        "workload": done.score.workload if _told(work, done) and done.score else "",
        "score": to_json(done.score) if _told(work, done) and done.score else None, "tier": work.tier,
        "limits": [f"tried on CPUs that were taken for a machine ({machine})"[:LONGEST_TEXT]] if machine else [],
        "coverage": to_json(verdict.coverage) if verdict.coverage else None, "min_coverage": settings.min_coverage,
        "evidence_sha256": evidence,
    }  # fmt: skip


def _told(work: Work, done: Verified) -> bool:
    """Whether the token tells of the score: one that was asked for, of a policy that was attached all the while."""
    score: Score | None = done.score
    return bool(work.measure and work.measure.pairs and score and score.attached and not score.over)


def _evidence(work: Work, done: Verified, told: Told) -> dict[str, bytes]:
    files = {
        "object.bpf.o": done.object_data, "source.bpf.c": done.source.encode(),
        "verdict.json": _json(to_json(done.verdict)), "events.log": "\n".join(told.events).encode(),
        "request.json": _json({name: value for name, value in to_json(work).items() if name != "sent"}),
    }  # fmt: skip
    logs = [f"== {stage.name}\n{stage.evidence}\n" for stage in done.verdict.stages if stage.evidence]
    files["guest.log"] = "".join(logs).encode()
    if done.verdict.coverage:
        files["coverage.json"] = _json(to_json(done.verdict.coverage))
    if done.score:
        files["score.json"] = _json(to_json(done.score))
    return files


def _json(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True).encode()


def answer(data: Any, told: Told, *, service: bool) -> dict[str, Any]:
    """The last line: what was seen, or why there is nothing to be seen."""
    try:
        work = read_work(data, service=service)
        return work_on(work, settings_of(work, service=service), told, service=service)
    except SchedcpError as error:
        return _told_error(error)


def _told_error(error: SchedcpError) -> dict[str, Any]:
    more = {"code": error.code} if isinstance(error, TokenError) else {}
    kinds = {"key_file": isinstance(error, KeyFileError), "infra": isinstance(error, InfraError)}
    return {"error": str(error), "exit_status": error.exit_status, **kinds, **more}


def main(arguments: list[str]) -> int:
    """Do one piece of work."""
    harden()
    peer = socket.socket(fileno=os.dup(0))
    with peer.makefile("rb") as lines:
        data = json.loads(lines.readline(WORK_LIMIT))
    threading.Thread(target=_end_with, args=(peer,), daemon=True).start()
    with interruptible(os._exit):
        told = Told(peer)
        for name in ("tasks", "verifier_vm", "policy_lake", "bpf", "benchmarks"):
            logging.getLogger(name).addHandler(Log(told))
            logging.getLogger(name).setLevel(logging.INFO)
        told.line(answer(data, told, service=arguments == ["service"]))
    return 0


def _end_with(peer: socket.socket) -> None:
    """The signer sends no more than the work: the end of its side is its end, or its wish that we end."""
    peer.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""`schedcp verifierd`: the verifier as a service of its own user, at a socket of this host.

A request says what is to be verified and what the token shall say. For each the service starts a signer, and that the
verifier, whose verdict it signs: nothing that a client sends is believed. This process itself holds no key.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from control_plane.verifierd_config import ServiceConfig, groups_of
from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.show import for_terminal
from tasks.tokens.evidence import read_evidence_file
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.client import lines_of, signer_process
from verifier_vm.tokens.dsse import strict_json
from verifier_vm.tokens.errors import TokenError
from verifier_vm.tokens.public_key import PUBLIC
from verifier_vm.tokens.request import refuse_made_up
from verifier_vm.tokens.revocation import REVOCATIONS

READ_S, LOOK_S, ENDING_S = 30.0, 0.3, 25.0
TRUST = (PUBLIC, REVOCATIONS, HEAD, LOG)
ASKS, OF_ADMINS = {"verify", "status", "trust", "evidence"}, {"revoke", "restore"}


def serve_until_told(config: ServiceConfig) -> None:
    """Run the service until SIGTERM or SIGINT."""
    service = Service(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.ending.set())
    service.serve()


class Service:
    """A verifier service; `serve` returns when it is told to end."""

    def __init__(self, config: ServiceConfig) -> None:
        self.config, self.ending = config, threading.Event()
        self.done, self._waiting, self._busy = 0, 0, 0
        self._lock, self._slots = threading.Lock(), threading.Semaphore(config.at_once)
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        """Answer until `ending` is set. InfraError if the socket cannot be had, KeyFileError for an unfit store."""
        for name in ("data_dir", "cache_dir", "key_store"):
            os.environ[f"SCHEDCP_{name.upper()}"] = str(getattr(self.config, name))
        key = self._of_signer({"do": "open", "data": {}})
        path = self.config.socket
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            self._bind(listener, path)
            print(f"verifierd: at {path}, key {key['key_id']}", file=sys.stderr, flush=True)
            try:
                while not self.ending.is_set():
                    if select.select([listener], [], [], LOOK_S)[0]:
                        self._begin(listener.accept()[0])
            finally:
                path.unlink(missing_ok=True)
        until = time.monotonic() + ENDING_S
        for thread in self._threads:  # each ends its signer, that its verifier, and that its guests
            thread.join(max(0.0, until - time.monotonic()))

    def _bind(self, listener: socket.socket, path: Path) -> None:
        try:
            with socket.socket(socket.AF_UNIX) as other:
                if other.connect_ex(str(path)) == 0:
                    raise InfraError(f"{path}: another verifier service answers there")
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(0o666)  # who may ask is told by the kernel, of each peer
            listener.listen(16)
        except OSError as error:
            raise InfraError(f"{path}: {error.strerror}") from error

    def _begin(self, peer: socket.socket) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) > self.config.queue + self.config.at_once + 16:
            peer.close()
            return
        thread = threading.Thread(target=self._answer, args=(peer,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _answer(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            try:
                reply = self._reply(peer)
            except SchedcpError as error:
                code = {"code": error.code} if isinstance(error, TokenError) else {}
                infra = isinstance(error, InfraError)
                reply = {"ok": False, "error": str(error), "exit_status": error.exit_status, "infra": infra, **code}
            if reply is not None:
                send(peer, reply)

    def _reply(self, peer: socket.socket) -> dict[str, Any] | None:
        _, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if not self.config.may_ask(uid, groups_of(uid, gid)):
            raise InputError(f"user {uid} may not ask this verifier service: its administrator lists who may")
        line = _request(peer, self.config.request_mib << 20)
        try:
            message = strict_json(line, limit=len(line))
            do, data = message["do"], message.get("data", {})
            if not isinstance(do, str):
                raise TypeError("do is no word")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError("not a request to a verifier service") from error
        if do in OF_ADMINS and uid not in self.config.admins:
            raise InputError(f"user {uid} may not {do}: that is for this verifier service's administrators")
        if do == "verify":
            return self._verify(peer, data, line)
        if do in OF_ADMINS:
            return {"ok": True, "answer": self._of_signer({"do": do, "data": data})}
        return {"ok": True, "answer": self._told(do, data)}

    def _told(self, do: str, data: Any) -> dict[str, Any]:
        if do == "status":
            return {"pid": os.getpid(), "busy": self._busy, "waiting": self._waiting, "done": self.done}
        if do == "trust":
            paths = [self.config.key_store / name for name in TRUST]
            return {path.name: base64.b64encode(path.read_bytes()).decode() for path in paths}
        if do == "evidence" and isinstance(data, dict):
            content = read_evidence_file(self.config.data_dir / "evidence", str(data.get("digest", "")))
            return {"content": base64.b64encode(content).decode()}
        refuse_made_up(data)
        raise InputError(f"{for_terminal(do[:40])!r} is not one of {', '.join(sorted(ASKS | OF_ADMINS))}")

    def _verify(self, peer: socket.socket, data: Any, line: bytes) -> dict[str, Any] | None:
        refuse_made_up(data)
        with self._lock:
            if self._waiting >= self.config.queue and self._busy >= self.config.at_once:
                raise InfraError(f"the verifier service is busy, and {self._waiting} wait: ask again later")
            self._waiting += 1
        try:
            if self._busy:
                send(peer, {"event": "stage", "of": f"waiting at the verifier service, behind {self._waiting}"})
            while not self._slots.acquire(timeout=LOOK_S):
                if self.ending.is_set() or gone(peer):
                    return None
        finally:
            with self._lock:
                self._waiting -= 1
        self._busy += 1
        try:
            return self._relay(peer, line)
        finally:
            self._slots.release()
            self._busy -= 1
            self.done += 1

    def _relay(self, peer: socket.socket, line: bytes) -> dict[str, Any] | None:
        """A signer's lines to the client; leaving it early closes the signer's socket, which ends its work."""
        arguments = [str(self.config.key_store), "service", str(self.config.limit_s)]
        with signer_process(arguments) as (signer, _):
            signer.sendall(line + b"\n")
            while not self.ending.is_set() and not gone(peer):
                if not select.select([signer], [], [], LOOK_S)[0]:
                    continue
                piece = signer.recv(1 << 20)
                if not piece:
                    return None
                peer.sendall(piece)
            return None if not self.ending.is_set() else _ended()

    def _of_signer(self, message: dict[str, Any]) -> dict[str, Any]:
        from verifier_vm.tokens.client import refusal_in

        with signer_process([str(self.config.key_store), "service", "60"]) as (signer, last_words):
            signer.sendall(json.dumps(message).encode() + b"\n")
            for line in lines_of(signer, time.monotonic() + READ_S):
                reply = json.loads(line)
                if "event" in reply:
                    continue
                if reply["ok"]:
                    return dict(reply["answer"])
                raise refusal_in(reply)
            raise InfraError(f"the signer ended without an answer: {last_words()}")


def _ended() -> dict[str, Any]:
    return {"ok": False, "error": "the verifier service ended meanwhile", "exit_status": 4, "infra": True}


def send(peer: socket.socket, message: dict[str, Any]) -> None:
    """One line to a peer."""
    peer.sendall(json.dumps(message).encode() + b"\n")


def gone(peer: socket.socket) -> bool:
    """Whether the peer has closed its end."""
    poll = select.poll()
    poll.register(peer, select.POLLRDHUP)
    return any(event & (select.POLLRDHUP | select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def _request(peer: socket.socket, most: int) -> bytes:
    """The request's line, which has to come within READ_S and be no larger than allowed."""
    peer.settimeout(READ_S)
    kept, until = bytearray(), time.monotonic() + READ_S
    try:
        while b"\n" not in kept:
            piece = peer.recv(1 << 20)
            kept += piece
            if not piece or time.monotonic() > until:
                raise InputError("no request came")
            if len(kept) > most:
                raise InputError(f"the request is larger than {most >> 20} MiB")
    except TimeoutError:
        raise InputError("no request came in time") from None
    return bytes(kept.partition(b"\n")[0])

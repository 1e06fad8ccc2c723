# SPDX-License-Identifier: Apache-2.0
"""The signer's client: what all others call, and all that they see of it. It asks a signer that it starts for this, of
the user's own, or the verifier service at a socket, which starts one there.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError
from policy_lake.secrets import child_environment
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError

TIMEOUT_S, LONGEST_S = 60.0, 7 * 3600.0
ENDING_S = 15.0
ANSWER_LIMIT = 64 << 20
# What our packages are imported from: the checkout, or where the wheel that has them is installed.
ROOT = Path(__file__).resolve().parents[__name__.count(".")]
SIGNER = f"{__package__}.signer"
# The interpreter is isolated from what the environment or the working directory would have it import; ours is added
# last, so that nothing in it stands before the standard library.
START = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"
OnEvent = Callable[[str, str, bool | None], None]


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: the directory of the user's own key, or, where that is given, the socket of a verifier service."""

    directory: Path
    service: Path | None = None


def request_verified(signer: Signer, work: dict[str, Any], says: dict[str, Any], on_event: OnEvent) -> dict[str, Any]:
    """Has the work verified and, if it is accepted, signed: `result`, and `token`, or in `refused` why there is none.

    `on_event` hears of what begins and ends. InfraError if nothing can be said, TokenError for what nobody may ask.
    """
    return _ask(signer, "verify", {"work": work, "says": says}, timeout_s=LONGEST_S, on_event=on_event)


def request_revocation(signer: Signer | Path, kind: str, value: str, reason: str) -> dict[str, Any]:
    """Has a nonce or an object revoked, and returns the list as it then is."""
    return _ask(signer, "revoke", {"kind": kind, "value": value, "reason": reason})


def request_restoration(signer: Signer | Path) -> dict[str, Any]:
    """Has a lost revocation list made anew from the log."""
    return _ask(signer, "restore", {})


def request_key(signer: Signer | Path) -> dict[str, Any]:
    """`key_id` and `signed_by` of the key that signs; one of one's own is made if there is none yet."""
    return _ask(signer, "open", {})


def request_of_service(service: Path, do: str, data: dict[str, Any]) -> dict[str, Any]:
    """What the service itself answers: `status`, `trust`, `evidence`."""
    return _ask(Signer(Path(), service), do, data)


def _ask(
    signer: Signer | Path, do: str, data: dict[str, Any], *, timeout_s: float | None = None,
    on_event: OnEvent = lambda kind, of, ok: None,
) -> dict[str, Any]:  # fmt: skip
    try:
        message = json.dumps({"do": do, "data": data}, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        raise InputError(f"not to be signed: {error}") from error
    who = signer if isinstance(signer, Signer) else Signer(signer)
    until = time.monotonic() + (TIMEOUT_S if timeout_s is None else timeout_s)
    with _service(who.service) if who.service else signer_process([str(who.directory)]) as (peer, last_words):
        with contextlib.suppress(BrokenPipeError, ConnectionError):  # what it answered, if anything, is to be read
            peer.sendall(message)
        for line in lines_of(peer, until):
            try:
                reply = json.loads(line)
            except ValueError:
                break
            if "event" not in reply:
                return _answered(reply)
            on_event(str(reply["event"]), str(reply.get("of", "")), reply.get("ok"))
        raise InfraError(f"the signer ended without an answer: {last_words()}")


def _answered(reply: dict[str, Any]) -> dict[str, Any]:
    if reply["ok"]:
        return dict(reply["answer"])
    raise refusal_in(reply)


def refusal_in(reply: dict[str, Any]) -> Exception:
    """The error that an answer tells of."""
    if "code" in reply:
        return TokenError(reply["error"], Code(reply["code"]))
    if reply["exit_status"] == InputError.exit_status:
        return InputError(reply["error"])
    return InfraError(reply["error"]) if reply.get("infra") else KeyFileError(reply["error"])


Peer = tuple[socket.socket, Callable[[], str]]


@contextmanager
def signer_process(arguments: list[str]) -> Iterator[Peer]:
    """A signer of this user's, at the other end of a socket, and what tells its last words; it ends with the context.

    In a session of its own: an interrupt at the terminal is not to cut a line of the log short.
    """
    command = [sys.executable, "-I", "-c", START, str(ROOT), SIGNER, *arguments]
    ours, its = socket.socketpair()
    with tempfile.TemporaryFile() as said, ours:
        try:
            child = subprocess.Popen(
                command, stdin=its.fileno(), stdout=its.fileno(), stderr=said, start_new_session=True,
                env=child_environment(),
            )  # fmt: skip
        except OSError as error:
            raise InfraError(f"the signer gave no answer: {error}") from error
        finally:
            its.close()

        def last_words() -> str:
            _wait_for(child)
            said.seek(0)
            line = said.read().decode(errors="replace").strip().splitlines()[-1:]
            return line[0][:200] if line else f"exit status {child.returncode}"

        try:
            yield ours, last_words
        finally:
            ours.close()  # a signer whose caller has gone ends its verifier
            _wait_for(child)


def _wait_for(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def _service(path: Path) -> Iterator[Peer]:
    with socket.socket(socket.AF_UNIX) as peer:
        try:
            peer.connect(str(path))
        except OSError as error:
            raise InfraError(f"the verifier service at {path} gives no answer: {error.strerror}") from error
        yield peer, lambda: "it closed the connection"


def lines_of(peer: socket.socket, until: float) -> Iterator[bytes]:
    """The peer's lines until it closes; InfraError if it takes longer, or says too much."""
    kept = bytearray()
    while True:
        ready, _, _ = select.select([peer], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise InfraError("the signer gave no answer in time")
        try:
            piece = peer.recv(1 << 20)
        except ConnectionError:
            piece = b""
        kept += piece
        if len(kept) > ANSWER_LIMIT:
            raise InfraError("the signer's answer is too large")
        while (end := kept.find(b"\n")) >= 0:
            yield bytes(kept[:end])
            del kept[: end + 1]
        if not piece:
            if kept:
                yield bytes(kept)
            return

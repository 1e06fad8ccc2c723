# SPDX-License-Identifier: Apache-2.0
"""The signer's verifier: a process that the signer starts and ends, and the only one whose verdict it believes.

The signer passes on what its caller wants verified, and reads lines back: events, which it passes to the caller, and
one last line, with what was seen. Their socket pair is made here and is in no other process.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError
from policy_lake.secrets import child_environment
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.request import Observed, read_observed

Tell = Callable[[dict[str, Any]], None]
ROOT = Path(__file__).resolve().parents[__name__.count(".")]
WORKER = ".".join((*__name__.split(".")[:-3], "tasks", "tokens", "worker"))
# The interpreter is isolated from what the environment or the working directory would have it import; ours is added
# last, so that nothing in it stands before the standard library.
START = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"
ANSWER_LIMIT = 64 << 20
ENDING_S, LOOK_S = 12.0, 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What the verifier told last: its result for the caller, and, of an accepted policy, what is to be signed.

    `unsigned` is why it could not tell that, though it accepted the policy: it could not keep the evidence.
    """

    result: dict[str, Any]
    observed: Observed | None
    unsigned: dict[str, Any] | None = None


def verified(work: dict[str, Any], *, service: bool, limit_s: float, tell: Tell) -> Seen:
    """Have the work done by a verifier of our own. InfraError if it ends without an answer or is not done in time.

    A caller who goes away (its end of our standard input is closed) ends it. Its refusals keep their kind.
    """
    ours, its = socket.socketpair()
    # A lab verifier has its caller's settings, and none beside them: the library's users have theirs from nowhere else.
    environment = {
        name: value for name, value in child_environment().items() if service or not name.upper().startswith("SCHEDCP_")
    }
    command = [sys.executable, "-I", "-c", START, str(ROOT), WORKER, "service" if service else "lab"]
    with tempfile.TemporaryFile() as said, ours:
        try:
            child = subprocess.Popen(
                command, stdin=its.fileno(), stdout=subprocess.DEVNULL, stderr=said, env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise InfraError(f"the verifier cannot be started: {error}") from error
        finally:
            its.close()
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionError):
                ours.sendall(json.dumps(work).encode() + b"\n")
            last = _listen(ours, time.monotonic() + limit_s, tell)
        finally:
            ours.close()  # a verifier whose signer has gone ends its guests
            _end(child)
        if last is None:
            said.seek(0)
            words = said.read()[-4096:].decode(errors="replace").strip().splitlines()[-1:]
            why = words[0][:200] if words else f"exit status {child.returncode}"
            raise InfraError(f"the verifier ended without an answer: {why}")
    if "error" in last:
        _raise(last)
    observed = last.get("observed")
    return Seen(last["result"], None if observed is None else read_observed(observed), last.get("unsigned"))


def _listen(ours: socket.socket, until: float, tell: Tell) -> dict[str, Any] | None:
    """The last line, once all before it have been passed on; None where the verifier ends without one."""
    for line in _lines(ours, until):
        message: dict[str, Any] = json.loads(line)
        if "event" not in message:
            return message
        tell({"event": message["event"], "of": message.get("of", ""), "ok": message.get("ok")})
    return None


def _lines(ours: socket.socket, until: float) -> Iterator[bytes]:
    kept = bytearray()
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise InfraError("the verifier took longer than it may")
        ready, _, _ = select.select([ours], [], [], min(left, LOOK_S))
        if _caller_is_gone():
            raise InfraError("whoever asked has gone")
        if not ready:
            continue
        try:
            piece = ours.recv(1 << 20)
        except ConnectionError:
            return
        if not piece:
            return
        kept += piece
        if len(kept) > ANSWER_LIMIT:
            raise InfraError("the verifier's answer is too large")
        while (end := kept.find(b"\n")) >= 0:
            yield bytes(kept[:end])
            del kept[: end + 1]


def _caller_is_gone() -> bool:
    """Whether the other end of our standard input is closed; a plain file or none, as in tests, never is."""
    try:
        number = sys.stdin.fileno()
    except (ValueError, OSError, AttributeError):
        return False
    poll = select.poll()
    poll.register(number, select.POLLRDHUP)
    return bool([event for _, event in poll.poll(0) if event & (select.POLLRDHUP | select.POLLHUP | select.POLLERR)])


def _end(child: subprocess.Popen[bytes]) -> None:
    """It has ended, or ends now: by itself, as its socket is closed, else by a signal."""
    for number in (0, signal.SIGTERM, signal.SIGKILL):
        child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(ENDING_S)
            return


def _raise(last: dict[str, Any]) -> None:
    reason, status = str(last["error"]), last.get("exit_status")
    if "code" in last:
        raise TokenError(reason, Code(last["code"]))
    if status == InputError.exit_status:
        raise InputError(reason)
    raise KeyFileError(reason) if last.get("key_file") else InfraError(reason)

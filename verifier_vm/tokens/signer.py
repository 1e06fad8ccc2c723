# SPDX-License-Identifier: Apache-2.0
"""The signer: a process of its own, the only one that ever holds the private key.

It reads one JSON message, a line, from its standard input, does what it asks or says why not, and ends. A caller says
what is to be verified and what the token shall say, and never what the verdict was: that comes from the verifier, a
process that the signer starts itself, over a descriptor that it opened (verifying.py).
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from policy_lake.errors import InfraError, InputError, SchedcpError
from verifier_vm.tokens.checks import checks_digest
from verifier_vm.tokens.dsse import seal, strict_json
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.hardening import harden
from verifier_vm.tokens.issue import Assigned, issue_token
from verifier_vm.tokens.key_store import open_key_store
from verifier_vm.tokens.records import from_plain, to_plain
from verifier_vm.tokens.request import TokenRequest, read_says, refuse_made_up
from verifier_vm.tokens.revocation import Revoked, check_revocation
from verifier_vm.tokens.statement import token_digest
from verifier_vm.tokens.terms import LONGEST_TEXT
from verifier_vm.tokens.verifying import Tell, verified

MESSAGE_LIMIT = 48 << 20  # an object of 16 MiB in base64, its source and headers


@dataclass(frozen=True, slots=True)
class Place:
    """Where the signer works: its key's directory, whether that has to be a service's, and how long it may take."""

    directory: Path
    service: bool = False
    limit_s: float = 6 * 3600.0


def issue(directory: Path, request: TokenRequest, *, service: bool | None = None) -> dict[str, Any]:
    """A signed token for what was seen; the audit log gets its issue, or the refusal."""
    with open_key_store(directory, service=service) as store:
        now = datetime.now(UTC)
        version, kind = store.next_version(request.audience, now), store.key.public.signed_by
        assigned = Assigned(version, store.next_place, checks_digest(), now, kind)
        try:
            token, payload = issue_token(request, assigned, store.revocations)
        except TokenError as error:
            store.append("refused", reason=_printable(str(error)))
            raise
        envelope, digest = seal(payload, store.key), token_digest(payload)
        store.append(
            "issued", policy=token.policy, audience=token.audience, version=token.version, token_sha256=digest,
            nonce=token.nonce, object_sha256=token.object_sha256,
        )  # fmt: skip
        return {"envelope": envelope, "token_sha256": digest}


def verify(place: Place, data: Any, tell: Tell) -> dict[str, Any]:
    """What the verifier found of a caller's work, and the token if there is one to be had; `refused` says why not."""
    refuse_made_up(data)
    if not isinstance(data, dict) or set(data) != {"work", "says"} or not isinstance(data["work"], dict):
        raise InputError("not a request to verify: it has `work` and `says`")
    refuse_made_up(data["work"])
    says = read_says(data["says"])
    with contextlib.suppress(InfraError), open_key_store(place.directory, service=place.service):
        pass  # one that cannot be used is told before the minutes of verifying; a full disk takes nothing of a verdict
    seen = verified(data["work"], service=place.service, limit_s=place.limit_s, tell=tell)
    answer: dict[str, Any] = {"result": seen.result, "token": None, "refused": seen.unsigned}
    observed = seen.observed
    won = observed is not None and observed.score is not None and observed.score.outcome == "win"
    if observed is None or (says.must_win and not won):
        return answer
    try:
        answer["token"] = issue(place.directory, observed.request(says), service=place.service)
    except SchedcpError as error:
        answer["refused"] = _error(error)
    return answer


def revoke(place: Place, data: Any, tell: Tell) -> dict[str, Any]:
    """The revocation list, longer by one."""
    try:
        revocation = from_plain(Revoked, {**data, "at": datetime.now(UTC).replace(microsecond=0)})
    except (ValueError, TypeError) as error:
        raise InputError(f"not a revocation: {' '.join(str(error).split())[:200]}") from error
    check_revocation(revocation)
    with open_key_store(place.directory) as store:
        return dict(to_plain(store.revoke(revocation)))


def restore(place: Place, data: Any, tell: Tell) -> dict[str, Any]:
    """The revocation list, made anew from the log."""
    with open_key_store(place.directory, restoring=True) as store:
        return dict(to_plain(store.restore()))


def open_store(place: Place, data: Any, tell: Tell) -> dict[str, Any]:
    """Which key signs, made if there is none; what a service asks before it takes work."""
    with open_key_store(place.directory, service=place.service or None) as store:
        return {"key_id": store.key.key_id, "signed_by": store.key.public.signed_by}


def _no_verdicts(place: Place, data: Any, tell: Tell) -> dict[str, Any]:
    reason = "the signer takes no verdict: say what is to be verified, and it is verified here"
    raise TokenError(reason, Code.MADE_UP)


HANDLERS: dict[str, Callable[[Place, Any, Tell], dict[str, Any]]] = {
    "verify": verify, "open": open_store, "revoke": revoke, "restore": restore,
    "issue": _no_verdicts, "sign": _no_verdicts,
}  # fmt: skip


def answer(place: Place, message: bytes, tell: Tell = lambda event: None) -> dict[str, Any]:
    """The reply: the result, or the error in one line with its exit status and code."""
    try:
        try:
            request = strict_json(message, limit=MESSAGE_LIMIT)
            handler, data = HANDLERS[request["do"]], request.get("data", {})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"not a message for the signer: {' '.join(repr(error).split())[:200]}") from error
        return {"ok": True, "answer": handler(place, data, tell)}
    except SchedcpError as error:
        return {"ok": False, **_error(error)}
    except OSError as error:
        return {"ok": False, "error": f"{error.filename or place.directory}: {error.strerror}", "exit_status": 4}


def main(arguments: list[str], source: BinaryIO, sink: BinaryIO) -> int:
    """Answer one message; lines that begin with an event come before the answer."""
    harden()
    directory, *more = arguments
    place = Place(Path(directory), bool(more), *map(float, more[1:]))

    def tell(line: dict[str, Any]) -> None:
        sink.write(json.dumps(line).encode() + b"\n")
        sink.flush()

    tell(answer(place, source.readline(MESSAGE_LIMIT + 1), tell))
    return 0


def _error(error: SchedcpError) -> dict[str, Any]:
    told: dict[str, Any] = {"error": str(error), "exit_status": error.exit_status}
    if isinstance(error, InfraError):
        told["infra"] = True
    return {**told, "code": error.code} if isinstance(error, TokenError) else told


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:LONGEST_TEXT]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer))

# SPDX-License-Identifier: Apache-2.0
"""The signer: a process of its own, the only one that ever holds the private key.

It reads one JSON message from its standard input, does what it asks or says why not, and ends. The caller says what the
verdict was; whether that is complete, and nonce, version, time and place in the log, are the signer's.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from policy_lake.model import InputError, SchedcpError, from_json, to_json
from verifier_vm.tokens.checks import checks_digest
from verifier_vm.tokens.dsse import seal, strict_json
from verifier_vm.tokens.errors import TokenError
from verifier_vm.tokens.files import SIZE_LIMIT
from verifier_vm.tokens.grant import Assigned, grant
from verifier_vm.tokens.ledger import open_ledger
from verifier_vm.tokens.request import read_request
from verifier_vm.tokens.revocation import Revoked, check_revoked
from verifier_vm.tokens.statement import token_digest
from verifier_vm.tokens.terms import LONGEST_TEXT

PR_SET_DUMPABLE = 4


def issue(directory: Path, data: Any) -> dict[str, Any]:
    """A signed token for a request, its issue in the log; a refusal is in the log too."""
    request = read_request(data)
    with open_ledger(directory) as ledger:
        now = datetime.now(UTC)
        given = Assigned(ledger.next_version(request.audience, now), ledger.next_place, checks_digest(), now)
        try:
            token, payload = grant(request, given, ledger.revocations)
        except TokenError as error:
            ledger.append("refused", reason=_printable(str(error)))
            raise
        envelope, digest = seal(payload, ledger.key), token_digest(payload)
        ledger.append(
            "issued", policy=token.policy, audience=token.audience, version=token.version, token_sha256=digest,
            nonce=token.nonce, object_sha256=token.object_sha256,
        )  # fmt: skip
        return {"envelope": envelope, "token_sha256": digest}


def revoke(directory: Path, data: Any) -> dict[str, Any]:
    """The revocation list, longer by one."""
    try:
        one = from_json(Revoked, {**data, "at": datetime.now(UTC).replace(microsecond=0)})
    except (ValueError, TypeError) as error:
        raise InputError(f"not a revocation: {' '.join(str(error).split())[:200]}") from error
    check_revoked(one)
    with open_ledger(directory) as ledger:
        return to_json(ledger.revoke(one))


def restore(directory: Path, data: Any) -> dict[str, Any]:
    """The revocation list, made anew from the log."""
    with open_ledger(directory, restoring=True) as ledger:
        return to_json(ledger.restore())


DOES = {"issue": issue, "revoke": revoke, "restore": restore}


def answer(directory: Path, message: bytes) -> dict[str, Any]:
    """What the caller is told: the answer, or the error in one line with its exit status."""
    try:
        try:
            asked = strict_json(message)
            does, data = DOES[asked["do"]], asked.get("data", {})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"not a message for the signer: {' '.join(repr(error).split())[:200]}") from error
        return {"ok": True, "answer": does(directory, data)}
    except TokenError as error:
        return {"ok": False, "error": str(error), "exit_status": error.exit_status, "code": error.code}
    except SchedcpError as error:
        return {"ok": False, "error": str(error), "exit_status": error.exit_status}
    except OSError as error:
        return {"ok": False, "error": f"{error.filename or directory}: {error.strerror}", "exit_status": 4}


def main(arguments: list[str], source: BinaryIO, sink: BinaryIO) -> int:
    """Answer one message."""
    _withdraw()
    (directory,) = arguments
    told = answer(Path(directory), source.read(SIZE_LIMIT + 1))
    sink.write(json.dumps(told).encode())
    sink.flush()
    return 0


def _withdraw() -> None:
    """No core file, and no other process of this user may read our memory or trace us (root may)."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:LONGEST_TEXT]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer))

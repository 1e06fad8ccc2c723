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

from policy_lake.errors import InputError, SchedcpError
from verifier_vm.tokens.checks import checks_digest
from verifier_vm.tokens.dsse import seal, strict_json
from verifier_vm.tokens.errors import TokenError
from verifier_vm.tokens.files import SIZE_LIMIT
from verifier_vm.tokens.issue import Assigned, issue_token
from verifier_vm.tokens.key_store import open_key_store
from verifier_vm.tokens.records import from_plain, to_plain
from verifier_vm.tokens.request import read_request
from verifier_vm.tokens.revocation import Revoked, check_revocation
from verifier_vm.tokens.statement import token_digest
from verifier_vm.tokens.terms import LONGEST_TEXT

PR_SET_DUMPABLE = 4


def issue(directory: Path, data: Any) -> dict[str, Any]:
    """A signed token for a request; the audit log gets its issue, or the refusal."""
    request = read_request(data)
    with open_key_store(directory) as store:
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


def revoke(directory: Path, data: Any) -> dict[str, Any]:
    """The revocation list, longer by one."""
    try:
        revocation = from_plain(Revoked, {**data, "at": datetime.now(UTC).replace(microsecond=0)})
    except (ValueError, TypeError) as error:
        raise InputError(f"not a revocation: {' '.join(str(error).split())[:200]}") from error
    check_revocation(revocation)
    with open_key_store(directory) as store:
        return dict(to_plain(store.revoke(revocation)))


def restore(directory: Path, data: Any) -> dict[str, Any]:
    """The revocation list, made anew from the log."""
    with open_key_store(directory, restoring=True) as store:
        return dict(to_plain(store.restore()))


HANDLERS = {"issue": issue, "revoke": revoke, "restore": restore}


def answer(directory: Path, message: bytes) -> dict[str, Any]:
    """The reply: the result, or the error in one line with its exit status and code."""
    try:
        try:
            request = strict_json(message)
            handler, data = HANDLERS[request["do"]], request.get("data", {})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"not a message for the signer: {' '.join(repr(error).split())[:200]}") from error
        return {"ok": True, "answer": handler(directory, data)}
    except TokenError as error:
        return {"ok": False, "error": str(error), "exit_status": error.exit_status, "code": error.code}
    except SchedcpError as error:
        return {"ok": False, "error": str(error), "exit_status": error.exit_status}
    except OSError as error:
        return {"ok": False, "error": f"{error.filename or directory}: {error.strerror}", "exit_status": 4}


def main(arguments: list[str], source: BinaryIO, sink: BinaryIO) -> int:
    """Answer one message."""
    _harden()
    (directory,) = arguments
    reply = answer(Path(directory), source.read(SIZE_LIMIT + 1))
    sink.write(json.dumps(reply).encode())
    sink.flush()
    return 0


def _harden() -> None:
    """No core file, and no other process of this user may read our memory or trace us (root may)."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:LONGEST_TEXT]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer))

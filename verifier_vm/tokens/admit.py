# SPDX-License-Identifier: Apache-2.0
"""Admission: a token checked and used up, in one step that lasts: for a host agent, just before it attaches.

There is no such agent yet, and so nothing calls this but the tests. A token is good for one attachment on one host:
its nonce is used up though the attachment then fail, and it stays used over a reboot. An agent that starts again and
finds its policy still attached needs no token; to attach again, it needs a new one. That is the price of a rule
without exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from verifier_vm.tokens.admitted import Admitted, read_admitted, write_admitted
from verifier_vm.tokens.check import Attachment, check_token
from verifier_vm.tokens.files import private_directory
from verifier_vm.tokens.log import Log
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.terms import CLOCK_SKEW, Token


def admit_token(
    directory: Path,
    envelope: bytes | Mapping[str, Any],
    what: Attachment,
    *,
    now: datetime,
    public_key: Ed25519PublicKey,
    revocations: RevocationList,
    log: Log | None = None,
) -> Token:
    """`check_token` against this host's memory in `directory` (see create_admitted), which then holds the token too.

    Of two calls with one token, one is refused. TokenError or InfraError: nothing may be attached.
    """
    with private_directory(directory):
        before = read_admitted(directory)
        token = check_token(
            envelope, what, now=now, public_key=public_key, revocations=revocations, log=log, admitted=before
        )
        write_admitted(directory, _after(before, token, revocations, log, now))
    return token


def _after(before: Admitted, token: Token, revocations: RevocationList, log: Log | None, now: datetime) -> Admitted:
    # A token that has expired is refused for that, and, should the clock be set back, for its version.
    nonces = {nonce: ends for nonce, ends in before.nonces.items() if ends + CLOCK_SKEW > now}
    marks = {**before.marks, token.audience: {**before.marks.get(token.audience, {}), token.policy: token.version}}
    after = replace(before, nonces={**nonces, token.nonce: token.expires}, marks=marks, revocations=revocations.version)
    return replace(after, log_seq=len(log.entries), log_sha256=log.digests[-1]) if log else after

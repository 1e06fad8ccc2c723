# SPDX-License-Identifier: Apache-2.0
"""Consuming a token: checked and its nonce used up, in one durable step, before a host attaches anything.

A token is good for one attachment on one host: its nonce is used up even if the attachment then fails, and stays used
over a reboot. An agent that starts again and finds its policy still attached needs no token; to attach again, it needs
a new one. The host agent calls it (host_agent/trust.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from verifier_vm.tokens.audit_log import Head, Log
from verifier_vm.tokens.check import Attachment, check_token
from verifier_vm.tokens.files import private_directory
from verifier_vm.tokens.host_state import HostState, read_host_state, write_host_state
from verifier_vm.tokens.public_key import TrustedKey
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.terms import CLOCK_SKEW, Token


def consume_token(
    directory: Path,
    envelope: bytes | Mapping[str, Any],
    what: Attachment,
    *,
    now: datetime,
    public_key: TrustedKey,
    revocations: RevocationList,
    log: Log | None = None,
    head: Head | None = None,
    allowed_lab: Collection[str] = (),
) -> Token:
    """`check_token` against this host's state in `directory` (see create_host_state), which then holds the nonce.

    Of two calls with one token, one is refused. TokenError or InfraError: nothing may be attached.
    """
    with private_directory(directory):
        before = read_host_state(directory)
        token = check_token(
            envelope, what, now=now, public_key=public_key, revocations=revocations, log=log, head=head, host=before,
            allowed_lab=allowed_lab,
        )  # fmt: skip
        write_host_state(directory, _after(before, token, revocations, log.head if log else head, now))
    return token


def _after(before: HostState, token: Token, revocations: RevocationList, head: Head | None, now: datetime) -> HostState:
    # A token that has expired is refused for that, and, should the clock be set back, for its version.
    nonces = {nonce: expires for nonce, expires in before.nonces.items() if expires + CLOCK_SKEW > now}
    marks = {**before.marks, token.audience: {**before.marks.get(token.audience, {}), token.policy: token.version}}
    after = replace(before, nonces={**nonces, token.nonce: token.expires}, marks=marks, revocations=revocations.version)
    return replace(after, log_seq=head.seq, log_sha256=head.sha256) if head else after

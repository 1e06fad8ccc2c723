# SPDX-License-Identifier: Apache-2.0
"""Whether a token gives leave to attach something here and now. It changes nothing; what it does not know means no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policy_lake.model import InputError
from verifier_vm.tokens.admitted import Admitted
from verifier_vm.tokens.dsse import unseal
from verifier_vm.tokens.files import TokenError
from verifier_vm.tokens.log import Log
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.statement import parse_payload, token_digest, wrong
from verifier_vm.tokens.terms import CLOCK_SKEW, VERIFIER_VERSION, RolloutStage, Token


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is about to be attached, with which words for the loader, to which kernel of which host, at which stage."""

    object_sha256: str
    arguments: tuple[str, ...]
    kernel: str
    btf_sha256: str
    audience: str
    stage: RolloutStage = "canary"


def check_token(
    envelope: bytes | Mapping[str, Any],
    what: Attachment,
    *,
    now: datetime,
    public_key: Ed25519PublicKey,
    revocations: RevocationList,
    log: Log | None = None,
    admitted: Admitted | None = None,
) -> Token:
    """What the token says, if it gives this leave; TokenError with the reason if not.

    `log` is looked at where it can be had: by a host other than the signer's, perhaps not. `admitted` is what this host
    let in before; without it, use of a nonce, older versions and older lists cannot be told.
    """
    if now.tzinfo is None:
        raise InputError("the time of a check needs a time zone")
    payload = unseal(envelope, public_key)
    token = parse_payload(payload)
    if reason := wrong(token):
        raise TokenError(f"the token is not well formed: {reason}")
    reason = (
        _other_use(token, what)
        or _other_time(token, now)
        or _revoked(token, revocations)
        or _not_logged(token, token_digest(payload), log)
        or (_seen(token, revocations, log, admitted) if admitted else "")
    )
    if reason:
        raise TokenError(reason)
    return token


def _other_use(token: Token, what: Attachment) -> str:
    for name, here in (
        ("object_sha256", what.object_sha256),
        ("arguments", tuple(what.arguments)),
        ("kernel", what.kernel),
        ("btf_sha256", what.btf_sha256),
        ("audience", what.audience),
        ("verifier_version", VERIFIER_VERSION),
    ):
        if getattr(token, name) != here:
            return f"the token is for {name} {getattr(token, name)!r}, not {here!r}"
    order = get_args(RolloutStage)
    if what.stage not in order or order.index(what.stage) > order.index(token.rollout_limit):
        return f"the token ends at the rollout stage {token.rollout_limit!r}, before {what.stage!r}"
    return ""


def _other_time(token: Token, now: datetime) -> str:
    if token.issued > now + CLOCK_SKEW:
        return f"the token is not valid before {token.issued:%Y-%m-%d %H:%M:%S} UTC"
    if token.expires <= now:
        return f"the token expired at {token.expires:%Y-%m-%d %H:%M:%S} UTC"
    return ""


def _revoked(token: Token, revocations: RevocationList) -> str:
    found = revocations.finds(nonce=token.nonce, object_sha256=token.object_sha256)
    if found is None:
        return ""
    return f"the {'token' if found.kind == 'nonce' else 'object'} was revoked: {found.reason}"


def _not_logged(token: Token, token_sha256: str, log: Log | None) -> str:
    if log is None or log.tells_of(token.log, token_sha256):
        return ""
    return f"the log does not tell of this token as its entry {token.log.seq}: one of them is not what was signed"


def _seen(token: Token, revocations: RevocationList, log: Log | None, admitted: Admitted) -> str:
    if token.nonce in admitted.nonces:
        return "the token was used on this host before: a nonce is good for one attachment"
    if token.version <= (mark := admitted.mark(token.audience, token.policy)):
        return f"the token's version {token.version} is not above {mark}, which this host has seen for {token.policy!r}"
    if revocations.version < admitted.revocations:
        return f"the revocation list's version {revocations.version} is older than {admitted.revocations}, seen before"
    if log is not None and not log.holds(admitted.log_seq, admitted.log_sha256):
        return f"the log is not the one seen before: its entry {admitted.log_seq} is gone or another"
    return ""

# SPDX-License-Identifier: Apache-2.0
"""Whether a token authorises attaching something here and now. It changes nothing; what it does not know means no."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from policy_lake.errors import InputError
from policy_lake.topology import HostCpus, outside
from verifier_vm.tokens.audit_log import Head, Log
from verifier_vm.tokens.dsse import unseal
from verifier_vm.tokens.errors import Code, Refusal, TokenError
from verifier_vm.tokens.host_state import HostState
from verifier_vm.tokens.public_key import TrustedKey
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.statement import parse_payload, refusal_of, token_digest
from verifier_vm.tokens.terms import CLOCK_SKEW, VERIFIER_VERSION, RolloutStage, Token


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is about to be attached, with which words for the loader, to which kernel of which host, at which stage.

    `hotplug`: the host takes no policy that ends when a CPU goes or comes.
    """

    object_sha256: str
    arguments: tuple[str, ...]
    kernel: str
    btf_sha256: str
    audience: str
    cpus: HostCpus
    stage: RolloutStage = "canary"
    hotplug: bool = False


def check_token(
    envelope: bytes | Mapping[str, Any],
    what: Attachment,
    *,
    now: datetime,
    public_key: TrustedKey,
    revocations: RevocationList,
    log: Log | None = None,
    head: Head | None = None,
    host: HostState | None = None,
    allowed_lab: Collection[str] = (),
) -> Token:
    """What the token says, if it authorises this; TokenError with code and reason if not.

    `log`, the audit log, or at least its `head`, is checked where it is at hand; a host that has seen one needs it ever
    after. `host` is what this host has consumed and seen before; without it, a used nonce, an older version or list
    goes unnoticed. `allowed_lab` are the ids of the lab keys that this host's administrator allows (see trust.py).
    """
    if now.tzinfo is None:
        raise InputError("the time of a check needs a time zone")
    payload = unseal(envelope, public_key)
    token = parse_payload(payload)
    if refusal := refusal_of(token):
        raise TokenError(f"the token is not well formed: {refusal.reason}", Code.MALFORMED)
    refusal = (
        _lab(token, public_key, allowed_lab)
        or _other_use(token, what)
        or _other_time(token, now)
        or withdrawn(token, token_digest(payload), revocations, log)
        or (_seen(token, revocations, host) or _other_log(log, head, host) if host else None)
    )
    if refusal:
        raise TokenError(refusal.reason, refusal.code)
    return token


def withdrawn(token: Token, token_sha256: str, revocations: RevocationList, log: Log | None) -> Refusal | None:
    """Why whoever signed the token does not stand by it: it was revoked, or, where there is a log, is not in it."""
    return _revoked(token, revocations) or _not_logged(token, token_sha256, log)


def require_unexpired(token: Token, where: object, now: datetime) -> None:
    """TokenError that names the token, says when it expired and what to do, for whoever would bring it to a host."""
    if token.expires <= now:
        new = f"verify {token.policy!r} again for a new one (schedcp verify)"
        raise TokenError(f"{where}: {_expired(token)}: {new}", Code.EXPIRED)


def _expired(token: Token) -> str:
    return f"the token expired at {token.expires:%Y-%m-%d %H:%M:%S} UTC"


def _other_use(token: Token, what: Attachment) -> Refusal | None:
    for code, name, here in (
        (Code.OTHER_OBJECT, "object_sha256", what.object_sha256),
        (Code.OTHER_ARGUMENTS, "arguments", tuple(what.arguments)),
        (Code.OTHER_KERNEL, "kernel", what.kernel),
        (Code.OTHER_BTF, "btf_sha256", what.btf_sha256),
        (Code.OTHER_AUDIENCE, "audience", what.audience),
        (Code.OTHER_VERIFIER, "verifier_version", VERIFIER_VERSION),
    ):
        if getattr(token, name) != here:
            return Refusal(code, f"the token is for {name} {getattr(token, name)!r}, not {here!r}")
    if reason := outside(what.cpus, token.topologies):
        return Refusal(Code.OTHER_TOPOLOGY, f"{reason}: verify it with --topology, and take that token")
    order = get_args(RolloutStage)
    if what.stage not in order or order.index(what.stage) > order.index(token.rollout_limit):
        reason = f"the token ends at the rollout stage {token.rollout_limit!r}, before {what.stage!r}"
        return Refusal(Code.LATER_STAGE, reason)
    if what.hotplug and token.hotplug != "goes on":
        reason = "the token says that the policy ends when a CPU goes or comes, and this host takes none that does"
        return Refusal(Code.ENDS_BY_HOTPLUG, reason)
    return None


def _other_time(token: Token, now: datetime) -> Refusal | None:
    if token.issued > now + CLOCK_SKEW:
        return Refusal(Code.NOT_YET_VALID, f"the token is not valid before {token.issued:%Y-%m-%d %H:%M:%S} UTC")
    if token.expires <= now:
        return Refusal(Code.EXPIRED, _expired(token))
    return None


def _revoked(token: Token, revocations: RevocationList) -> Refusal | None:
    revocation = revocations.find(nonce=token.nonce, object_sha256=token.object_sha256)
    if revocation is None:
        return None
    revoked = "token" if revocation.kind == "nonce" else "object"
    return Refusal(Code.REVOKED, f"the {revoked} was revoked: {revocation.reason}")


def _not_logged(token: Token, token_sha256: str, log: Log | None) -> Refusal | None:
    if log is None or log.has_token(token.log, token_sha256):
        return None
    reason = (
        f"the audit log has another entry {token.log.seq} than this token names: one of them is not what was signed"
    )
    return Refusal(Code.NOT_LOGGED, reason)


def _lab(token: Token, key: TrustedKey, allowed: Collection[str]) -> Refusal | None:
    if token.signed_by != key.signed_by:
        reason = f"a {key.signed_by} key is trusted here, and the token says that a {token.signed_by} key signed it"
        return Refusal(Code.LAB_KEY, reason)
    if key.service or key.id in allowed:
        return None
    reason = f"a lab key signed the token, one of a user who also plans: no line of this host's allow-lab is {key.id}"
    return Refusal(Code.LAB_KEY, reason)


def _seen(token: Token, revocations: RevocationList, host: HostState) -> Refusal | None:
    if token.nonce in host.nonces:
        return Refusal(Code.USED, "the token was used on this host before: a nonce is good for one attachment")
    if token.version <= (mark := host.mark(token.audience, token.policy)):
        reason = (
            f"the token's version {token.version} is not above {mark}, which this host has seen for {token.policy!r}"
        )
        return Refusal(Code.OLD_VERSION, reason)
    if revocations.version < host.revocations:
        reason = f"the revocation list's version {revocations.version} is older than {host.revocations}, seen before"
        return Refusal(Code.OLD_REVOCATIONS, reason)
    return None


def _other_log(log: Log | None, head: Head | None, host: HostState) -> Refusal | None:
    """A log that was seen is there for ever, and only grows; of a head alone, that it is no older one."""
    if host.log_seq == 0:
        return None
    if log is None and head is None:
        return Refusal(Code.LOG_GONE, f"this host has seen an audit log of {host.log_seq} entries, and now has none")
    older = head is not None and (head.seq, head.sha256) != (host.log_seq, host.log_sha256) and head.seq <= host.log_seq
    if (log is not None and not log.holds(host.log_seq, host.log_sha256)) or older:
        reason = f"the audit log is not the one seen before: its entry {host.log_seq} is gone or another"
        return Refusal(Code.OTHER_LOG, reason)
    return None

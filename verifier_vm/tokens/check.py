# SPDX-License-Identifier: Apache-2.0
"""Tokens: signed leave for one object to run on one host's kernel, until a certain time. Unknown means no.

A token is a DSSE envelope round an in-toto statement v1, whose predicate is a SLSA verification summary v1 with one
more member, `schedcp`, for what only we check.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policy_lake.model import InputError, Ratio, Stage, from_json, to_json
from verifier_vm.tokens.dsse import TokenError, canonical_json, seal, strict_json, unseal
from verifier_vm.tokens.private_key import SigningKey

OURS = (
    *("source_sha256", "arguments", "kernel", "btf_sha256", "audience", "expires", "nonce", "version"),
    *("stages", "rollout_limit", "workload", "ratio"),
)
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
VERIFIER_ID = "urn:schedcp:verifier"
VERIFIER_VERSION = "1"  # of the checks a token stands for: raised when they change, and old tokens end with it
VALID_FOR = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=2)

RolloutStage = Literal["canary", "host", "fleet"]  # how far a rollout may go, in order


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. Digests are SHA-256 in hex, times in UTC, `arguments` the loader's `KNOB=VALUE` words."""

    policy: str
    object_sha256: str
    source_sha256: str
    arguments: tuple[str, ...]
    kernel: str
    btf_sha256: str
    audience: str
    issued: datetime
    expires: datetime
    nonce: str
    version: int
    stages: tuple[Stage, ...]
    rollout_limit: RolloutStage
    workload: str = ""
    ratio: Ratio | None = None
    verifier_version: str = VERIFIER_VERSION


def sign_token(
    key: SigningKey,
    policy: str,
    *,
    object_sha256: str,
    source_sha256: str,
    arguments: Sequence[str],
    kernel: str,
    btf_sha256: str,
    audience: str,
    stages: Sequence[Stage],
    workload: str = "",
    ratio: Ratio | None = None,
    rollout_limit: RolloutStage = "canary",
    now: datetime | None = None,
    valid_for: timedelta = VALID_FOR,
    version: int | None = None,
) -> dict[str, Any]:
    """A signed envelope for an accepted candidate; InputError if a stage failed or a field is not well formed.

    `version` must grow from token to token; by default it is the time of issue in milliseconds.
    """
    at = now or datetime.now(UTC)
    issued = at.astimezone(UTC).replace(microsecond=0)
    token = Token(
        policy=policy,
        object_sha256=object_sha256,
        source_sha256=source_sha256,
        arguments=tuple(arguments),
        kernel=kernel,
        btf_sha256=btf_sha256,
        audience=audience,
        issued=issued,
        expires=issued + valid_for,
        nonce=secrets.token_hex(16),
        version=int(at.timestamp() * 1000) if version is None else version,
        stages=tuple(stages),
        rollout_limit=rollout_limit,
        workload=workload,
        ratio=ratio,
    )
    try:
        token = from_json(Token, to_json(token))  # whole numbers where floats belong would not survive the wire
        payload = canonical_json(_statement(token))
    except ValueError as error:
        raise InputError(f"no token for {policy!r}: {' '.join(str(error).split())}") from error
    if wrong := _wrong(token):
        raise InputError(f"no token for {policy!r}: {wrong}")
    return seal(payload, key)


def check_token(
    envelope: bytes | Mapping[str, Any],
    *,
    object_sha256: str,
    arguments: Sequence[str],
    kernel: str,
    btf_sha256: str,
    audience: str,
    now: datetime,
    public_key: Ed25519PublicKey,
    stage: RolloutStage = "canary",
    minimum_version: int = 1,
) -> Token:
    """What the token says, if it gives leave to load this object with these arguments here and now.

    TokenError with the reason if not: whatever is missing, unknown or not written exactly as `sign_token` does.
    """
    if now.tzinfo is None:
        raise InputError("the time of a check needs a time zone")
    token = _parse(unseal(envelope, public_key))
    if wrong := _wrong(token):
        raise TokenError(f"the token is not well formed: {wrong}")
    for name, here in (
        ("object_sha256", object_sha256),
        ("arguments", tuple(arguments)),
        ("kernel", kernel),
        ("btf_sha256", btf_sha256),
        ("audience", audience),
        ("verifier_version", VERIFIER_VERSION),
    ):
        if getattr(token, name) != here:
            raise TokenError(f"the token is for {name} {getattr(token, name)!r}, not {here!r}")
    if token.issued > now + CLOCK_SKEW:
        raise TokenError(f"the token is not valid before {token.issued:%Y-%m-%d %H:%M:%S} UTC")
    if token.expires <= now:
        raise TokenError(f"the token expired at {token.expires:%Y-%m-%d %H:%M:%S} UTC")
    if token.version < minimum_version:
        raise TokenError(f"the token's version {token.version} is older than {minimum_version}")
    order = get_args(RolloutStage)
    if stage not in order or order.index(stage) > order.index(token.rollout_limit):
        raise TokenError(f"the token ends at the rollout stage {token.rollout_limit!r}, before {stage!r}")
    return token


def _statement(token: Token) -> dict[str, Any]:
    said = to_json(token)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": token.policy, "digest": {"sha256": token.object_sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": VERIFIER_ID, "version": {"schedcp": token.verifier_version}},
            "timeVerified": said["issued"],
            "resourceUri": f"urn:schedcp:policy:{token.object_sha256}",
            "policy": {"uri": f"urn:schedcp:checks:{token.verifier_version}"},
            "verificationResult": "PASSED",
            "verifiedLevels": ["SCHEDCP_VERIFIED", *(["SCHEDCP_SCORED"] if token.ratio else [])],
            "schedcp": {name: said[name] for name in OURS},
        },
    }


def _parse(payload: bytes) -> Token:
    try:
        statement = strict_json(payload)
        (subject,) = statement["subject"]
        predicate = statement["predicate"]
        token = from_json(
            Token,
            {
                **predicate["schedcp"],
                "policy": subject["name"],
                "object_sha256": subject["digest"]["sha256"],
                "issued": predicate["timeVerified"],
                "verifier_version": predicate["verifier"]["version"]["schedcp"],
            },
        )
        # Anything missing, unknown or of another type would come out otherwise than it went in.
        if canonical_json(_statement(token)) != payload:
            raise ValueError("a member is unknown or not written as sign_token writes it")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TokenError(f"the token is not well formed: {' '.join(str(error).split())[:200]}") from error
    return token


def _wrong(token: Token) -> str:
    """What keeps the token from giving leave to anything, or an empty string."""
    for name in ("object_sha256", "source_sha256", "btf_sha256"):
        if not re.fullmatch(r"[0-9a-f]{64}", getattr(token, name)):
            return f"{name} is no SHA-256 in hex"
    for name in ("policy", "kernel", "audience", "verifier_version"):
        if not getattr(token, name):
            return f"{name} is empty"
    if not token.stages or not all(stage.ok for stage in token.stages):
        return "not every stage of the verdict is passed"
    if not re.fullmatch(r"[0-9a-f]{32}", token.nonce) or token.version < 1:
        return "nonce or version is missing"
    if token.expires <= token.issued:
        return "it expires before it is issued"
    return ""

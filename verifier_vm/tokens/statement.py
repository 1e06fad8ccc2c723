# SPDX-License-Identifier: Apache-2.0
"""A token as an in-toto statement v1, and back.

Its predicate is a SLSA verification summary v1 with one more member, `schedcp`, for what only we check.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from verifier_vm.tokens.dsse import canonical_json, fault, strict_json
from verifier_vm.tokens.errors import Code, Refusal, TokenError, in_one_line
from verifier_vm.tokens.records import from_plain, to_plain
from verifier_vm.tokens.terms import (
    LARGEST_P99_RATIO,
    LONGEST_STALL_MS,
    LONGEST_TEXT,
    LONGEST_VALID_FOR,
    REQUIRED_STAGES,
    Token,
    Tried,
)

OURS = (
    *("source_sha256", "arguments", "kernel", "btf_sha256", "audience", "expires", "nonce", "version", "log"),
    *("stages", "score_sha256", "rollout_limit", "breaker", "last_known_good", "limits", "provenance"),
    *("workload", "ratio", "tier", "coverage", "hotplug", "tried", "not_tried", "topologies"),
    *("signed_by", "evidence_sha256"),
)
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
VERIFIER_ID = "urn:schedcp:verifier"


def payload_of(token: Token) -> bytes:
    """The statement of a token, as it is signed; ValueError for what JSON cannot carry."""
    return canonical_json(_statement(from_plain(Token, to_plain(token))))  # 1 and 1.0 are written alike


def parse_payload(payload: bytes) -> Token:
    """The token that a statement tells of; TokenError unless it is written exactly as `payload_of` writes it."""
    try:
        statement = strict_json(payload)
        (subject,) = statement["subject"]
        predicate = statement["predicate"]
        token = from_plain(
            Token,
            {
                **predicate["schedcp"],
                "policy": subject["name"],
                "object_sha256": subject["digest"]["sha256"],
                "issued": predicate["timeVerified"],
                "checks_sha256": predicate["policy"]["digest"]["sha256"],
                "verifier_version": predicate["verifier"]["version"]["schedcp"],
            },
        )
        # Anything missing, unknown or of another type would come out otherwise than it went in.
        if canonical_json(_statement(token)) != payload:
            raise ValueError("a member is unknown or not written as the signer writes it")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TokenError(f"the token is not well formed: {in_one_line(fault(error))}", Code.MALFORMED) from error
    return token


def arguments_digest(arguments: Sequence[str]) -> str:
    """SHA-256 of the loader's words, in their order."""
    return hashlib.sha256(canonical_json(list(arguments))).hexdigest()


def token_digest(payload: bytes) -> str:
    """The name by which the log knows a token: SHA-256 of its statement."""
    return hashlib.sha256(payload).hexdigest()


def refusal_of(token: Token) -> Refusal | None:
    """What keeps the token from authorising anything; None if nothing does."""
    for code, reason in (
        (Code.TERMS, _wrong_words(token)),
        (Code.INCOMPLETE, _wrong_stages(token)),
        (Code.TERMS, _wrong_terms(token)),
    ):
        if reason:
            return Refusal(code, reason)
    return None


def is_sha256(text: str) -> bool:
    """Whether it is 64 lower-case digits in hex."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _statement(token: Token) -> dict[str, Any]:
    fields = to_plain(token)
    reports = [(stage.name, stage.sha256) for stage in token.stages]
    reports += [("score", token.score_sha256)] if token.score_sha256 else []
    reports += [("coverage", token.coverage.sha256)] if token.coverage else []
    reports += [("evidence", token.evidence_sha256)] if token.evidence_sha256 else []
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": token.policy, "digest": {"sha256": token.object_sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": VERIFIER_ID, "version": {"schedcp": token.verifier_version}},
            "timeVerified": fields["issued"],
            "resourceUri": f"urn:schedcp:policy:{token.object_sha256}",
            "policy": {
                "uri": f"urn:schedcp:checks:{token.verifier_version}",
                "digest": {"sha256": token.checks_sha256},
            },
            "inputAttestations": [
                {"uri": f"urn:schedcp:report:{name}", "digest": {"sha256": digest}} for name, digest in reports
            ],
            "verificationResult": "PASSED",
            "verifiedLevels": list(token.levels),
            "schedcp": {**{name: fields[name] for name in OURS}, "arguments_sha256": arguments_digest(token.arguments)},
        },
    }


def _wrong_words(token: Token) -> str:
    for name in ("object_sha256", "source_sha256", "btf_sha256", "checks_sha256"):
        if not is_sha256(getattr(token, name)):
            return f"{name} is no SHA-256 in hex"
    optional = {name: getattr(token, name) for name in ("last_known_good", "score_sha256", "evidence_sha256")}
    for name, digest in {**optional, "prompt_sha256": token.provenance.prompt_sha256}.items():
        if digest and not is_sha256(digest):
            return f"{name} is no SHA-256 in hex"
    for name in ("policy", "kernel", "audience", "verifier_version"):
        if not getattr(token, name):
            return f"{name} is empty"
    words = [token.policy, token.kernel, token.audience, token.workload, *token.limits]
    words += [*token.tried, *token.not_tried]
    for text in (*words, token.provenance.planner, token.provenance.model, *(stage.name for stage in token.stages)):
        if len(text) > LONGEST_TEXT or not text.isprintable():  # they are printed on terminals
            return f"{text[:40]!r} is longer than {LONGEST_TEXT} characters or cannot be printed"
    return ""


def _wrong_stages(token: Token) -> str:
    names = [stage.name for stage in token.stages]
    if missing := [name for name in REQUIRED_STAGES if name not in names]:
        return f"the verdict lacks the stage {', '.join(missing)}"
    if len(set(names)) != len(names):
        return "the verdict has a stage twice"
    if failed := [stage.name for stage in token.stages if stage.ok is not True]:
        return f"the stage {failed[0]!r} is not passed"
    if not all(is_sha256(stage.sha256) for stage in token.stages):
        return "the digest of a stage's report is no SHA-256 in hex"
    return ""


def _wrong_terms(token: Token) -> str:
    nonce = re.fullmatch(r"[0-9a-f]{32}", token.nonce)
    cost, breaker = token.provenance.cost_usd, token.breaker
    better = token.ratio is not None and token.ratio.ci95[0] > 1
    tried = token.coverage
    needs = {
        "nonce or version is missing": nonce is not None and token.version >= 1,
        "its place in the log is missing": token.log.seq >= 1 and is_sha256(token.log.previous),
        "it expires before it is issued": token.expires > token.issued,
        f"it is valid for more than {LONGEST_VALID_FOR.days} days": token.expires - token.issued <= LONGEST_VALID_FOR,
        f"the breaker's stall_ms is not in 1..{LONGEST_STALL_MS}": 1 <= breaker.stall_ms <= LONGEST_STALL_MS,
        f"the breaker's p99_ratio is not in 1..{LARGEST_P99_RATIO:g}": 1 <= breaker.p99_ratio <= LARGEST_P99_RATIO,
        "cost_usd is no cost": cost is None or 0 <= cost < float("inf"),
        "it names no topology that was tried": bool(token.topologies),
        "its coverage is no coverage": tried is None or _is_coverage(tried),
        "a rollout beyond the canary needs the coverage that is asked for": token.rollout_limit == "canary"
        or (tried is not None and tried.branches.percent >= tried.min_percent),
        "a rollout beyond the canary needs the full tier": token.rollout_limit == "canary" or token.tier == "full",
        "a rollout beyond the canary needs a score that is surely above 1": token.rollout_limit == "canary" or better,
    }
    return next((reason for reason, met in needs.items() if not met), "")


def _is_coverage(tried: Tried) -> bool:
    shares = all(0 <= share.ran <= share.of for share in (tried.lines, tried.branches))
    return shares and 0 <= tried.min_percent <= 100 and is_sha256(tried.sha256)

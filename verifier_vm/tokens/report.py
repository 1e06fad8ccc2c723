# SPDX-License-Identifier: Apache-2.0
"""The report beside a token: each stage's findings in full, of which the token holds the digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from policy_lake.coverage import Coverage
from policy_lake.model import Stage, to_json
from policy_lake.scores import Score
from verifier_vm.tokens.dsse import canonical_json, strict_json
from verifier_vm.tokens.errors import Code, TokenError, in_one_line
from verifier_vm.tokens.terms import StageDigest, Token


def digest_of(record: Stage | Score | Coverage) -> str:
    """SHA-256 of a report's canonical JSON."""
    return hashlib.sha256(canonical_json(to_json(record))).hexdigest()


def stage_digests(stages: Sequence[Stage]) -> tuple[StageDigest, ...]:
    """What a token says of the stages of a verdict."""
    return tuple(StageDigest(stage.name, stage.ok, digest_of(stage)) for stage in stages)


def report_of(
    token_sha256: str, stages: Sequence[Stage], score: Score | None, coverage: Coverage | None = None
) -> bytes:
    """The file that goes beside the token of that digest."""
    reports = {
        "stages": [to_json(stage) for stage in stages],
        "score": to_json(score) if score else None,
        "coverage": to_json(coverage) if coverage is not None and not coverage.unknown else None,
    }
    return canonical_json({"token_sha256": token_sha256, **reports}) + b"\n"


def check_report(content: bytes, token: Token, token_sha256: str) -> dict[str, Any]:
    """The report, if it is the one that the token was signed on; TokenError if it is another or was changed."""
    try:
        report: dict[str, Any] = strict_json(content)
        if report["token_sha256"] != token_sha256:
            raise TokenError("the report is another token's", Code.REPORT_OTHER)
        digests = tuple(
            StageDigest(stage["name"], stage["ok"], hashlib.sha256(canonical_json(stage)).hexdigest())
            for stage in report["stages"]
        )
        score, coverage = (_digest(report[name]) for name in ("score", "coverage"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TokenError(f"the report is not well formed: {in_one_line(repr(error))}", Code.REPORT_CHANGED) from error
    if len(digests) != len(token.stages):
        raise TokenError("the report has other stages than the token", Code.REPORT_CHANGED)
    for here, signed in zip(digests, token.stages, strict=True):
        if here != signed:
            reason = f"the report of the stage {signed.name!r} is not the one that was signed"
            raise TokenError(reason, Code.REPORT_CHANGED)
    if score != token.score_sha256:
        raise TokenError("the report's score is not the one that was signed", Code.REPORT_CHANGED)
    if coverage != (token.coverage.sha256 if token.coverage else ""):
        raise TokenError("the report's coverage is not the one that was signed", Code.REPORT_CHANGED)
    return report


def _digest(report: Any) -> str:
    return hashlib.sha256(canonical_json(report)).hexdigest() if report is not None else ""

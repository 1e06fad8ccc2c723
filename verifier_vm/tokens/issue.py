# SPDX-License-Identifier: Apache-2.0
"""Issuing: whether a request is a complete, accepted verdict, and the token for it. Unknown means no."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from policy_lake.coverage import counted, shortfall
from policy_lake.model import Stage
from policy_lake.scores import Ratio, Score
from verifier_vm.answers import answered, not_tried
from verifier_vm.situations import in_order
from verifier_vm.tokens.errors import Code, Refusal, TokenError, in_one_line
from verifier_vm.tokens.public_key import SignedBy
from verifier_vm.tokens.report import digest_of, stage_digests
from verifier_vm.tokens.request import TokenRequest
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.statement import payload_of, refusal_of
from verifier_vm.tokens.terms import LIMITS_OF_BUGS, LONGEST_TEXT, LONGEST_VALID_FOR, LogPlace, Token, Tried
from verifier_vm.verdict import goes_on_with_hotplug


@dataclass(frozen=True, slots=True)
class Assigned:
    """What only the signer may say."""

    version: int
    place: LogPlace
    checks_sha256: str
    now: datetime
    signed_by: SignedBy = "lab"


def issue_token(request: TokenRequest, assigned: Assigned, revocations: RevocationList) -> tuple[Token, bytes]:
    """The token and its statement; TokenError with the reason when there is none to be had."""
    beginning = f"no token for {request.policy[:80]!r}:"
    refusal = (
        _other_terms(request, revocations) or _doubt(request.stages) or _doubt_score(request) or _of_a_model(request)
    )
    if refusal:
        raise TokenError(f"{beginning} {refusal.reason}", refusal.code)
    try:
        token = _token(request, assigned)
        payload = payload_of(token)
    except (ValueError, OverflowError) as error:
        raise TokenError(f"{beginning} {in_one_line(error)}", Code.TERMS) from error
    if refusal := refusal_of(token):
        raise TokenError(f"{beginning} {refusal.reason}", refusal.code)
    return token, payload


def limits_of(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """In words, what the stages' notes mean for a host."""
    noted = {finding.bug for stage in stages for finding in stage.findings if finding.level == "note"}
    return tuple(words for bug, words in LIMITS_OF_BUGS.items() if bug in noted)


def _token(request: TokenRequest, assigned: Assigned) -> Token:
    issued = assigned.now.astimezone(UTC).replace(microsecond=0)
    score = request.score
    return Token(
        policy=request.policy,
        object_sha256=request.object_sha256,
        source_sha256=request.source_sha256,
        arguments=request.arguments,
        kernel=request.kernel,
        btf_sha256=request.btf_sha256,
        audience=request.audience,
        issued=issued,
        expires=issued + timedelta(seconds=request.valid_for_s),
        nonce=secrets.token_hex(16),
        version=assigned.version,
        stages=stage_digests(request.stages),
        checks_sha256=assigned.checks_sha256,
        log=assigned.place,
        rollout_limit=request.rollout_limit,
        breaker=request.breaker,
        last_known_good=request.last_known_good,
        limits=tuple(
            dict.fromkeys(
                (*limits_of(request.stages), *_limit_of_coverage(request), *_limit_of_model(request), *request.limits)
            )
        ),
        provenance=request.provenance,
        workload=request.workload or (score.workload if score else ""),
        ratio=_ratio(request),
        score_sha256=digest_of(score) if score else "",
        tier=request.tier,
        coverage=_tried(request),
        hotplug="goes on" if goes_on_with_hotplug(request.stages) else "ends",
        tried=in_order(situation for stage in request.stages for situation in stage.situations),
        not_tried=not_tried(answered(request.stages, request.coverage)),
        signed_by=assigned.signed_by,
        evidence_sha256=request.evidence_sha256,
        topologies=tuple(dict.fromkeys(one for stage in request.stages for one in stage.topologies)),
    )


def _tried(request: TokenRequest) -> Tried | None:
    """The shares are worked out here: what a request says of them is not believed."""
    claimed = request.coverage
    if claimed is None or claimed.unknown:
        return None
    if not {*claimed.never_ran} <= {*claimed.programs} or len({*claimed.programs}) != len(claimed.programs):
        raise ValueError("the coverage's callbacks contradict each other")
    coverage = counted(claimed.programs, claimed.files, claimed.conditions, claimed.never_ran)
    if coverage != claimed:
        raise ValueError("the coverage's shares are not those of its lines and branches")
    return Tried(coverage.lines, coverage.branches, request.min_coverage, digest_of(coverage))


def _limit_of_coverage(request: TokenRequest) -> tuple[str, ...]:
    """Why the token ends at the canary for its coverage's sake, if it does."""
    why = shortfall(request.coverage, request.min_coverage)
    return (f"no rollout beyond the canary: {why}"[:LONGEST_TEXT],) if why else ()


def _model(request: TokenRequest) -> str:
    """What the CPUs were taken for where the score was taken; empty where instructions alone took time."""
    of = request.score.provenance if request.score else None
    return (of.machine or "without a name") if of is not None and of.costs is not None else ""


def _limit_of_model(request: TokenRequest) -> tuple[str, ...]:
    """What a descriptor says, which anybody may have written, is no measurement of a host."""
    taken_for = _model(request)
    words = f"no rollout beyond the canary: its score is of a model of a machine ({taken_for})"
    return (words[:LONGEST_TEXT],) if taken_for else ()


def _of_a_model(request: TokenRequest) -> Refusal | None:
    if request.rollout_limit == "canary" or not _model(request):
        return None
    return Refusal(Code.SCORE, "a score that was taken on a model of a machine allows no rollout beyond the canary")


def _ratio(request: TokenRequest) -> Ratio | None:
    return request.score.ratio if request.score else request.ratio


def _other_terms(request: TokenRequest, revocations: RevocationList) -> Refusal | None:
    if not 0 < request.valid_for_s <= LONGEST_VALID_FOR.total_seconds():
        return Refusal(Code.TERMS, f"it can be valid for 1 s to {LONGEST_VALID_FOR.days} days")
    if revocation := revocations.find(object_sha256=request.object_sha256):
        return Refusal(Code.REVOKED, f"the object is revoked: {revocation.reason}")
    return None


def _doubt(stages: tuple[Stage, ...]) -> Refusal | None:
    """Findings that speak against stages which call themselves passed."""
    for stage in stages:
        if any(finding.level == "reject" for finding in stage.findings):
            return Refusal(Code.REJECTED, f"the stage {stage.name!r} has a finding that rejects")
    for finding in stages[-1].findings if stages else ():
        if finding.is_open:  # left to a later stage, of which there is none
            reason = f"the last stage, {stages[-1].name!r}, left {finding.bug} open: {finding.reason[:120]}"
            return Refusal(Code.REJECTED, reason)
    return None


def _doubt_score(request: TokenRequest) -> Refusal | None:
    score: Score | None = request.score
    if score is None:
        return None
    if not score.attached:
        return Refusal(Code.SCORE, "the score has no proof that the policy was attached")
    for name, scored, asked in (
        ("kernel", score.kernel, request.kernel),
        ("ratio", score.ratio, request.ratio or score.ratio),
        ("workload", score.workload, request.workload or score.workload),
        ("object", score.provenance.object_sha256 if score.provenance else "", request.object_sha256),
    ):
        if scored != asked:
            return Refusal(Code.SCORE, f"the score is of another {name}")
    return None

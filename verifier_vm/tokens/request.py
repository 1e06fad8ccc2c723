# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the signer: a token for a verdict. All that a caller must not choose is missing from it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from policy_lake.coverage import Coverage
from policy_lake.errors import InputError
from policy_lake.limits import MIN_COVERAGE
from policy_lake.model import Stage, from_json
from policy_lake.scores import Ratio, Score
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.tokens.terms import DEFAULT_LIMITS, UNKNOWN, VALID_FOR, BreakerLimits, Provenance, RolloutStage


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A verdict and what is to be said of it; stages in full, for the signer makes their digests itself."""

    policy: str
    object_sha256: str
    source_sha256: str
    arguments: tuple[str, ...]
    kernel: str
    btf_sha256: str
    audience: str
    stages: tuple[Stage, ...]
    workload: str = ""
    ratio: Ratio | None = None
    score: Score | None = None
    rollout_limit: RolloutStage = "canary"
    tier: SuiteTier = "short"
    breaker: BreakerLimits = DEFAULT_LIMITS
    last_known_good: str = ""
    limits: tuple[str, ...] = ()
    coverage: Coverage | None = None
    min_coverage: int = MIN_COVERAGE.preset
    provenance: Provenance = UNKNOWN
    valid_for_s: int = int(VALID_FOR.total_seconds())
    evidence_sha256: str = ""


def read_request(data: Any) -> TokenRequest:
    """The request in a message; InputError for what is missing, unknown or of another type."""
    try:
        if unknown := set(data) - {field.name for field in fields(TokenRequest)}:
            raise ValueError(f"unknown: {', '.join(sorted(map(str, unknown)))}")
        return from_json(TokenRequest, data)
    except (ValueError, TypeError) as error:
        raise InputError(f"not a request for a token: {' '.join(str(error).split())[:200]}") from error

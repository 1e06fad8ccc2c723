# SPDX-License-Identifier: Apache-2.0
"""What a token is made of: what its caller may choose to say, and what the verifier's own process saw.

They come to the signer by two ways: the first in the caller's message, the second over a descriptor that the signer
opened to the process that it started itself.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from policy_lake.coverage import Coverage, shortfall
from policy_lake.errors import InputError
from policy_lake.limits import MIN_COVERAGE
from policy_lake.model import Stage, from_json
from policy_lake.scores import Ratio, Score
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.terms import DEFAULT_LIMITS, UNKNOWN, VALID_FOR, BreakerLimits, Provenance, RolloutStage

Record = TypeVar("Record")


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


@dataclass(frozen=True, slots=True)
class Says:
    """What the token shall say, of what its caller may choose; the limits are those of terms.py.

    `policy` empty: the name of its ops. `must_win`: no token unless the policy was measured and won. `at_most`: where
    what was seen allows no rollout as far as `rollout_limit`, one to the canary, and not a refusal.
    """

    audience: str
    policy: str = ""
    rollout_limit: RolloutStage = "canary"
    breaker: BreakerLimits = DEFAULT_LIMITS
    last_known_good: str = ""
    provenance: Provenance = UNKNOWN
    valid_for_s: int = int(VALID_FOR.total_seconds())
    must_win: bool = False
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """What the verifier's own process saw: no caller's message has one."""

    ops: str
    object_sha256: str
    source_sha256: str
    arguments: tuple[str, ...]
    kernel: str
    btf_sha256: str
    stages: tuple[Stage, ...]
    workload: str = ""
    score: Score | None = None
    tier: SuiteTier = "short"
    limits: tuple[str, ...] = ()
    coverage: Coverage | None = None
    min_coverage: int = MIN_COVERAGE.preset
    evidence_sha256: str = ""

    def request(self, says: Says) -> TokenRequest:
        """The request for the token that says this."""
        chosen = {field.name: getattr(says, field.name) for field in fields(Says) if field.name in NAMES}
        seen = {field.name: getattr(self, field.name) for field in fields(Observed) if field.name in NAMES}
        if says.at_most and not self._allows_more_than_the_canary():
            chosen["rollout_limit"] = "canary"
        return TokenRequest(**{**seen, **chosen, "policy": says.policy or self.ops})

    def _allows_more_than_the_canary(self) -> bool:
        score = self.score
        if self.tier != "full" or shortfall(self.coverage, self.min_coverage) or score is None or score.ratio is None:
            return False
        of_a_model = score.provenance is not None and score.provenance.costs is not None
        return score.ratio.ci95[0] > 1 and not of_a_model


NAMES = {field.name for field in fields(TokenRequest)}
# What a caller may not say of what was seen, by any of the names that it has had.
SEEN = {field.name for field in fields(Observed)} - {"tier", "workload", "min_coverage", "limits"}
SEEN |= {"verdict", "ratio", "observed", "accepted", "rejection"}


def read_says(data: Any) -> Says:
    """What a caller asks of the token; TokenError for what it may not say, InputError for what cannot be read."""
    return _read(Says, data, "what a token shall say")


def read_observed(data: Any) -> Observed:
    """What the verifier's process tells; InputError for what cannot be read."""
    return _read(Observed, data, "what a verifier sees")


def refuse_made_up(data: Any) -> None:
    """TokenError where a message holds what the verifier alone may say."""
    if isinstance(data, dict) and (made_up := sorted(SEEN & set(data))):
        reason = f"{made_up[0]!r} is not for a caller to say: the verifier looks itself, and signs what it saw"
        raise TokenError(reason, Code.MADE_UP)


def _read(kind: type[Record], data: Any, what: str) -> Record:
    if kind is Says:
        refuse_made_up(data)
    try:
        if unknown := set(data) - {field.name for field in fields(kind)}:  # type: ignore[arg-type]
            raise ValueError(f"unknown: {', '.join(sorted(map(str, unknown)))}")
        return from_json(kind, data)
    except (ValueError, TypeError) as error:
        raise InputError(f"not {what}: {' '.join(str(error).split())[:200]}") from error

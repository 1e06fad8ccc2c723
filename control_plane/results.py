# SPDX-License-Identifier: Apache-2.0
"""What verify and score give: the same records for the library face and for `--json`; tune's: policy_lake/tuned.py."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from benchmarks.suite_result import SuiteResult
from policy_lake.calls import ModelCall, ModelUse
from policy_lake.comparison import Comparison
from policy_lake.model import Clock, Lesson, Rejection, Verdict
from policy_lake.scores import Score, Sensitivity
from tasks.planners.taught import Kind

REJECTED, ONE_SITUATION = "rejected", "one_situation"


@dataclass(frozen=True, slots=True)
class NoToken:
    """Why there is no token: nothing was to be signed (`code` is REJECTED or ONE_SITUATION), the signer said no, for a
    reason with a `code` of his, or could not be asked.
    """

    reason: str
    code: str = ""

    @property
    def refused(self) -> bool:
        """Whether a token was to be made, and could not be."""
        return self.code not in (REJECTED, ONE_SITUATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult(Verdict):
    """A verdict; `token` is the path of the signed token of an accepted policy, `rejections` one for each bad stage.

    `no_token` says why there is none. The verdict holds without it.
    `coverage_shortfall` says why too little of the code was tried for a token beyond the canary; empty if it was not.
    `machine` is what the guests' CPUs were taken for, where that costs something (`--machine`).
    `smallest` is the situation that `--minimize` found, as `--only` takes it. `pictures` are paths by name.
    """

    token: str | None
    clock: Clock
    tier: Literal["short", "full"]
    rejections: tuple[Rejection, ...] = ()
    coverage_shortfall: str = ""
    smallest: str = ""
    warnings: tuple[str, ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)
    no_token: NoToken | None = None
    machine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult(Score):
    """A score; `pictures` are paths by name. `sensitivity` says whether it holds where each cost of its machine is
    halved and doubled, if that was asked for.
    """

    warnings: tuple[str, ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)
    sensitivity: Sensitivity | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why the policy may not run; `score` is what was measured of one that breaks a guard rail."""

    rejection: Rejection
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class AgainResult:
    """A score of the lake and the same measured again; `difference` is relative, `changed` what is no longer equal."""

    agrees: bool
    difference: float
    changed: tuple[str, ...]
    before: Score
    now: Score


@dataclass(frozen=True, slots=True)
class CompareOutput:
    """The comparison; `pictures` are paths by name."""

    comparison: Comparison
    pictures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToldParagraph:
    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainOutput:
    """A run's story; `pictures` are paths by name."""

    run: str
    workload: str
    paragraphs: tuple[ToldParagraph, ...]
    pictures: dict[str, str]


@dataclass(frozen=True, slots=True)
class LessonsOutput:
    """What was taught of kinds of workload, and each run's lessons in words."""

    kinds: tuple[Kind, ...]
    lessons: tuple[Lesson, ...]


@dataclass(frozen=True, slots=True)
class CallsOutput:
    """Calls to a model in the order they came, and what they came to."""

    calls: tuple[ModelCall, ...]
    use: ModelUse


@dataclass(frozen=True, slots=True)
class BenchSuiteOutput:
    """The benchmark's result; `pictures` are paths by name."""

    result: SuiteResult
    pictures: dict[str, str] = field(default_factory=dict)


def extended(record: Any, kind: Any, **more: Any) -> Any:
    """The record as one of `kind`, a class derived from its own, with the fields that `kind` has besides."""
    return kind(**{part.name: getattr(record, part.name) for part in fields(record)}, **more)

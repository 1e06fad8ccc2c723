# SPDX-License-Identifier: Apache-2.0
"""What a tune came to: made at its end, kept as its run's summary, sent by the resident process, and printed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from policy_lake.calls import ModelUse
from policy_lake.model import Clock, KnobValue, Pathway
from policy_lake.scores import Outcome, Ratio

_STRICT: dict[str, Any] = {"extra": "forbid"}  # of several kinds of summary, a record is only the one that it fits


# Why a run planned no more: its best is at the bound; what is left was tried, or promises less than pairs differ by;
# its rounds, runs, seconds in guests or seconds were used up. Empty in rows of an older schedcp.
Stop = Literal["", "bound", "nothing left", "iterations", "runs", "guest seconds", "seconds"]


@dataclass(frozen=True, slots=True)
class StageAndReason:
    """A rejection in short."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class TunedCandidate:
    """One candidate of a run with what came of it: a score, a rejection, or a failure of ours.

    One that breaks a guard has both a ratio and a rejection. `predicted` is the ratio that its planner expected.
    """

    id: str
    policy: str
    knob_values: dict[str, KnobValue]
    planner: str
    reason: str
    ratio: Ratio | None
    outcome: Outcome | None
    score: str | None
    rejection: StageAndReason | None
    failure: str | None
    predicted: float | None = None
    pathway: Pathway = ""


@dataclass(frozen=True, slots=True)
class TunedIteration:
    """One round of plan, execute and learn; `iteration` counts from 1."""

    iteration: int
    candidates: tuple[TunedCandidate, ...]


@dataclass(frozen=True, slots=True)
class TunedBaseline:
    """What the best was compared with: the median of `metric`, in `unit`."""

    name: str
    metric: str
    unit: str
    median: float


@dataclass(frozen=True, slots=True)
class TunedBest:
    """The best candidate of a run; `token` is the path of its signed token, if it won and was promoted."""

    policy: str
    knob_values: dict[str, KnobValue]
    candidate: str
    ratio: Ratio
    outcome: Outcome
    bound: float | None
    clock: Clock
    topology: str
    baseline: TunedBaseline
    token: str | None


@dataclass(frozen=True, slots=True)
class Ablation:
    """The best without one thing: its ratio then, and which part of its gain went with it (1: all of it).

    No ratio where it may not run without.
    """

    without: str
    ratio: Ratio | None
    share: float | None


@dataclass(frozen=True, slots=True)
class TuneResult:
    """A whole run: `seconds` by what they went into, `report` and `pictures` as paths, `stopped` why it ended there.

    `paid` is what its best owes to each of its knob values, most first; `model` what was asked of a model, None where
    none was.
    """

    run_id: str
    workload: str
    iterations: tuple[TunedIteration, ...]
    best: TunedBest | None
    candidates_tried: int
    rejected: int
    failed: int
    seconds: dict[str, float]
    report: str | None
    warnings: tuple[str, ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)
    stopped: Stop = ""
    paid: tuple[Ablation, ...] = ()
    model: ModelUse | None = None

    def with_stop(self, total_s: float) -> TuneResult:
        """With what came behind the report counted: the last artifact, the end of server and cluster."""
        stop = max(0.0, total_s - self.seconds["total"])
        more = {"stop": stop, "total": total_s, "overhead": self.seconds["overhead"] + stop}
        return replace(self, seconds=self.seconds | {name: round(value, 3) for name, value in more.items()})


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed, or was killed."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    error: str


@dataclass(frozen=True, slots=True)
class NoSummary:
    """Of a run that goes on, or was cancelled."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


Summary = TuneResult | RunError | NoSummary

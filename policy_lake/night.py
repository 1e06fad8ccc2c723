# SPDX-License-Identifier: Apache-2.0
"""A night's tune of a workload beside the one before it: made by tasks/nights, shown and printed; a leaf."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from policy_lake.scores import Outcome, Ratio

NightKind = Literal["first", "win", "regression", "failure", "changed", "same"]


@dataclass(frozen=True, slots=True)
class Night:
    """One workload in one night: its best, and what its digits are a function of, by name (`kernel`, `policy`, …).

    `failed` is what stands in the run's row where it came to nothing; then there is no ratio.
    """

    run: str
    workload: str
    started: str
    policy: str = ""
    score: str = ""
    ratio: Ratio | None = None
    outcome: Outcome | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    failed: str = ""


@dataclass(frozen=True, slots=True)
class NightChange:
    """A night and the one before it: what kind of news it is, and which inputs are others, as (before, now)."""

    night: Night
    before: Night | None
    kind: NightKind
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the digits of two nights differ: in `metric` of a run under `policy` (empty: EEVDF), from `before` to `now`.

    `cause` are recorded inputs each of which is witnessed to change digits by itself, or the only ones that differ;
    `suspects` those that changed together, of which no run in the lake tells which it was.
    """

    workload: str
    nights: tuple[str, str]
    policy: str
    metric: str
    before: float
    now: float
    cause: dict[str, tuple[str, str]]
    suspects: dict[str, tuple[str, str]]

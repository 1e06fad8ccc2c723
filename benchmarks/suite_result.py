# SPDX-License-Identifier: Apache-2.0
"""What contenders came to in the public benchmark: made by tasks/bench_suite.py, and printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lake.scores import Outcome, Ratio

# Whether EEVDF had the frozen digits: with the kernel, image, QEMU and clock of then, it must.
Frozen = Literal["equal", "not frozen", "of another guest", "differs"]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A contender in a case: what of EEVDF's time it needs is in `ratio`; 1 where it may not run, and EEVDF stays.

    `share` is how much of what arithmetic allows it won, on a logarithmic scale; None without a bound that leaves room.
    `policy` is what a planner came to. `runs` are those of candidates.
    """

    case: str
    contender: str
    policy: str
    ratio: Ratio
    outcome: Outcome | None
    bound: float | None
    share: float | None
    why_not: str
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Total:
    """A contender over all cases: the geometric mean of its ratios with a 95 % interval over cases, wins and losses."""

    contender: str
    mean: Ratio
    share: float | None
    wins: int
    losses: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """The whole; `frozen` says for each case whether EEVDF's digits are those of the repository."""

    version: int
    held: bool
    frozen: dict[str, Frozen]
    results: tuple[CaseResult, ...]
    totals: tuple[Total, ...]

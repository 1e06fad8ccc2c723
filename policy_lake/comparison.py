# SPDX-License-Identifier: Apache-2.0
"""What planners came to that had the same number of runs: made by tasks/compare.py, and printed."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.scores import Score
from policy_lake.tuned import Stop


@dataclass(frozen=True, slots=True)
class Point:
    """After so many runs of candidates, the best ratio that keeps its guards, with its 95 % interval; 1 before any."""

    runs: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Course:
    """What a planner came to: its best score, how the best grew, how many candidates and seconds that took.

    `first_win` is the candidate with which it first won surely (from 1), None if none did.
    """

    planner: str
    best: Score | None
    points: tuple[Point, ...]
    candidates: int
    rejected: int
    runs: int
    guest_s: float
    wall_s: float
    stopped: Stop
    first_win: int | None = None

    def runs_to(self, ratio: float) -> int | None:
        """The runs that it took to a best of at least this ratio; None if it never came there."""
        return next((point.runs for point in self.points if point.ratio >= ratio), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The courses on one workload, the planner's own first, with the bound; `cpus` and `clock` as measured."""

    workload: str
    tier: str
    cpus: int
    max_runs: int
    seed: int
    bound: float | None
    courses: tuple[Course, ...]

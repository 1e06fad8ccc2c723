# SPDX-License-Identifier: Apache-2.0
"""What the pages say of many records at once, kept small: a lake may hold far more than fits into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from benchmarks.pareto import front
from control_plane.pages.render import score_where
from policy_lake.ranking import bests, rank
from policy_lake.records import Run
from policy_lake.scores import Outcome, Ratio, Score
from policy_lake.tuned import RunError, TuneResult
from tasks.host.settings import Settings
from tasks.run.alive import is_dead

MOST_POINTS = 300  # of one drawing, besides its front
MOST_FRONT = 50
MOST_GROUPS = 500  # drawings of a report
MOST_PLACES = 500
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in one line; `ratio` and `outcome` are of its best, whether that won or not."""

    id: str
    workload: str
    status: str
    started: str
    ended: str
    policy: str = ""
    ratio: Ratio | None = None
    outcome: Outcome | None = None
    where: str = ""
    signed: bool = False
    tried: int = 0
    rejected: int = 0
    error: str = ""


def run_row(run: Run, settings: Settings) -> RunRow:
    """The run's line; one that says `running` and whose process has ended was killed."""
    status = "killed" if run.status == "running" and is_dead(run.id, settings) else run.status
    head = (run.id, run.workload, status, run.started, run.ended)
    summary = run.summary
    if not isinstance(summary, TuneResult):
        return RunRow(*head, policy=run.best, error=summary.error if isinstance(summary, RunError) else "")
    best, counts = summary.best, (summary.candidates_tried, summary.rejected)
    if best is None:
        return RunRow(*head, policy=run.best, tried=counts[0], rejected=counts[1])
    where = f"{best.topology}, {best.clock} clock" if best.topology else f"{best.clock} clock"
    return RunRow(*head, best.policy, best.ratio, best.outcome, where, bool(best.token), *counts)


@dataclass(frozen=True, slots=True)
class Point:
    """A score in a drawing of two ratios."""

    policy: str
    ratios: dict[str, float]
    outcome: Outcome
    over: bool


@dataclass(slots=True)
class Group:
    """The scores of one workload that may be compared: of one metric, on like CPUs, by one clock, of one size."""

    workload: str
    where: str
    metric: str
    recent: list[Point] = field(default_factory=list)
    front: list[Point] = field(default_factory=list)
    scores: int = 0

    def add(self, score: Score) -> None:
        """Take a score in; of those that came long ago only what no other one beats in everything is kept."""
        self.scores += 1
        ratios = {score.metric: score.ratio.median} | {name: one.median for name, one in score.ratios.items()}
        point = Point(score.policy, ratios, score.outcome, bool(score.over))
        if len(self.recent) < MOST_POINTS:
            self.recent.append(point)
        if point.over or point in self.front or any(_beats(other, point) for other in self.front):
            return
        self.front = [*[other for other in self.front if not _beats(point, other)][-MOST_FRONT:], point]

    @property
    def points(self) -> list[Point]:
        """What is drawn, the front last, so that it lies above the others."""
        return [point for point in self.recent if point not in self.front] + self.front

    @property
    def guards(self) -> list[str]:
        """The metrics besides its own that all of its points have."""
        names = set.intersection(*(set(point.ratios) for point in self.points)) if self.points else set()
        return sorted(names - {self.metric})


def _beats(one: Point, other: Point) -> bool:
    """Whether it is at least as good in all that both have, and better in something."""
    return front([one.ratios, other.ratios]) == [0]


@dataclass(slots=True)
class Measured:
    """What all scores come to: each policy's best ones, the groups that may be compared, where they were measured."""

    best: dict[tuple[str, str, str], Score] = field(default_factory=dict)
    groups: dict[tuple[str, str, str], Group] = field(default_factory=dict)
    places: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    scores: int = 0

    def add(self, scores: Iterable[Score]) -> None:
        """Take scores in, those that came last first."""
        for score in scores:
            self.scores += 1
            where = score_where(score)
            place = (score.kernel, where, score.provenance.qemu if score.provenance else "")
            if place in self.places or len(self.places) < MOST_PLACES:
                self.places[place] += 1
            group = (score.workload, where, score.metric)
            if group in self.groups or len(self.groups) < MOST_GROUPS:
                self.groups.setdefault(group, Group(*group)).add(score)
            if bests([score]):  # of those that count
                key = (score.policy, score.workload, where)
                self.best[key] = max(self.best.get(key, score), score, key=rank)

    def of_policy(self) -> dict[str, list[Score]]:
        """Each policy's best score on each workload and machine, the highest ratio first."""
        by_policy: dict[str, list[Score]] = {}
        for score in sorted(self.best.values(), key=lambda score: (-score.ratio.median, score.id)):
            by_policy.setdefault(score.policy, []).append(score)
        return by_policy


@dataclass(frozen=True, slots=True)
class NightRow:
    """A workload's day: its best run, and the best of the last day before that has one, on the same machine."""

    workload: str
    where: str
    runs: int
    best: RunRow
    before: RunRow | None

    @property
    def change(self) -> str:
        """`worse` or `better` where the two intervals have nothing in common; else `within`, or `first`."""
        if self.before is None:
            return "first"
        assert self.best.ratio is not None and self.before.ratio is not None
        now, then = self.best.ratio.ci95, self.before.ratio.ci95
        return "worse" if now[1] < then[0] else "better" if now[0] > then[1] else "within"


@dataclass(frozen=True, slots=True)
class Night:
    """A day in UTC, what got worse first, with the runs that came to nothing."""

    day: str
    rows: tuple[NightRow, ...]
    without: tuple[RunRow, ...]


_ORDER = ("worse", "better", "first", "within")


def nights(runs: Iterable[RunRow]) -> list[Night]:
    """The days on which runs began, the latest first."""
    by_day: dict[str, list[RunRow]] = {}
    for run in runs:
        by_day.setdefault(run.started[:10], []).append(run)
    last: dict[tuple[str, str], RunRow] = {}
    made = [_night(day, by_day[day], last) for day in sorted(by_day)]
    return made[::-1]


def _night(day: str, runs: list[RunRow], last: dict[tuple[str, str], RunRow]) -> Night:
    by_place: dict[tuple[str, str], list[RunRow]] = {}
    for run in runs:
        if run.ratio is not None:
            by_place.setdefault((run.workload, run.where), []).append(run)
    rows = []
    for place, own in by_place.items():
        best = max(own, key=lambda run: run.ratio.ci95[0] if run.ratio else 0.0)
        rows.append(NightRow(*place, len(own), best, last.get(place)))
        last[place] = best
    rows.sort(key=lambda row: (_ORDER.index(row.change), row.workload, row.where))
    return Night(day, tuple(rows), tuple(run for run in runs if run.ratio is None))


def pages_of(rows: list[Row], most: int) -> Iterator[tuple[int, list[Row]]]:
    """Rows in pages of at most so many, with the pages' numbers from 1; one empty page where there are none."""
    for number, at in enumerate(range(0, max(1, len(rows)), most), 1):
        yield number, rows[at : at + most]

# SPDX-License-Identifier: Apache-2.0
"""The whole report: what is read in which order, and what is written of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from control_plane.pages import charts
from control_plane.pages.place import Book, check_place, writing
from control_plane.pages.policy_pages import known_policies, write_policies
from control_plane.pages.render import page, score_where
from control_plane.pages.rollout_pages import by_policy, write_rollouts
from control_plane.pages.rows import Group, Measured, Night, RunRow, nights, pages_of, run_row
from control_plane.pages.run_pages import Context, list_name, write_run_list, write_runs
from policy_lake.doing import doing
from policy_lake.lake import Lake
from policy_lake.model import Lesson
from policy_lake.profile import WorkloadProfile
from tasks.fleet.report_link import slug
from tasks.host.settings import Settings

LATEST = 10  # of a kind on the first page
A_PAGE = 20  # nights
MOST_LESSONS = 500
MOST_REGRESSIONS = 20  # of a policy


@dataclass(frozen=True, slots=True)
class Written:
    """What a report holds: how many of each, how many runs have no page of their own, its files."""

    runs: int
    unpaged: int
    policies: int
    rollouts: int
    pages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Scores of one group by two of their ratios; `front` are the policies that no other one beats in both."""

    group: Group
    against: str
    scatter: charts.Scatter
    front: tuple[str, ...]


def write_report(lake: Lake, settings: Settings, directory: Path, *, most_runs: int) -> Written:
    """The lake as pages in `directory`, of the latest `most_runs` runs one each. InputError for a place not to be used.

    Records are read a few at a time, so that memory grows with the number of runs by some hundred bytes each.
    """
    check_place(directory)
    # A table that is not there is made by the first record, of whichever kind.
    rows = sorted((run_row(run, settings) for run in lake.scan("runs")), key=_start, reverse=True)
    measured = Measured()
    for some in _chunks(lake.scan("scores")):
        measured.add(some)
    head = {"made": datetime.now(UTC).isoformat(timespec="minutes")[:16].replace("T", " ")}
    with writing(directory) as book:
        book.write("style.css", (Path(__file__).parent / "templates/style.css").read_bytes())
        return _write_all(book, lake, settings, rows, rows[:most_runs], measured, head)


def _start(row: RunRow) -> str:
    return row.started


def _chunks(records: Iterator[Any], most: int = 500) -> Iterator[list[Any]]:
    while some := list(islice(records, most)):
        yield some


def _write_all(
    book: Book, lake: Lake, settings: Settings, rows: list[RunRow], paged: list[RunRow], measured: Measured,
    head: dict[str, Any],
) -> Written:  # fmt: skip
    ids = known_policies(lake)
    known = frozenset(ids)
    doing("report: pages of %d runs", len(paged))
    context = Context(lake, settings, _profiles(lake), known)
    verdicts = write_runs(book, paged, context, head)
    write_run_list(book, rows, written=len(paged), head=head)
    doing("report: rollouts, policies, workloads")
    rollouts, left_out = write_rollouts(book, lake, known, head)
    write_policies(
        book, lake, settings, ids, measured=measured, verdicts=verdicts, runs={row.id for row in paged},
        regressions=_regressions(lake), rollouts=by_policy(rollouts), head=head,
    )  # fmt: skip
    days, own = nights(rows), {row.id for row in paged}
    _write_nights(book, days, own, known, head)
    _write_workloads(book, lake, measured, known, head)
    counts = {
        "runs": len(rows), "nights": len(days), "policies": len(ids),
        "scores": measured.scores, "rollouts": len(rollouts) + left_out,
    }  # fmt: skip
    book.write(
        "index.html",
        page(
            "index.html", root="", counts=counts, runs=paged[:LATEST], rollouts=rollouts[:LATEST],
            night=next(iter(days), None), known=known, paged=own, **head,
        ),
    )  # fmt: skip
    return Written(len(rows), len(rows) - len(paged), len(ids), len(rollouts) + left_out, book.pages, book.size)


def _profiles(lake: Lake) -> dict[str, WorkloadProfile]:
    found: dict[str, WorkloadProfile] = {}
    for profile in lake.scan("profiles"):
        found.setdefault(profile.workload, profile)
    return found


def _regressions(lake: Lake) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for one in lake.scan("regressions"):
        if len(found[one.policy]) < MOST_REGRESSIONS:
            found[one.policy].append(one)
    return found


def _write_nights(book: Book, days: list[Night], paged: set[str], known: frozenset[str], head: dict[str, Any]) -> None:
    pages = list(pages_of(days, A_PAGE))
    for number, own in pages:
        data = page(
            "nights.html", root="../", nights=own, number=number, pages=len(pages), paged=paged, known=known, **head
        )
        book.write(list_name("nights", number), data)


def _write_workloads(book: Book, lake: Lake, measured: Measured, known: frozenset[str], head: dict[str, Any]) -> None:
    lessons: dict[str, list[Lesson]] = defaultdict(list)
    for lesson in islice(lake.scan("lessons"), MOST_LESSONS):
        lessons[lesson.workload].append(lesson)
    groups: dict[str, list[Group]] = defaultdict(list)
    for group in measured.groups.values():
        groups[group.workload].append(group)
    names = sorted({*groups, *lessons} - {""})
    for name in names:
        drawings = [drawing for group in groups[name] for drawing in _drawings(group)]
        best = sorted(
            (score for (_, workload, _), score in measured.best.items() if workload == name),
            key=lambda score: (-score.ratio.median, score.id),
        )[:100]
        intervals = [(*score.ratio.ci95[:1], score.ratio.median, score.ratio.ci95[1], score.bound) for score in best]
        data = page(
            "workload.html", root="../", name=name, scores=list(zip(best, charts.bars(intervals), strict=True)),
            drawings=drawings, lessons=lessons[name], known=known, where=score_where, **head,
        )  # fmt: skip
        book.write(f"workloads/{slug(name)}.html", data)
    listed = [(name, sum(group.scores for group in groups[name]), len(lessons[name])) for name in names]
    places = measured.places.most_common()
    data = page("workloads.html", root="../", listed=listed, places=places, general=lessons[""], **head)
    book.write("workloads/index.html", data)


def _drawings(group: Group) -> Iterator[Drawing]:
    """The group's metric against each of its guards; without a guard nothing is traded."""
    for guard in group.guards:
        points = group.points
        best = {id(point) for point in group.front}
        drawn = charts.scatter(
            (
                (point.ratios[group.metric], point.ratios[guard], _kind(point.over, id(point) in best), point.policy)
                for point in points
            ),
            f"{group.metric}, times better", f"{guard}, times better", ratios="xy",
        )  # fmt: skip
        if drawn:
            yield Drawing(group, guard, drawn, tuple(dict.fromkeys(point.policy for point in group.front)))


def _kind(over: bool, in_front: bool) -> str:
    return "over" if over else "front" if in_front else "other"

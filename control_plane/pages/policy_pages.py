# SPDX-License-Identifier: Apache-2.0
"""The pages of policies: what each is, its records, where it comes from, and its source with what of it ran."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bpf.library import policies as library
from control_plane.coverage import LEGEND, Source, coverage_line, mark, not_tried, notes_of, own_file, source_of
from control_plane.pages import charts
from control_plane.pages.place import Book
from control_plane.pages.render import page, score_where
from control_plane.pages.rows import Measured, pages_of
from control_plane.pages.run_pages import list_name
from policy_lake.coverage import Coverage
from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.lake import Lake
from policy_lake.model import Policy, from_json
from policy_lake.scores import Score
from tasks.fleet.report_link import slug
from tasks.host.settings import Settings
from tasks.run.batch import Evidence

A_PAGE = 100
AT_ONCE = 20  # in memory: a source may have megabytes
MOST = 2000  # policies with a page
MOST_LINES = 5000  # of a source on a page
MOST_EVIDENCE = 16 << 20
MARKS = {"+": "ran", "!": "missed", "e": "error", " ": "none"}


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A policy in one line of the list."""

    id: str
    title: str
    origin: str
    good_for: str
    best: Score | None


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a source: what became of it (a CSS class), its sign, and which ways at it nobody took."""

    number: int
    text: str
    kind: str
    sign: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Covered:
    """What a verdict's guests executed of a policy; `run` is whose verdict it is."""

    run: str
    line: str
    not_tried: tuple[str, ...]
    never_ran: tuple[str, ...]


def known_policies(lake: Lake) -> list[str]:
    """The ids of policies that get a page: those of the lake, the latest first, and the library's."""
    found = dict.fromkeys(policy.id for policy in lake.scan("policies", most=AT_ONCE))
    return list(found | dict.fromkeys(policy.id for policy in library()))[:MOST]


def _policies(lake: Lake, ids: list[str]) -> Iterator[Policy]:
    shipped = {policy.id: policy for policy in library()}
    for at in range(0, len(ids), AT_ONCE):
        some = ids[at : at + AT_ONCE]
        kept = {policy.id: policy for policy in lake.having("policies", "id", some)}
        yield from (kept.get(id) or shipped[id] for id in some)


def write_policies(
    book: Book, lake: Lake, settings: Settings, ids: list[str], *, measured: Measured,
    verdicts: dict[str, tuple[str, str]], runs: set[str], regressions: dict[str, list[Any]],
    rollouts: dict[str, list[Any]], head: dict[str, Any],
) -> None:  # fmt: skip
    """A page for each policy, and the list of them, those with the highest ratios first."""
    best, rows, known = measured.of_policy(), [], frozenset(ids)
    for policy in _policies(lake, ids):
        scores = best.get(policy.id, [])
        rows.append(PolicyRow(policy.id, policy.title, policy.origin, policy.good_for, scores[0] if scores else None))
        text, covered = policy.source, None
        if place := verdicts.get(policy.id):
            text, covered = _covered(lake, settings, policy, *place)
        intervals = [(*_interval(score), score.bound) for score in scores]
        data = page(
            "policy.html", root="../", policy=policy, scores=list(zip(scores, charts.bars(intervals), strict=True)),
            where=score_where, lines=_lines(policy.id, text, covered), covered=_told(policy.id, text, covered, place),
            legend=LEGEND, runs=runs, known=known, regressions=regressions.get(policy.id, []),
            rollouts=rollouts.get(policy.id, []), **head,
        )  # fmt: skip
        book.write(f"policies/{slug(policy.id)}.html", data)
    rows.sort(key=lambda row: (-row.best.ratio.median if row.best else 0.0, row.id))
    pages = list(pages_of(rows, A_PAGE))
    for number, own in pages:
        data = page("policies.html", root="../", rows=own, number=number, pages=len(pages), total=len(rows), **head)
        book.write(list_name("policies", number), data)


def _interval(score: Score) -> tuple[float, float, float]:
    return score.ratio.ci95[0], score.ratio.median, score.ratio.ci95[1]


def _covered(lake: Lake, settings: Settings, policy: Policy, run: str, candidate: str) -> tuple[str, Coverage | None]:
    """The source that was tried, and what of it ran; the policy's own without coverage where the verdict is gone."""
    try:
        content = read_outside(settings.run_dir / run / f"{candidate}.json", MOST_EVIDENCE)
        coverage = from_json(Evidence, json.loads(content)).verdict.coverage
    except (InputError, ValueError, RecursionError):
        return policy.source, None
    made = [one for one in lake.having("candidates", "candidate", [candidate]) if one.run_id == run]
    return (made[0].source if made else policy.source), coverage


def _told(id: str, text: str, coverage: Coverage | None, place: tuple[str, str] | None) -> Covered | None:
    if coverage is None or place is None:
        return None
    return Covered(
        place[0], coverage_line(coverage), tuple(not_tried(coverage, _source(id, text))), coverage.never_ran
    )  # fmt: skip


def _source(id: str, text: str) -> Source:
    return source_of(f"{id}.bpf.c", text)


def _lines(id: str, text: str, coverage: Coverage | None) -> list[SourceLine]:
    source = _source(id, text)
    own = own_file(coverage, source) if coverage else None
    notes = notes_of(coverage, own.file, source) if coverage and own else {}
    made = []
    for number, line in enumerate(source.lines[:MOST_LINES], 1):
        sign = mark(own, number) if own else " "
        made.append(SourceLine(number, line, MARKS[sign], sign, tuple(notes.get(number, ()))))
    return made

# SPDX-License-Identifier: Apache-2.0
"""The pages of runs: what each tried, what that came to, its story and its pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.pages import charts
from control_plane.pages.place import Book
from control_plane.pages.render import page
from control_plane.pages.rows import RunRow, pages_of
from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.lake import Lake
from policy_lake.profile import WorkloadProfile
from policy_lake.scores import Score
from tasks.fleet.report_link import slug
from tasks.host.settings import Settings
from tasks.run.certainty import Tried, certainty_lines
from tasks.run.report import best_of
from tasks.run.spec import RUN_ID
from tasks.run.story import origins, tell

AT_ONCE = 50  # runs whose candidates are in memory together
A_PAGE = 100  # runs in one page of the list
MOST_TRIED = 500  # candidates on a run's page
PICTURED = 200  # runs, the latest: a picture has some 40 kB
PICTURES = {
    "scores": "what each candidate came to",
    "timeline": "who ran where, under EEVDF and under the best policy",
    "waits": "how long tasks waited",
    "costs": "what the machine's costs took",
}
MOST_BYTES = 1 << 20
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Context:
    """What all pages of runs are made with: `policies` are those that have a page."""

    lake: Lake
    settings: Settings
    profiles: dict[str, WorkloadProfile]
    policies: Collection[str]


def write_run_list(book: Book, rows: Sequence[RunRow], *, written: int, head: dict[str, Any]) -> None:
    """The list of runs, A_PAGE of them a page; the first `written` have pages of their own."""
    pages = list(pages_of(list(rows), A_PAGE))
    for number, own in pages:
        data = page(
            "runs.html", root="../", rows=own, number=number, pages=len(pages), own=written - (number - 1) * A_PAGE,
            total=len(rows), **head,
        )  # fmt: skip
        book.write(list_name("runs", number), data)


def list_name(folder: str, number: int) -> str:
    """The file of a page of a list."""
    return f"{folder}/index.html" if number == 1 else f"{folder}/page-{number}.html"


def write_runs(
    book: Book, rows: Sequence[RunRow], context: Context, head: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    """A page for each of these runs; by policy, the latest run and candidate of which a verdict is kept."""
    verdicts: dict[str, tuple[str, str]] = {}
    for at in range(0, len(rows), AT_ONCE):
        some = rows[at : at + AT_ONCE]
        tried = _tried(context.lake, [row.id for row in some])
        together = {one.candidate.id: one for own in tried.values() for one in own}
        known = {**origins(context.lake, (one.candidate for one in together.values())), **together}
        runs = {run.id: run for run in context.lake.having("runs", "id", [row.id for row in some])}
        for number, row in enumerate(some, at):
            own = tried.get(row.id, [])
            if row.id in runs:
                story = tell(runs[row.id], context.profiles.get(row.workload), own, known)
                pictures = _pictures(book, row, context.settings) if number < PICTURED else []
                _write_run(book, row, own, story.paragraphs, pictures, context, head)
            for one in own:
                if one.candidate.policy not in verdicts and _has_verdict(row.id, one.candidate.id, context.settings):
                    verdicts[one.candidate.policy] = (row.id, one.candidate.id)
    return verdicts


def _tried(lake: Lake, ids: list[str]) -> dict[str, list[Tried]]:
    scores: dict[tuple[str, str], Score] = {
        (score.run_id, score.candidate): score for score in lake.having("scores", "run_id", ids) if not score.confirms
    }
    rejections = {
        (one.candidate.run_id, one.candidate.id): one.rejection for one in lake.having("rejections", "run_id", ids)
    }
    tried: dict[str, list[Tried]] = defaultdict(list)
    for made in lake.having("candidates", "run_id", ids):
        key = (made.run_id, made.id)
        tried[made.run_id].append(Tried(made, scores.get(key), rejections.get(key)))
    return tried


def _write_run(
    book: Book, row: RunRow, tried: list[Tried], paragraphs: Iterable[Any], pictures: list[tuple[str, str]],
    context: Context, head: dict[str, Any],
) -> None:  # fmt: skip
    shown = tried[:MOST_TRIED]
    scored = [one for one in shown if one.score is not None]
    best = best_of(tried)
    data = page(
        "run.html", root="../", row=row, tried=list(zip(shown, score_bars(shown), strict=True)),
        left_out=len(tried) - len(shown), story=paragraphs, pictures=pictures, policies=context.policies,
        drawing=_drawing(scored), sure=certainty_lines(best) if best else [],
        command=f"schedcp explain {row.id}" if RUN_ID.fullmatch(row.id) else "", **head,
    )  # fmt: skip
    book.write(f"runs/{slug(row.id)}.html", data)


def score_bars(tried: Sequence[Tried]) -> list[charts.Bar | None]:
    """The interval of each that was measured, all on one axis."""
    scores = [one.score for one in tried]
    some = [(*_interval(score), score.bound) for score in scores if score is not None]
    made = iter(charts.bars(some))
    return [next(made) if score is not None else None for score in scores]


def _interval(score: Score) -> tuple[float, float, float]:
    return score.ratio.ci95[0], score.ratio.median, score.ratio.ci95[1]


def _drawing(scored: Sequence[Tried]) -> charts.Scatter | None:
    """The best so far over the pairs of runs that it took; of a run with one score there is no course."""
    if len(scored) < 2:
        return None
    points, pairs, best = [], 0, 1.0
    for one in scored:
        assert one.score is not None
        pairs += len(one.score.pairs)
        if one.rejection is None and not one.score.over:
            best = max(best, one.score.ratio.median)
        points.append((float(pairs), best, "front", f"{one.candidate.policy}: {one.result}"))
    return charts.scatter(points, "pairs of runs", "best so far, times better", ratios="y", joined=True)


def _pictures(book: Book, row: RunRow, settings: Settings) -> list[tuple[str, str]]:
    """The run's pictures copied into the report: their places beside its page, and what they show."""
    if not RUN_ID.fullmatch(row.id):
        return []
    found = []
    for name, shows in PICTURES.items():
        path = settings.run_dir / row.id / f"{name}.png"
        try:
            data = read_outside(path, MOST_BYTES) if path.is_file() else b""
        except InputError:
            continue
        if data.startswith(PNG):
            place = f"{slug(row.id)}/{name}.png"
            book.write(f"runs/{place}", data)
            found.append((place, shows))
    return found


def _has_verdict(run_id: str, candidate_id: str, settings: Settings) -> bool:
    safe = RUN_ID.fullmatch(run_id) and RUN_ID.fullmatch(candidate_id)
    return bool(safe) and (settings.run_dir / run_id / f"{candidate_id}.json").is_file()

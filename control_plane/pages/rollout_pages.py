# SPDX-License-Identifier: Apache-2.0
"""The pages of rollouts and hosts: each step with its readings, every window's values, what hosts went through."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from control_plane.pages import charts
from control_plane.pages.place import Book
from control_plane.pages.render import page
from policy_lake.lake import Lake
from policy_lake.records import Rollout
from policy_lake.rollout import Reading, StepDone
from tasks.fleet.report_link import slug
from tasks.rollout.page import end_line, judgement_line, reading_text

MOST = 1000  # rollouts with a page, the latest
AT_ONCE = 10  # in memory: each has its windows and its hosts' logs
MOST_WINDOWS = 400  # of a drawing
MOST_HOSTS = 2000


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A rollout in one line."""

    id: str
    policy: str
    workload: str
    hosts: int
    started: str
    ended: str
    end: str
    told: str


@dataclass(slots=True)
class HostRow:
    """A host in one line: its rollouts, the latest first, and the end of its log as that told it."""

    name: str
    rollouts: list[RolloutRow] = field(default_factory=list)
    log: str = ""
    entries: int = 0


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A reading of a step: its metric, its interval in words and as a bar (None while it has no upper end)."""

    metric: str
    text: str
    blocks: int
    bar: charts.Bar | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as it went."""

    name: str
    hosts: tuple[str, ...]
    judged: str
    readings: tuple[ReadRow, ...]


def write_rollouts(book: Book, lake: Lake, known: frozenset[str], head: dict[str, Any]) -> tuple[list[RolloutRow], int]:
    """A page for each of the latest rollouts, their list, the hosts that they name; and how many more there are."""
    rows: list[RolloutRow] = []
    hosts: dict[str, HostRow] = {}
    for record in islice(lake.scan("rollouts", most=AT_ONCE), MOST):
        row = _row(record)
        rows.append(row)
        _of_hosts(hosts, record, row)
        _write(book, record, row, known, head)
    rows.sort(key=lambda row: row.started, reverse=True)
    left_out = lake.counts()["rollouts"] - len(rows)
    book.write("rollouts/index.html", page("rollouts.html", root="../", rows=rows, left_out=left_out, **head))
    book.write("hosts/index.html", page("hosts.html", root="../", hosts=sorted(hosts.values(), key=_name), **head))
    return rows, left_out


def by_policy(rows: list[RolloutRow]) -> dict[str, list[RolloutRow]]:
    """Rollouts by the policy that they were of."""
    found: dict[str, list[RolloutRow]] = defaultdict(list)
    for row in rows:
        found[row.policy].append(row)
    return found


def _name(row: HostRow) -> str:
    return row.name


def _row(record: Rollout) -> RolloutRow:
    end = record.done.end.value if record.done else "open"
    told = end_line(record.done) if record.done else "goes on, or its process ended without a word"
    hosts = len(record.hosts)
    return RolloutRow(record.id, record.policy, record.workload, hosts, record.started, record.ended, end, told)


def _of_hosts(hosts: dict[str, HostRow], record: Rollout, row: RolloutRow) -> None:
    for name in record.hosts:
        if name not in hosts and len(hosts) >= MOST_HOSTS:
            continue
        hosts.setdefault(name, HostRow(name)).rollouts.append(row)
    for audit in record.audits:
        if (host := hosts.get(audit.host)) and not host.log:
            host.log, host.entries = audit.sha256, audit.first + len(audit.entries) - 1


def _write(book: Book, record: Rollout, row: RolloutRow, known: frozenset[str], head: dict[str, Any]) -> None:
    steps = [_step(step) for step in (record.done.steps if record.done else ())]
    drawings = [drawn for metric in record.plan.metrics if (drawn := _course(record, metric.name))]
    data = page(
        "rollout.html", root="../", row=row, record=record, steps=steps, drawings=drawings, known=known, **head
    )  # fmt: skip
    book.write(f"rollouts/{slug(record.id)}.html", data)


def _step(step: StepDone) -> StepRow:
    if step.judgement is None:
        return StepRow(step.step, step.hosts, "loaded, and unloaded", ())
    readings = step.judgement.readings
    some = charts.bars([(seen.low, seen.factor, seen.high, None) for seen in readings if seen.high is not None])
    made = iter(some)
    rows = tuple(_reading(seen, next(made) if seen.high is not None else None) for seen in readings)
    return StepRow(step.step, step.hosts, judgement_line(step.judgement), rows)


def _reading(seen: Reading, bar: charts.Bar | None) -> ReadRow:
    name = f"{seen.metric} on {seen.host}" if seen.host else seen.metric
    return ReadRow(name, reading_text(seen), seen.blocks, bar)


def _course(record: Rollout, metric: str) -> charts.Scatter | None:
    """A metric's values in the order of the windows, under the policy and under the host's own scheduler."""
    windows = record.windows[:MOST_WINDOWS]
    points = [
        (float(number), window.values[metric], window.arm, f"{window.host}, window {number}, {window.arm}")
        for number, window in enumerate(windows, 1)
        if metric in window.values
    ]
    return charts.scatter(points, "windows", metric)

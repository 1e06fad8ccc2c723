# SPDX-License-Identifier: Apache-2.0
"""`schedcp policies`, `runs` and `lake …`: looking at what is known."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.table import Table

from control_plane.output import escape, escape_lines, out, print_json, working
from control_plane.outputs import (
    LakeRebuildOutput,
    LakeSearchOutput,
    LakeShowOutput,
    ListedPolicy,
    PoliciesOutput,
    PolicyRecord,
    RankedPolicyOutput,
    RunsOutput,
    ShownEntry,
)
from policy_lake.errors import InputError, SchedcpError
from policy_lake.ranking import bests
from policy_lake.records import Entry
from policy_lake.scores import Score
from policy_lake.show import for_terminal
from tasks.host.settings import Settings, load_settings

MOST_RECORDS = 4  # of a policy in the table; --json has all
OTHERS = 40  # columns for what a list of runs says beside the ids
READING = "reading the lake"  # its first use after a reboot or an upgrade makes its tables anew


def _lake(settings: Settings) -> Any:
    from tasks.host.lake import open_lake

    return open_lake(settings)


def policies_command(*, as_json: bool) -> None:
    """The library's policies, with knobs and defaults, and what this lake holds of each."""
    from bpf.library import policies

    known, scores = policies(), _bests()
    if as_json:
        listed = (
            ListedPolicy(
                p.id, p.title, p.summary, p.good_for, p.weak_at, p.knobs, p.workloads, p.origin, p.mechanisms,
                tuple(map(_record, scores.get(p.id, ()))),
            )
            for p in known
        )  # fmt: skip
        print_json("policies", PoliciesOutput(tuple(listed)))
        return
    table = _table("policy", "what it does", "good for", "knobs (defaults)", "best here")
    for policy in known:
        knobs = "\n".join(escape(f"{knob.name}={knob.default or '(none)'}") for knob in policy.knobs)
        best = "\n".join(escape(_recorded(score)) for score in scores.get(policy.id, ())[:MOST_RECORDS]) or "-"
        table.add_row(escape(policy.id), escape(policy.title), escape(policy.good_for), knobs, best)
    out().print(table)


def _bests() -> dict[str, tuple[Score, ...]]:
    """What the lake holds of each policy; nothing where there is no lake yet, or it cannot be read, which is said."""
    settings = load_settings()
    if not settings.lake_dir.exists():
        return {}
    try:
        with working(READING):
            return bests(_lake(settings).scores())
    except SchedcpError as error:
        sys.stderr.write(f"schedcp: without what was measured: {for_terminal(error)}\n")
        return {}


def _record(score: Score) -> PolicyRecord:
    return PolicyRecord(score.workload, score.cpus, score.tier, score.ratio, score.outcome, score.id)


def _recorded(score: Score) -> str:
    size = "" if score.tier == "standard" else f", {score.tier}"
    return f"{score.ratio.median:.2f}x {score.workload}, {score.cpus} CPUs{size}"


def runs_command(*, as_json: bool) -> None:
    """Past runs, the latest first."""
    from tasks.run.alive import past_runs

    with working(READING):
        settings = load_settings()
        past = past_runs(_lake(settings), settings)
    if as_json:
        print_json("runs", RunsOutput(tuple(past)))
        return
    if not past:
        out().print("no runs yet: `schedcp tune batch` makes one")
        return
    table, console = _table("run", "status", "best", "workload", "started, UTC"), out()
    # An id is there to be copied: whole, and on one line; what else there is gives way, or is wrapped by the terminal.
    longest = max(len(run.id) for run in past)
    table.columns[0].no_wrap, table.columns[0].min_width = True, longest
    for run in past:
        cells = (run.id, run.status, run.best or "-", run.workload, str(run.started)[:16].replace("T", " "))
        table.add_row(*map(escape, cells))
    console.print(table, width=max(console.width, longest + OTHERS), crop=False)


def search_command(text: str, *, limit: int, as_json: bool) -> None:
    """Policies nearest to the text."""
    with working(READING):
        ranked = _lake(load_settings()).search_policies(text, limit)
    if as_json:
        matches = tuple(RankedPolicyOutput(match.relevance, match.policy) for match in ranked)
        print_json("lake search", LakeSearchOutput(matches))
        return
    table = _table("relevance", "policy", "what it does", "good for")
    for match in ranked:
        policy = match.policy
        table.add_row(f"{match.relevance:.2f}", escape(policy.id), escape(policy.title), escape(policy.good_for))
    out().print(table)


def show_command(id: str, *, as_json: bool) -> None:
    """Everything under one id; InputError when there is nothing."""
    from tasks.run.alive import past_runs

    with working(READING):
        settings = load_settings()
        entries = _lake(settings).get(id)
        if any(entry.kind == "runs" and entry.data["status"] == "running" for entry in entries):
            past_runs(_lake(settings), settings)
            entries = _lake(settings).get(id)
    if not entries:
        raise InputError(f"nothing in the lake has the id '{id}': `schedcp runs` and `schedcp policies` list some")
    if as_json:
        print_json("lake show", LakeShowOutput(tuple(map(_shown, entries))))
        return
    for entry in entries:
        out().print(f"[bold]{escape(entry.kind)}[/] {escape(entry.id)}")
        for name, value in entry.data.items():
            text = value if isinstance(value, str) else json.dumps(value)
            out().print(f"  {escape(name)}: {escape_lines(text)}", soft_wrap=True)


def _shown(entry: Entry) -> ShownEntry:
    from policy_lake.rows import to_record

    return ShownEntry(entry.kind, entry.id, to_record(entry))


def rebuild_command(*, as_json: bool) -> None:
    """Tables anew from the journal."""
    with working("making the lake's tables anew"):
        counts = _lake(load_settings()).rebuild()
    if as_json:
        print_json("lake rebuild", LakeRebuildOutput(counts))
        return
    out().print("rebuilt from the journal: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

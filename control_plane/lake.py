# SPDX-License-Identifier: Apache-2.0
"""`schedcp policies`, `runs` and `lake …`: looking at what is known."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from control_plane.output import escape, escape_lines, out, print_json
from control_plane.outputs import (
    LakeRebuildOutput,
    LakeSearchOutput,
    LakeShowOutput,
    ListedPolicy,
    PoliciesOutput,
    RankedPolicyOutput,
    RunsOutput,
)
from policy_lake.errors import InputError
from tasks.host.settings import Settings, load_settings


def _lake(settings: Settings) -> Any:
    from tasks.host.lake import open_lake

    return open_lake(settings)


def policies_command(*, as_json: bool) -> None:
    """The library's policies, with knobs and defaults."""
    from bpf.library import policies

    known = policies()
    if as_json:
        listed = (
            ListedPolicy(p.id, p.title, p.summary, p.good_for, p.weak_at, p.knobs, p.workloads, p.origin) for p in known
        )
        print_json("policies", PoliciesOutput(tuple(listed)))
        return
    table = _table("policy", "what it does", "good for", "knobs (defaults)")
    for policy in known:
        knobs = "\n".join(escape(f"{knob.name}={knob.default or '(none)'}") for knob in policy.knobs)
        table.add_row(escape(policy.id), escape(policy.title), escape(policy.good_for), knobs)
    out().print(table)


def runs_command(*, as_json: bool) -> None:
    """Past runs, the latest first."""
    past = _lake(load_settings()).runs()
    if as_json:
        print_json("runs", RunsOutput(tuple(past)))
        return
    if not past:
        out().print("no runs yet: `schedcp tune batch` makes one")
        return
    table = _table("run", "workload", "status", "started", "best")
    for run in past:
        table.add_row(*map(escape, (run.id, run.workload, run.status, run.started, run.best or "-")))
    out().print(table)


def search_command(text: str, *, limit: int, as_json: bool) -> None:
    """Policies nearest to the text."""
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
    entries = _lake(load_settings()).get(id)
    if not entries:
        raise InputError(f"nothing in the lake has the id '{id}': `schedcp runs` and `schedcp policies` list some")
    if as_json:
        print_json("lake show", LakeShowOutput(tuple(entries)))
        return
    for entry in entries:
        out().print(f"[bold]{escape(entry.kind)}[/] {escape(entry.id)}")
        for name, value in entry.data.items():
            text = value if isinstance(value, str) else json.dumps(value)
            out().print(f"  {escape(name)}: {escape_lines(text)}", soft_wrap=True)


def rebuild_command(*, as_json: bool) -> None:
    """Tables anew from the journal."""
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

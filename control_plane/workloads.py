# SPDX-License-Identifier: Apache-2.0
"""`schedcp workloads`, `workloads show` and `workloads add`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from benchmarks.workloads import Guard, Workload, tiers_of
from control_plane.output import out, print_json
from tasks.host.settings import load_settings
from tasks.host.workloads import add_workload, find_workload, list_workloads

BAD_INPUT = 2


def list_command(*, as_json: bool) -> int:
    """Every workload; those of the user's that cannot be read are told on stderr, and then the exit status is 2."""
    found, wrong = list_workloads(load_settings())
    if as_json:
        print_json([_told(one) for one in found])
    else:
        for one in found:
            _show(one.id, _rows(one))
    for line in wrong:
        sys.stderr.write(f"schedcp: {line}\n")
    return BAD_INPUT if wrong else 0


def show_command(name: str, *, as_json: bool) -> None:
    """One workload, by id or path, with what it runs."""
    one = find_workload(name, load_settings())
    if as_json:
        print_json(_told(one))
        return
    rows = {"title": one.title, **_rows(one), "command": " ".join([one.program, *one.args])}
    rows |= {f"work.{table}": _numbers(numbers) for table, numbers in one.work.items()}
    rows |= {"CPUs": f"{one.cpus} unless told otherwise", "ended after": f"{one.timeout_s:g} s"}
    if one.trace:
        rows["trace"] = one.trace
    if one.binary:
        rows["binary"] = f"{one.binary.path}, SHA-256 {one.binary.sha256[:16]}…"
    _show(one.id, rows)


def add_command(file: Path, *, as_json: bool) -> None:
    """Add the workload that `file` describes."""
    added = add_workload(file, load_settings())
    if as_json:
        print_json(_told(added))
        return
    out().print(f"added workload '{added.id}': {escape(added.file)}", soft_wrap=True)
    out().print(f"tune it with: schedcp tune {added.id}")


def _told(one: Workload) -> dict[str, Any]:
    return {
        "id": one.id, "title": one.title, "family": one.family, "goal": one.goal, "program": one.program,
        "args": list(one.args), "metric": one.metric, "unit": one.unit, "direction": one.direction,
        "bound": one.bound or None, "cpus": one.cpus, "timeout_s": one.timeout_s, "tiers": list(tiers_of(one)),
        "runs_s": one.runs_s, "work": one.work, "trace": one.trace or None, "file": one.file,
        "guards": [
            {"metric": g.metric, "unit": g.unit, "direction": g.direction, "limit": g.limit} for g in one.guards
        ],
    }  # fmt: skip


def _rows(one: Workload) -> dict[str, str]:
    guards = [f"{guard.metric}, {_better(guard)}, at most {guard.limit:g}x worse" for guard in one.guards]
    tiers = [f"{tier} {one.runs_s[tier]:g} s" for tier in tiers_of(one)] if one.runs_s else ["of one size"]
    return {
        "family": one.family,
        "goal": one.goal,
        "metric": f"{one.metric}, {_better(one)}",
        "bound": f"{one.bound}, the least that arithmetic allows" if one.bound else "none that arithmetic sets",
        "guards": "; ".join(guards) or "none",
        "one run": ", ".join(tiers),
        "file": one.file,
    }


def _better(one: Workload | Guard) -> str:
    return f"{one.unit}, {one.direction} is better"


def _numbers(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={number}" for name, number in numbers.items())


def _show(id: str, rows: Mapping[str, str]) -> None:
    out().print(f"[bold]{id}[/]")
    for name, text in rows.items():
        out().print(f"  {name}: {escape(text)}", soft_wrap=True)

# SPDX-License-Identifier: Apache-2.0
"""`schedcp workloads`, `workloads show` and `workloads add`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.descriptor import Footprint, Kind, numbers_of
from benchmarks.trace.file import read_trace
from benchmarks.trace.footprints import SOURCES, footprints_of
from benchmarks.trace.kinds import kind_of
from benchmarks.workloads import Guard, Workload, sizes_of
from control_plane.output import escape, out, print_json
from control_plane.outputs import WorkloadOutput, WorkloadsOutput
from policy_lake.show import for_terminal, name_shown
from tasks.host.settings import load_settings
from tasks.host.trace_workload import footprints_in
from tasks.host.workloads import add_workload, find_workload, list_workloads

BAD_INPUT = 2
MOST_TOLD = 12  # commands


def list_command(*, as_json: bool) -> int:
    """Every workload; those that cannot be read are named on stderr, and then the exit status is 2."""
    workloads, unreadable = list_workloads(load_settings())
    if as_json:
        print_json("workloads", WorkloadsOutput(tuple(_output(workload) for workload in workloads)))
    else:
        for workload in workloads:
            _show(workload.id, _rows(workload))
    for line in unreadable:
        sys.stderr.write(f"schedcp: {for_terminal(line)}\n")
    return BAD_INPUT if unreadable else 0


def show_command(name: str, *, as_json: bool) -> None:
    """One workload, by id or path, with what it runs."""
    workload = find_workload(name, load_settings())
    if as_json:
        print_json("workloads show", _output(workload, footprints=_footprints(workload)))
        return
    rows = {"title": workload.title, **_rows(workload), "command": " ".join([workload.program, *workload.args])}
    rows |= {f"work.{table}": _numbers(numbers) for table, numbers in workload.work.items()}
    rows |= {"CPUs": f"{workload.cpus} by default", "ended after": f"{workload.timeout_s:g} s"}
    if workload.trace:
        rows["trace"] = workload.trace
        rows["footprints"] = _told(_footprints(workload))
    if workload.binary:
        rows["binary"] = f"{workload.binary.path}, SHA-256 {workload.binary.sha256[:16]}…"
    _show(workload.id, rows)


def add_command(file: Path, footprints: Sequence[str], *, kind: Kind | None, as_json: bool) -> None:
    """Add the workload that `file` describes: of a trace its kind, and working sets of its commands, `NAME=KIB`."""
    added = add_workload(file, load_settings(), kind=kind, footprints_kib=footprints_in(footprints))
    if as_json:
        print_json("workloads add", _output(added, footprints=_footprints(added)))
        return
    out().print(f"added workload '{escape(added.id)}': {escape(added.file)}", soft_wrap=True)
    if added.trace and added.kind:
        told_by = "as was said" if kind else f"{kind_of(read_trace(Path(added.trace)))[1]}; --kind says otherwise"
        out().print(f"kind: {added.kind} ({escape(told_by)})", soft_wrap=True)
        out().print(f"measured by: {escape('; '.join(_measured(added)))}", soft_wrap=True)
    if told := _footprints(added):
        out().print(f"footprints: {escape(_told(told))}", soft_wrap=True)
    out().print(f"tune it with: schedcp tune {escape(added.id)}")


def _footprints(workload: Workload) -> tuple[Footprint, ...]:
    """What the commands of a recorded trace work on; of other programs nothing is known here."""
    if not workload.trace:
        return ()
    default_kib = numbers_of(workload, "tcg", workload.tier).get("footprint_kib", 0)
    return footprints_of(Path(workload.trace), workload.footprints_kib, default_kib)


def _told(footprints: Sequence[Footprint]) -> str:
    """Those that used most, by who says so."""
    told = []
    for source, words in SOURCES.items():
        its = [f"{name_shown(one.name)} {one.kib} KiB" for one in footprints[:MOST_TOLD] if one.source == source]
        told += [f"{', '.join(its)} ({words})"] if its else []
    more = len(footprints) - MOST_TOLD
    return "; ".join([*told, *([f"and {more} commands more (--json)"] if more > 0 else [])])


def _output(workload: Workload, *, footprints: tuple[Footprint, ...] | None = None) -> WorkloadOutput:
    same = {name: getattr(workload, name) for name in WorkloadOutput.__slots__ if hasattr(workload, name)}
    empty_as_null: dict[str, Any] = {name: getattr(workload, name) or None for name in ("bound", "trace", "kind")}
    empty_as_null["footprints"] = footprints
    return WorkloadOutput(**{**same, **empty_as_null, "tiers": sizes_of(workload)})


def _rows(workload: Workload) -> dict[str, str]:
    guards = [f"{guard.metric}, {_better(guard)}, at most {guard.limit:g}x worse" for guard in workload.guards]
    tiers = (
        [f"{tier} {workload.runs_s[tier]:g} s" for tier in sizes_of(workload)] if workload.runs_s else ["of one size"]
    )
    kind = {"kind": workload.kind} if workload.kind else {}
    return {
        "family": workload.family,
        **kind,
        "goal": workload.goal,
        "metric": f"{workload.metric}, {_better(workload)}",
        "bound": f"{workload.bound}, the least that arithmetic allows"
        if workload.bound
        else "none that arithmetic sets",
        "guards": "; ".join(guards) or "none",
        "one run": ", ".join(tiers),
        "file": workload.file,
    }


def _measured(workload: Workload) -> list[str]:
    guards = [f"guard {guard.metric}, {_better(guard)}, at most {guard.limit:g}x worse" for guard in workload.guards]
    return [f"{workload.metric}, {_better(workload)}", *(guards or ["no guards"])]


def _better(measured: Workload | Guard) -> str:
    return f"{measured.unit}, {measured.direction} is better"


def _numbers(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={number}" for name, number in numbers.items())


def _show(id: str, rows: Mapping[str, str]) -> None:
    out().print(f"[bold]{escape(id)}[/]", soft_wrap=True)
    for name, text in rows.items():
        out().print(f"  {escape(name)}: {escape(text)}", soft_wrap=True)

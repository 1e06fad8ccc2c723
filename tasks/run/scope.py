# SPDX-License-Identifier: Apache-2.0
"""A tuning run opened: its definition with the lake and the planner, and its row in the lake from start to end.

Stages hand each other ids; the records themselves are in the lake, so that a stage can be repeated, or run by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

from benchmarks.workloads import Workload
from bpf.library import policies
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.profile import WorkloadProfile
from policy_lake.records import Record, Run
from policy_lake.tuned import Summary
from tasks.host.guest import Shape, prepare_guest
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.planners.protocol import Brief, Planner
from tasks.retrieve import Place
from tasks.run.budget import planner_of
from tasks.run.spec import RunSpec, store_run


@dataclass(frozen=True, slots=True)
class Scope:
    """What the stages of one run share: its definition, the lake, the planner (whose budget is the run's)."""

    run: RunSpec
    lake: Lake
    planner: Planner

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def settings(self) -> Settings:
        return self.run.settings

    @property
    def workload(self) -> Workload:
        return self.run.workload

    @property
    def shape(self) -> Shape:
        return self.run.shape


def open_scope(run: RunSpec) -> Scope:
    """The run with its lake and planner; InputError for a setting of these that is wrong."""
    lake = open_lake(run.settings)
    return Scope(run, lake, planner_of(run, lake))


def host_cpus(run: RunSpec) -> int:
    """The host CPUs that one of the run's guests keeps busy; a guest that will be slow is announced."""
    guest = prepare_guest(run.settings, run.shape)
    guest.announce()
    return guest.host_cpus


def begin_run(scope: Scope) -> None:
    """Keep the run's definition, and put the library's policies and the run's row into the lake.

    A run begun twice keeps its first start; InputError if it was begun with another definition.
    """
    store_run(scope.run)
    known = _row(scope)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    row = known or Run(scope.run_id, scope.workload.id, "running", started, version=version("schedcp"))
    scope.lake.put(*policies(), replace(row, status="running", ended=""))


def end_run(scope: Scope, status: Literal["done", "failed", "cancelled"], *, best: str = "", summary: Summary) -> None:
    """Record how the run ended; `summary` is what `schedcp runs` can show again."""
    row = _row(scope)
    if row is not None:
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        scope.lake.put(replace(row, status=status, ended=ended, best=best, summary=summary))


def place_of(scope: Scope) -> Place:
    """Where the run's policies are to run."""
    return Place(prepare_guest(scope.settings, scope.shape).kernel.release, scope.shape.topology)


def brief_of(scope: Scope) -> Brief:
    """What the run is after, for a planner that is told in words."""
    workload, budget = scope.workload, scope.run.budget
    guards = tuple(
        f"{guard.metric} ({guard.unit}, {guard.direction} is better): at most {guard.limit:g} times worse than EEVDF's"
        for guard in workload.guards
    )
    used = sum(len(score.pairs) for score in scope.lake.scores(workload.id, scope.run_id)) if budget.runs else 0
    return Brief(
        f"{workload.metric} in {workload.unit}, {workload.direction} is better", guards, scope.shape.where,
        scope.run.iterations, max(0, budget.runs - used) if budget.runs else None,
    )  # fmt: skip


def put(scope: Scope, *records: Record) -> None:
    """Records into the run's lake."""
    scope.lake.put(*records)


def profile_of(scope: Scope, profile_id: str) -> WorkloadProfile:
    """A profile from the lake; InputError when there is none of that id."""
    for profile in scope.lake.profiles(scope.workload.id):
        if profile.id == profile_id:
            return profile
    raise InputError(f"no workload profile '{profile_id}' of '{scope.workload.id}' in the lake")


def _row(scope: Scope) -> Run | None:
    return next((run for run in scope.lake.runs(scope.workload.id) if run.id == scope.run_id), None)

# SPDX-License-Identifier: Apache-2.0
"""A tuning run: what its stages share, and its row in the lake from start to end.

Stages hand each other ids; the records themselves are in the lake, so that a stage can be repeated, or run by itself.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from benchmarks.workloads import Workload
from bpf.library import policies
from policy_lake.lake import Lake
from policy_lake.model import InputError, WorkloadProfile
from policy_lake.records import Record, Run
from tasks.host.guest import Shape, prepare_guest, shape_for
from tasks.host.lake import open_lake
from tasks.host.settings import Settings, load_settings
from tasks.host.workloads import find_workload
from tasks.planners.choose import planner
from tasks.planners.endpoint import ModelEndpoint
from tasks.planners.protocol import Planner


@dataclass(frozen=True, slots=True)
class Scope:
    """What the stages of one run share: settings, lake, planner (its budget is the run's), workload."""

    run_id: str
    settings: Settings
    lake: Lake
    planner: Planner
    workload: Workload
    shape: Shape


def host_cpus(scope: Scope) -> int:
    """The host CPUs that one of the run's guests keeps busy."""
    return prepare_guest(scope.settings, scope.shape).host_cpus


def new_run_id(workload: str) -> str:
    """The workload's id, the time in UTC, and four random digits."""
    return f"{workload}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@lru_cache(maxsize=8)
def open_run(run_id: str, workload: str) -> Scope:
    """A run's scope, the same for each of its stages in this process. InputError on a wrong setting or workload."""
    settings = load_settings()
    wanted = find_workload(workload, settings)
    return Scope(
        run_id=run_id,
        settings=settings,
        lake=open_lake(settings),
        planner=planner(_endpoint(settings)),
        workload=wanted,
        shape=shape_for(settings, wanted),
    )


def begin_run(scope: Scope) -> None:
    """Put the library's policies and the run's row into the lake. A run begun twice keeps its first start."""
    known = _row(scope)
    row = known or Run(scope.run_id, scope.workload.id, "running", datetime.now(UTC).isoformat(timespec="seconds"))
    scope.lake.put(*policies(), replace(row, status="running", ended=""))


def end_run(
    scope: Scope, status: Literal["done", "failed", "cancelled"], *, best: str = "", summary: dict[str, Any]
) -> None:
    """The run's last word; `summary` is what `schedcp runs` can show again."""
    row = _row(scope)
    if row is not None:
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        scope.lake.put(replace(row, status=status, ended=ended, best=best, summary=summary))


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


def _endpoint(settings: Settings) -> ModelEndpoint | None:
    if not settings.model and not settings.model_url:
        return None
    if not settings.model or not settings.model_url:
        missing = "SCHEDCP_MODEL" if not settings.model else "SCHEDCP_MODEL_URL"
        raise InputError(f"{missing} is not set: a model needs a name and a URL")
    return ModelEndpoint(
        url=settings.model_url,
        model=settings.model,
        api_key=settings.model_api_key.get_secret_value(),
        price_in_usd_per_mtok=settings.model_price_in_usd_per_mtok,
        price_out_usd_per_mtok=settings.model_price_out_usd_per_mtok,
        max_tokens_total=settings.model_max_tokens,
        max_cost_usd=settings.model_max_cost_usd,
        timeout_s=settings.model_timeout_s,
    )

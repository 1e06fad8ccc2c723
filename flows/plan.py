# SPDX-License-Identifier: Apache-2.0
"""The second stage: the next candidates of a run, from its workload profile and what the lake knows."""

from __future__ import annotations

from prefect import flow

from tasks.fleet.retry import retryable
from tasks.plan import plan as plan_candidates
from tasks.run.scope import brief_of, open_scope, place_of, profile_of
from tasks.run.spec import RunSpec, run_of

plan_task = retryable(plan_candidates, name="plan-candidates")


@flow(name="plan", flow_run_name="plan {run} {iteration}")
async def plan(run: RunSpec | str, profile_id: str, iteration: int = 1) -> int:
    """How many candidates were planned; 0 when the planner sees nothing that is worth a measurement."""
    scope = open_scope(run_of(run))
    profile, limit = profile_of(scope, profile_id), scope.run.per_iteration
    candidates = plan_task(
        profile, scope.lake, scope.planner, run_id=scope.run_id, iteration=iteration, limit=limit,
        place=place_of(scope), brief=brief_of(scope), top_rung=scope.settings.model_rung,
    )  # fmt: skip
    return len(candidates)

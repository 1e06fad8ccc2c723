# SPDX-License-Identifier: Apache-2.0
"""The second stage: the next candidates of a run, from its workload profile and what the lake knows."""

from __future__ import annotations

from prefect import flow

from flows.numbers import PerIteration
from policy_lake.limits import PER_ITERATION
from tasks.fleet.retry import retryable
from tasks.plan import plan as plan_candidates
from tasks.run.scope import open_run, profile_of

plan_task = retryable(plan_candidates, name="plan-candidates")


@flow(name="plan", flow_run_name="plan {workload} {iteration}")
async def plan(
    workload: str, run_id: str, profile_id: str, iteration: int = 1, limit: PerIteration = PER_ITERATION.preset
) -> int:
    """How many candidates were planned; 0 when the planner sees nothing that is worth a measurement."""
    scope = open_run(run_id, workload)
    profile = profile_of(scope, profile_id)
    candidates = plan_task(profile, scope.lake, scope.planner, run_id=run_id, iteration=iteration, limit=limit)
    return len(candidates)

# SPDX-License-Identifier: Apache-2.0
"""The first stage: a workload's profile, from one run of it in a guest, and what two equal runs of it differ by."""

from __future__ import annotations

from prefect import flow

from flows.numbers import Seed
from policy_lake.limits import SEED
from tasks.fleet.artifacts import artifact_key, publish_markdown
from tasks.fleet.retry import retryable
from tasks.observe import observe as observe_workload
from tasks.run.report import profile_page
from tasks.run.scope import new_run_id, open_run, put
from tasks.run.spans import Span
from tasks.trial.floor import floor_for

observe_task = retryable(observe_workload, name="observe-workload")
floor_task = retryable(floor_for, name="measure-floor")
put_task = retryable(put, name="put-profile")


@flow(name="observe", flow_run_name="observe {workload}")
async def observe(workload: str, seed: Seed = SEED.preset, run_id: str | None = None) -> tuple[str, list[Span]]:
    """The id of the workload's new profile in the lake, and when the guest ran."""
    scope = open_run(run_id or new_run_id("observe"), workload)
    profile, span = observe_task(scope.workload, scope.settings, scope.shape, seed=seed)
    put_task(scope, profile)
    floor_task(scope.workload, scope.settings, scope.shape, scope.lake)
    key = artifact_key("workload-profile", scope.workload.id)
    await publish_markdown(key, profile_page(profile), f"What {scope.workload.id} does to the scheduler")
    return profile.id, [span]

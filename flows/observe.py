# SPDX-License-Identifier: Apache-2.0
"""The first stage: a workload's profile, from one run of it in a guest."""

from __future__ import annotations

from prefect import flow

from tasks.fleet.artifacts import artifact_key, publish_markdown
from tasks.fleet.retry import retryable
from tasks.host.spans import Span
from tasks.observe import observe as observe_workload
from tasks.run.report import profile_page
from tasks.run.scope import open_scope
from tasks.run.spec import RunSpec, run_of

observe_task = retryable(observe_workload, name="observe-workload")


@flow(name="observe", flow_run_name="observe {run}")
async def observe(run: RunSpec | str) -> tuple[str, list[Span]]:
    """The id of the workload's new profile in the lake, and when the guest ran."""
    scope = open_scope(run_of(run))
    profile, spans = observe_task(scope.workload, scope.settings, scope.shape, scope.lake, seed=scope.run.seed)
    key = artifact_key("workload-profile", scope.workload.id)
    await publish_markdown(key, profile_page(profile), f"What {scope.workload.id} does to the scheduler")
    return profile.id, spans

# SPDX-License-Identifier: Apache-2.0
"""The third stage: an iteration's candidates built, verified and measured, side by side on Ray."""

from __future__ import annotations

from prefect import flow

from tasks.fleet import cluster
from tasks.fleet.artifacts import artifact_key, publish_table
from tasks.fleet.retry import retryable
from tasks.run.batch import Batch, run_observed_batch
from tasks.run.report import table_rows
from tasks.run.scope import host_cpus, open_scope
from tasks.run.spec import RunSpec, run_of
from tasks.run.tally import tally

batch_task = retryable(run_observed_batch, name="try-candidates")


@flow(name="execute", flow_run_name="execute {run} {iteration}")
async def execute(run: RunSpec | str, iteration: int = 1) -> Batch:
    """What became of those candidates of which the lake cannot tell, and when guests ran."""
    scope = open_scope(run_of(run))
    with cluster.running(scope.settings, host_cpus=host_cpus(scope.run)) as ray_cluster:
        batch = batch_task(scope, ray_cluster, iteration)
    rows = table_rows(tally(scope, batch.failures, iteration=iteration))
    key = artifact_key("candidates", scope.workload.id)
    await publish_table(key, rows, f"Candidates of iteration {iteration} of {scope.run_id}")
    return batch

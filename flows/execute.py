# SPDX-License-Identifier: Apache-2.0
"""The third stage: an iteration's candidates built, verified and measured, side by side on Ray."""

from __future__ import annotations

from prefect import flow

from flows.numbers import Pairs, Seed
from policy_lake.limits import PAIRS, SEED
from tasks.fleet import cluster
from tasks.fleet.artifacts import artifact_key, publish_table
from tasks.fleet.retry import retryable
from tasks.run.batch import Batch, run_observed_batch
from tasks.run.report import table_rows
from tasks.run.scope import host_cpus, open_run
from tasks.run.tally import tally

batch_task = retryable(run_observed_batch, name="try-candidates")


@flow(name="execute", flow_run_name="execute {workload} {iteration}")
async def execute(
    workload: str, run_id: str, iteration: int = 1, pairs: Pairs = PAIRS.preset, seed: Seed = SEED.preset
) -> Batch:
    """What became of those candidates of which the lake cannot tell, and when guests ran."""
    scope = open_run(run_id, workload)
    with cluster.running(scope.settings, host_cpus=host_cpus(scope)) as ray_cluster:
        batch = batch_task(scope, ray_cluster, iteration, pairs=pairs, seed=seed)
    rows = table_rows(tally(scope, batch.failures, iteration=iteration))
    key = artifact_key("candidates", scope.workload.id)
    await publish_table(key, rows, f"Candidates of iteration {iteration} of {run_id}")
    return batch

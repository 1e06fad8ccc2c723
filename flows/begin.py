# SPDX-License-Identifier: Apache-2.0
"""Before the stages: a run defined and stored, so that each stage can be started by itself with the run's id."""

from __future__ import annotations

from prefect import flow

from tasks.fleet.retry import retryable
from tasks.host.settings import load_settings
from tasks.run.scope import begin_run, open_scope
from tasks.run.spec import define_run

begin_task = retryable(begin_run, name="begin-run")


@flow(name="begin", flow_run_name="begin {workload}")
async def begin(
    workload: str, iterations: int = 2, per_iteration: int = 3, pairs: int = 5, seed: int = 1, run_id: str | None = None
) -> str:
    """The id of the new run, which holds for `observe`, `plan`, `execute` and `learn`."""
    run = define_run(
        workload, load_settings(), iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed,
        run_id=run_id,
    )  # fmt: skip
    begin_task(open_scope(run))
    return run.run_id

# SPDX-License-Identifier: Apache-2.0
"""The whole loop: observe once, then plan, execute and learn, and a report at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from prefect import flow

from flows.execute import execute
from flows.learn import learn
from flows.numbers import Iterations, Pairs, PerIteration, Seed
from flows.observe import observe
from flows.plan import plan
from policy_lake.limits import ITERATIONS, PAIRS, PER_ITERATION, SEED
from tasks.fleet import cluster
from tasks.fleet.artifacts import artifact_key, publish_markdown
from tasks.fleet.retry import retryable
from tasks.run.conclude import conclude
from tasks.run.illustrate import illustrate
from tasks.run.scope import Scope, begin_run, end_run, host_cpus, new_run_id, open_run
from tasks.run.spans import Span

begin_task = retryable(begin_run, name="begin-run")
illustrate_task = retryable(illustrate, name="draw-pictures")
conclude_task = retryable(conclude, name="conclude-run")


@flow(name="tune", flow_run_name="tune {workload}")
async def tune(
    workload: str,
    *,
    iterations: Iterations = ITERATIONS.preset,
    per_iteration: PerIteration = PER_ITERATION.preset,
    pairs: Pairs = PAIRS.preset,
    seed: Seed = SEED.preset,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Tune a workload, and return what `schedcp tune --json` prints; the run's row in the lake says how it ended."""
    started = time.time()
    name = run_id or new_run_id(Path(workload).stem)
    scope = open_run(name, workload)
    # Ray takes as long to start as the observed run takes: both at once.
    with cluster.running(scope.settings, host_cpus=host_cpus(scope)):
        begin_task(scope)
        try:
            return await _loop(scope, workload, started, iterations, (per_iteration, pairs, seed))
        except Exception as error:
            end_run(scope, "failed", summary={"error": str(error)})
            raise
        except BaseException:  # Ctrl-C, a signal, or the flow's own cancellation
            end_run(scope, "cancelled", summary={})
            raise


async def _loop(
    scope: Scope, workload: str, started: float, iterations: int, sizes: tuple[int, int, int]
) -> dict[str, Any]:
    per_iteration, pairs, seed = sizes
    token: Path | None = None
    failures: dict[str, str] = {}
    spans: list[Span] = []
    profile_id, seen = await observe(workload, seed, scope.run_id)
    spans += seen
    for iteration in range(1, iterations + 1):
        if not await plan(workload, scope.run_id, profile_id, iteration, per_iteration):
            break
        batch = await execute(workload, scope.run_id, iteration, pairs, seed)
        spans += batch.spans
        failures |= batch.failures
        token = await learn(workload, scope.run_id, iteration)
    pictures = illustrate_task(scope)
    ending = conclude_task(scope, profile_id, failures, token=token, spans=spans, started=started, pictures=pictures)
    await publish_markdown(artifact_key("report", scope.workload.id), ending.markdown, f"Report of {scope.run_id}")
    return ending.result

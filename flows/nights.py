# SPDX-License-Identifier: Apache-2.0
"""A night: workloads and all recorded services tuned one after another, and somebody told what became of each."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prefect import flow

from flows.numbers import Iterations, Pairs, PerIteration, Seed
from flows.tune import tune_run
from policy_lake.errors import InfraError
from policy_lake.limits import ITERATIONS, PAIRS, PER_ITERATION, SEED
from tasks.fleet import cluster
from tasks.host.settings import load_settings
from tasks.nights.plan import news, night_id, workloads_of
from tasks.nights.tell import tell_failure, tell_night
from tasks.run.spec import define_run


@flow(name="nights", flow_run_name="nights")
async def nights(
    workloads: Sequence[str],
    *,
    services: bool = True,
    iterations: Iterations = ITERATIONS.preset,
    per_iteration: PerIteration = PER_ITERATION.preset,
    pairs: Pairs = PAIRS.preset,
    seed: Seed = SEED.preset,
) -> dict[str, str]:
    """What news each workload is, by its id. One that fails is told of, and the next has its turn."""
    settings, heard, failed = load_settings(), dict[str, str](), 0
    with cluster.running(settings, host_cpus=1):
        for workload in workloads_of(workloads, services, settings):
            try:
                run = define_run(
                    workload, settings, iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed,
                    run_id=night_id(workload),
                )  # fmt: skip
                await tune_run(run, time.time())
                change = news(run.workload.id, settings)
            except Exception as error:
                tell_failure(workload, str(error))
                heard[workload], failed = f"failure: {error}", failed + 1
                continue
            tell_night(change)
            heard[workload] = change.kind
    if failed == len(heard):
        raise InfraError(f"no night came to anything; the first: {next(iter(heard.values()))}")
    return heard

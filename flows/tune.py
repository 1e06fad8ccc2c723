# SPDX-License-Identifier: Apache-2.0
"""The whole loop: observe once, then plan, execute and learn, and a report at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from flows.begin import begin_task
from flows.execute import execute
from flows.learn import learn
from flows.numbers import Iterations, Pairs, PerIteration, Seed
from flows.observe import observe
from flows.plan import plan
from policy_lake.limits import ITERATIONS, PAIRS, PER_ITERATION, SEED
from policy_lake.tuned import NoSummary, RunError, Stop, TuneResult
from tasks.ablate import ablate
from tasks.fleet import cluster
from tasks.fleet.artifacts import artifact_key, publish_markdown
from tasks.fleet.lost import lost
from tasks.fleet.retry import retryable
from tasks.host.settings import load_settings
from tasks.host.spans import Phases, Span
from tasks.run.alive import alive
from tasks.run.conclude import conclude
from tasks.run.illustrate import illustrate
from tasks.run.scope import Scope, end_run, host_cpus, open_scope
from tasks.run.spec import RunSpec, define_run
from tasks.run.stop import nothing_planned, used_up
from tasks.run.tally import tally
from tasks.run.warm import beside, import_plots

ablate_task = retryable(ablate, name="ablate-best")
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
) -> TuneResult:
    """What a deployment starts: `tune_run` of a run that is defined here, by the settings of the environment."""
    run = define_run(
        workload, load_settings(), iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed,
        run_id=run_id,
    )  # fmt: skip
    return await loop(run, time.time())


@flow(name="tune", flow_run_name="tune {run}")
async def tune_run(run: RunSpec, began: float, spans: Sequence[Span] = ()) -> TuneResult:
    """Tune as the run's definition says, and return what it came to.

    `began` is when its time starts, `spans` are when guests ran for it before.
    """
    return await loop(run, began, spans)


async def loop(run: RunSpec, began: float, spans: Sequence[Span] = ()) -> TuneResult:
    """Begin the run, go through its stages, end it; the run's row in the lake says how it ended."""
    scope = open_scope(run)
    # Ray takes as long to start as the observed run takes: both at once.
    with cluster.running(scope.settings, host_cpus=host_cpus(run)), alive(run):
        begin_task(scope)
        try:
            return await _stages(scope, Phases(began), spans)
        except Exception as error:
            end_run(scope, "failed", summary=RunError(str(error)))
            raise
        except BaseException:  # Ctrl-C, a signal, the flow's own cancellation, or what the run cannot do without
            if reason := lost():
                end_run(scope, "failed", summary=RunError(reason))
            else:
                end_run(scope, "cancelled", summary=NoSummary())
            raise


async def _stages(scope: Scope, phases: Phases, before: Sequence[Span]) -> TuneResult:
    run = scope.run
    token: Path | None = None
    refusal = ""
    failures: dict[str, str] = {}
    stopped: Stop = "iterations"
    with phases.phase("observe"):
        profile_id, observed = await observe(run)
    spans: list[Span] = [*before, *observed]
    for iteration in range(1, run.iterations + 1):
        with phases.phase("plan"):
            planned = await plan(run, profile_id, iteration)
        if not planned:
            stopped = nothing_planned(tally(scope, failures))
            break
        beside(import_plots)  # seconds, while this process waits for guests
        with phases.phase("execute"):
            batch = await execute(run, iteration)
        spans += batch.spans
        failures |= batch.failures
        with phases.phase("learn"):
            token, refusal, confirmed = await learn(run, iteration)
        spans += confirmed
        if over := used_up(run.budget, tally(scope, failures), spans, phases.elapsed_s):
            stopped = over
            break
    with phases.phase("why"):
        paid = ablate_task(scope, on_span=spans.append)
    with phases.phase("pictures"):
        pictures = illustrate_task(scope, on_span=spans.append)
    ending = conclude_task(
        scope,
        profile_id,
        failures,
        token=token,
        refusal=refusal,
        spans=spans,
        phases=phases,
        pictures=pictures,
        stopped=stopped,
        paid=paid,
    )
    await publish_markdown(artifact_key("report", scope.workload.id), ending.markdown, f"Report of {scope.run_id}")
    return ending.result

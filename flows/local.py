# SPDX-License-Identifier: Apache-2.0
"""The whole loop from a command line: Prefect's server and Ray start side by side, and go when it ends.

Prefect is imported only here and below, after its environment is set.
"""

from __future__ import annotations

import asyncio
import time

from policy_lake.doing import doing
from policy_lake.errors import InfraError
from policy_lake.tuned import TuneResult
from tasks.fleet import cluster
from tasks.fleet.crashed import crash_dead
from tasks.fleet.environment import prepare_environment
from tasks.fleet.lost import forget, lost
from tasks.fleet.prefect_server import Server, drain, serving
from tasks.fleet.reach import check_reachable
from tasks.run.ahead import Ahead
from tasks.run.alive import WHY, is_dead
from tasks.run.scope import host_cpus
from tasks.run.spec import RunSpec
from tasks.run.warm import import_trial


def run_tune(run: RunSpec, began: float | None = None) -> TuneResult:
    """Tune as the run's definition says, and return what it came to.

    `began` is when the run's time starts, in seconds since the epoch (default: now): for a command, with its process.
    Signals are left to the caller (tasks/host/interrupts.py). Whatever ends it, all that it started is ended with it.
    """
    prepare_environment()  # while there is one thread
    doing("starting Prefect's server and Ray, and observing %s beside that", run.workload.id)
    check_reachable()
    began = time.time() if began is None else began
    ahead = Ahead(run)
    try:
        own = cluster.running(run.settings, host_cpus=host_cpus(run), warm=import_trial)
        with own as ray_cluster, serving() as server:
            try:
                return tune_with(server, run, began, ahead)
            finally:
                doing("ending Ray and Prefect's server")
                ray_cluster.stop()
    finally:
        ahead.abandon()


def tune_with(server: Server | None, run: RunSpec, began: float, ahead: Ahead | None = None) -> TuneResult:
    """The same on a Prefect server that is starting or there (None: the one at PREFECT_API_URL)."""
    from prefect import tags
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.tune import tune_run

    forget()
    doing("waiting for Prefect's server")
    await_server(server)
    if ahead is not None:
        doing("waiting for the guest that runs ahead")
        ahead.stop()
    spans = ahead.spans if ahead is not None else []
    with temporary_settings({PREFECT_API_URL: server.url} if server else {}), tags(run.run_id):
        try:
            crash_dead(lambda other: is_dead(other, run.settings), why=WHY)
            result = asyncio.run(tune_run(run, began, spans))
        except BaseException:  # as it ends, a request that is refused may take the place of the interrupt
            if reason := lost():
                raise InfraError(reason) from None
            raise
        finally:
            if not lost():
                drain()
        return result


def await_server(server: Server | None) -> None:
    """Wait until the API answers; InfraError when it does not."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    if server is not None:
        server.ready()
        return
    url = get_current_settings().api.url
    try:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
    except httpx.HTTPError as failure:
        error = failure
    if error is not None:
        raise InfraError(f"PREFECT_API_URL={url}: no Prefect server answers there ({type(error).__name__})")

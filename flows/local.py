# SPDX-License-Identifier: Apache-2.0
"""The whole loop from a command line: Prefect's server and Ray start side by side, and go when it ends.

Prefect is imported only here and below, after its environment is set.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from policy_lake.model import InfraError, InputError
from tasks.fleet import cluster
from tasks.fleet.prefect_server import Server, drain, serving
from tasks.host.guest import prepare_guest, shape_for
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload


def run_tune(
    workload: str,
    *,
    iterations: int = 2,
    per_iteration: int = 3,
    pairs: int = 5,
    seed: int = 1,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Tune a workload and return what `schedcp tune --json` prints; it leaves signals to its caller (`interruptible`).

    InputError before anything is started. Whatever ends it, all that it started is ended with it.
    """
    settings = load_settings()
    shape = shape_for(settings, find_workload(workload, settings))
    limits = (("iterations", iterations, 1, 64), ("per iteration", per_iteration, 1, 64), ("pairs", pairs, 2, 200))
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise InputError(f"{name}: {value} is not from {least} to {most}")
    host_cpus = prepare_guest(settings, shape).host_cpus
    with cluster.running(settings, host_cpus=host_cpus), serving() as server:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from flows.tune import tune

        _await_server(server)
        with temporary_settings({PREFECT_API_URL: server.url} if server else {}):
            try:
                return asyncio.run(
                    tune(
                        workload, iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed,
                        run_id=run_id,
                    )
                )  # fmt: skip
            finally:
                drain()


def _await_server(server: Server | None) -> None:
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


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end what runs now, once; a second one must not disturb the clearing away.

    asyncio would only mark its task as cancelled and let a guest run on to its end.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

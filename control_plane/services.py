# SPDX-License-Identifier: Apache-2.0
"""What the resident process keeps from one run to the next: a Prefect server, Ray, and all that is slow to import."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from flows.local import await_server, tune_with
from policy_lake.tuned import TuneResult
from tasks.fleet import cluster
from tasks.fleet.environment import joins_a_cluster
from tasks.fleet.prefect_server import Server, serving
from tasks.fleet.reach import check_reachable
from tasks.host.guest import prepare_guest
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.run.scope import host_cpus
from tasks.run.spec import RunSpec
from tasks.run.warm import import_plots, import_trial


class Services:
    """A Prefect server and a Ray cluster for the length of a `with`, for one run after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: Server | None = None
        self._slots = 0
        self._all, self._ray = ExitStack(), ExitStack()

    def __enter__(self) -> Self:
        try:
            check_reachable()
            self._connect(self._settings, prepare_guest(self._settings).host_cpus)
            self._server = self._all.enter_context(serving())
            _import()
            open_lake(self._settings).search_policies("warm", 1)  # tables, and the words' vectors
            await_server(self._server)
            self._cluster.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.close()
        self._all.close()

    def tune(self, run: RunSpec, began: float) -> TuneResult:
        """The result of the run, as `flows.local.run_tune` returns it."""
        if self._server is not None:
            self._server.revive()
        cpus = host_cpus(run)
        if not joins_a_cluster() and run.settings.slots(cpus) != self._slots:
            self._connect(run.settings, cpus)  # guests by the wall clock must not share a CPU
        return tune_with(self._server, run, began)

    def _connect(self, settings: Settings, cpus: int) -> None:
        self._ray.close()
        self._cluster = self._ray.enter_context(cluster.running(settings, host_cpus=cpus, warm=import_trial))
        self._slots = settings.slots(cpus)


def _import() -> None:
    from flows import tune  # noqa: F401

    import_plots()

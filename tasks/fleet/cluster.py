# SPDX-License-Identifier: Apache-2.0
"""Ray for the length of a run: the cluster at RAY_ADDRESS, or one of our own on the loopback interface."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError
from policy_lake.secrets import SECRETS
from policy_lake.show import logger
from tasks.fleet.environment import joins_a_cluster, prepare_environment
from tasks.fleet.fan_out import MICROVM
from tasks.host.settings import Settings

REACH_S = 10.0
LONGEST_TMPDIR = 14  # a socket's path may have 107 bytes, of which Ray needs 63 and we 29
SIGACTION_BYTES = 512  # struct sigaction has 152 on x86-64
OBJECT_STORE_BYTES = 100 * 2**20  # Ray's floor is 75 MiB, its default 30 % of memory; ours carries small records
SCRATCH = "schedcp-ray-"
log = logger(__name__)


class Cluster:
    """A connection that is made in the background; `ready` waits for it, `end` stops only what it started."""

    def __init__(self, settings: Settings, *, host_cpus: int, warm: Callable[[], None] | None = None) -> None:
        prepare_environment()  # not in the thread below
        self.slots = settings.slots(host_cpus)  # until the cluster says how many it has
        self._warm = warm
        self._deadline_s = settings.cluster_deadline_s
        # A directory of its own, so that no other `ray.init` finds this cluster by chance.
        place = _short_directory()
        _sweep(Path(place))
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-", dir=place))
        self._begin()

    def _begin(self) -> None:
        self._connected, self._over = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        # One thread from start to end: Ray's processes die with the thread that started them (PR_SET_PDEATHSIG).
        self._thread = threading.Thread(target=self._live, name="ray", daemon=True)
        self._thread.start()

    def ready(self) -> None:
        """Wait until guests can be sent out; InfraError in one line when that fails or takes too long.

        Called again after a failure it tries anew: a start that fails on a busy machine may well succeed later.
        """
        if self._connected.is_set() and self._error is not None:
            self._thread.join(self._deadline_s)
            self._begin()
        if not self._connected.wait(self._deadline_s):
            raise InfraError(f"Ray did not start within {self._deadline_s:g} s")
        if isinstance(self._error, InfraError):
            raise InfraError(str(self._error))
        if self._error is not None:
            lines = str(self._error).strip().splitlines() or [""]
            raise InfraError(f"Ray did not start: {type(self._error).__name__}: {lines[0]}") from self._error

    def stop(self) -> None:
        """Begin to end it, and do not wait."""
        self._over.set()

    def end(self) -> None:
        """End it, and wait until nothing of it is left."""
        self.stop()
        if not self._connected.is_set():
            log.info("waiting for Ray to start, since only then it can be ended")
        self._thread.join(self._deadline_s)
        for _ in range(20):
            shutil.rmtree(self._scratch, ignore_errors=True)
            if not self._scratch.exists():
                return
            time.sleep(0.1)  # a process of Ray that notices the end a little later may still be writing

    def _live(self) -> None:
        owned = not ("ray" in sys.modules and sys.modules["ray"].is_initialized())
        try:
            if owned:
                with _sigterm_kept():
                    _connect(self.slots, self._scratch)
            import ray

            if owned and self._warm is not None and not joins_a_cluster():
                self._warming = _warm_workers(self._warm, self.slots)
            self.slots = int(ray.cluster_resources().get(MICROVM, 0))
            if self.slots < 1:
                raise InfraError(f"the Ray cluster has no '{MICROVM}' resource: start its nodes with --resources")
        except BaseException as error:
            self._error = error
        self._connected.set()
        if self._error is None:
            self._over.wait()
        if owned and "ray" in sys.modules:
            sys.modules["ray"].shutdown()


def _short_directory() -> str:
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_TMPDIR else "/tmp"


def _sweep(place: Path) -> None:
    """Remove what a run that was SIGKILLed could not: scratch directories whose process is gone."""
    for left in place.glob(f"{SCRATCH}*-*"):
        pid = left.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)


def _connect(slots: int, scratch: Path) -> None:
    if joins_a_cluster():
        _join(os.environ["RAY_ADDRESS"])
    else:
        _start(slots, scratch)


def _join(address: str) -> None:
    _reach(address)
    import ray

    _keep_quiet()
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def _start(slots: int, scratch: Path) -> None:
    import ray

    _keep_quiet()
    _trim()
    _keep_secrets()
    ray.init(
        address="local", num_cpus=slots, resources={MICROVM: slots}, _temp_dir=str(scratch),
        object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False, log_to_driver=False,
        logging_level=logging.ERROR,
    )  # fmt: skip


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Put SIGTERM's handler back: Ray 2.60 replaces it, below Python, by one that dumps stacks and aborts."""
    libc, before = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(SIGACTION_BYTES)
    libc.sigaction(signal.SIGTERM, None, before)
    try:
        yield
    finally:
        libc.sigaction(signal.SIGTERM, before, None)


def _keep_quiet() -> None:
    from ray._private import worker

    # Ray 2.60 prints each retry of a task on this process's stdout, log_to_driver or not, and stdout may carry JSON.
    worker._worker_logs_enabled = False


def _warm_workers(warm: Callable[[], None], slots: int) -> list[Any]:
    import ray

    task = ray.remote(warm).options(name="warm", num_cpus=0, resources={MICROVM: 1})
    return [task.remote() for _ in range(slots)]


def _trim() -> None:
    """Start nothing that a cluster of one host has no use for: 4 s of CPU time at each start, with Ray 2.60.

    The two agents stay as Ray starts them: in its minimal form they outlive a cluster that was killed.
    """
    from ray._private.node import Node

    def nothing(node: Any, **_: Any) -> None:
        """No autoscaler where nothing can be added, no log monitor as `log_to_driver` is off, no dashboard."""

    def no_api_server(node: Any, **_: Any) -> None:
        node._webui_url = ""

    Node.start_monitor = Node.start_log_monitor = nothing
    Node.start_api_server = no_api_server


def _keep_secrets() -> None:
    """Start Ray's processes, and so its workers, without our keys: they get this process's environment (Ray 2.60)."""
    from ray._private import services

    start = services.start_ray_process
    if getattr(start, "keeps_secrets", False):
        return

    def started(*args: Any, env_updates: dict[str, str] | None = None, **more: Any) -> Any:
        blank = {name: "" for name in SECRETS if name in os.environ}  # as good as unset, which it cannot do
        return start(*args, env_updates={**(env_updates or {}), **blank}, **more)

    started.keeps_secrets = True  # type: ignore[attr-defined]
    services.start_ray_process = started


def _reach(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        if address == "auto":
            return
        raise InfraError(f"RAY_ADDRESS={address}: not a HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise InfraError(f"RAY_ADDRESS={address}: no Ray cluster can be reached there ({error})") from None


_current: Cluster | None = None


@contextmanager
def running(settings: Settings, *, host_cpus: int, warm: Callable[[], None] | None = None) -> Iterator[Cluster]:
    """The run's cluster, being connected while the caller goes on; inside another `running` it is the same one.

    `warm` is called in each worker of a cluster of our own, before its first task.
    """
    global _current  # noqa: PLW0603 - Ray itself has one connection per process
    if _current is not None:
        yield _current
        return
    _current = Cluster(settings, host_cpus=host_cpus, warm=warm)
    try:
        yield _current
    finally:
        cluster, _current = _current, None
        cluster.end()

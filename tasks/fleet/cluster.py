# SPDX-License-Identifier: Apache-2.0
"""Ray for the length of a run: the cluster at RAY_ADDRESS, or one of our own on the loopback interface."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.show import logger
from tasks.fleet.environment import joins_a_cluster, prepare_environment
from tasks.fleet.fan_out import MICROVM
from tasks.fleet.ray_start import join, kill_processes, sigterm_kept, start, warm_workers
from tasks.fleet.reach import check_ray
from tasks.host.interrupts import within
from tasks.host.places import SCRATCH
from tasks.host.settings import Settings

ONE_START = 0.5  # of the deadline: a start that hangs is ended, and there is time for another
AGAIN_S, ABANDON_S, LOOK_S = 0.5, 1.0, 0.5
ASK_EVERY_S, SILENT_S = 3.0, 12.0
COUNT_EVERY_S = 2.0
LONGEST_TMPDIR = 14  # a socket's path may have 107 bytes, of which Ray needs 63 and we 29
log = logger(__name__)


class Cluster:
    """A connection that is made in the background; `ready` waits for it, `end` stops only what it started.

    A start that fails is repeated within its deadline. One that dies is told by `lost`, and begun anew by `ready`.
    """

    def __init__(self, settings: Settings, *, host_cpus: int, warm: Callable[[], None] | None = None) -> None:
        prepare_environment()  # not in the thread below
        self.slots = settings.slots(host_cpus)  # until the cluster says how many it has
        self._warm = warm
        self._deadline_s = settings.cluster_deadline_s
        # A directory of its own, so that no other `ray.init` finds this cluster by chance.
        sweep()
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-", dir=_short_directory()))
        self._over = threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._connected = threading.Event()
        self._error: BaseException | None = None
        self._lost, self._told = "", False
        self._ends = time.monotonic() + self._deadline_s
        # One thread from start to end: Ray's processes die with the thread that started them (PR_SET_PDEATHSIG).
        self._thread = threading.Thread(target=self._live, name="ray", daemon=True)
        self._thread.start()

    def ready(self) -> None:
        """Wait until guests can be sent out; InfraError in one line when that fails or takes too long.

        Called again after a failure, or when the cluster was lost, it tries anew: that may well succeed later.
        """
        # A failure that nobody has heard of is told before another attempt is made, however soon it came.
        if self._connected.is_set() and (self._told or self._lost):
            self._thread.join(self._deadline_s)
            self._begin()
        if not self._connected.wait(self._deadline_s):
            if not joins_a_cluster():
                kill_processes(self._scratch)
            raise InfraError(f"Ray did not start within {self._deadline_s:g} s")
        self._told = self._error is not None
        if isinstance(self._error, SchedcpError):  # told already; a new one, for it may be raised again and again
            raise (InputError if isinstance(self._error, InputError) else InfraError)(str(self._error))
        if self._error is not None:
            raise InfraError(f"Ray did not start: {_line(self._error)}") from self._error

    def lost(self) -> str:
        """Why there is no cluster any more; empty while there is one."""
        return self._lost

    def stop(self) -> None:
        """Begin to end it, and do not wait."""
        self._over.set()

    def end(self) -> None:
        """End it, and wait until nothing of it is left; one that is only starting is not waited for."""
        self.stop()
        abandoned = time.monotonic() + ABANDON_S
        while not self._connected.is_set() and self._thread.is_alive() and time.monotonic() < abandoned:
            kill_processes(self._scratch)  # what waits for them gives up
            self._thread.join(0.1)
        if self._connected.is_set():
            self._thread.join(self._deadline_s)
        self._clear()

    def _clear(self) -> None:
        for _ in range(20):
            shutil.rmtree(self._scratch, ignore_errors=True)
            if not self._scratch.exists():
                return
            time.sleep(0.1)  # a process of Ray that notices the end a little later may still be writing

    def _live(self) -> None:
        owned = not ("ray" in sys.modules and sys.modules["ray"].is_initialized())
        try:
            if owned:
                self._connect()
            import ray

            if owned and self._warm is not None and not joins_a_cluster():
                self._warming = warm_workers(self._warm, self.slots)
            slots = int(ray.cluster_resources().get(MICROVM, 0))
            if slots < 1:
                raise InfraError(f"the Ray cluster has no '{MICROVM}' resource: start its nodes with --resources")
            self.slots = slots
        except BaseException as error:  # a SystemExit of Ray's, too
            self._error = error
            if owned and not joins_a_cluster():
                # Before anybody is told: this thread, with which they would die, goes on a while.
                kill_processes(self._scratch)
        self._connected.set()
        if self._error is None:
            self._watch(owned)
        if owned and "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        if self._over.is_set():
            self._clear()

    def _connect(self) -> None:
        """Connect or start; a start that fails or hangs, as on a busy machine, is repeated until the deadline."""
        if joins_a_cluster():
            join(os.environ["RAY_ADDRESS"])
            return
        import ray

        while True:
            started = threading.Event()
            within(self._deadline_s * ONE_START, lambda started=started: self._break_off(started))  # type: ignore[misc]
            try:
                if self._over.is_set():
                    raise InfraError("Ray is not needed any more")
                with sigterm_kept():
                    start(self.slots, self._scratch)
                return
            except UnicodeError as error:  # it would be no other the next time
                kill_processes(self._scratch)
                ray.shutdown()
                reason = "the command line or the current directory, which Ray keeps, is not UTF-8"
                raise InfraError(f"Ray did not start: {reason}") from error
            except Exception as error:
                kill_processes(self._scratch)
                ray.shutdown()
                if self._over.is_set() or time.monotonic() > self._ends:
                    raise
                log.warning("Ray did not start (%s) and is started again", _line(error))
                time.sleep(AGAIN_S)
            finally:
                started.set()

    def _break_off(self, started: threading.Event) -> None:
        if not started.is_set():
            kill_processes(self._scratch)

    def _watch(self, owned: bool) -> None:
        """Until it is to end, or is lost: then what is left of a cluster of our own is killed."""
        address = os.environ["RAY_ADDRESS"] if joins_a_cluster() else ""
        look = _answering(address) if address else _running_processes()
        while not self._over.wait(LOOK_S):
            if owned and (reason := look()):
                log.warning("%s", reason)
                self._lost = reason
                if not address:
                    kill_processes(self._scratch)
                return


def _short_directory() -> str:
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_TMPDIR else "/tmp"


def sweep(place: Path | None = None) -> None:
    """Remove what a run that was SIGKILLed could not: scratch directories whose process is gone."""
    for left in (place or Path(_short_directory())).glob(f"{SCRATCH}*-*"):
        pid = left.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)


def _running_processes() -> Callable[[], str]:
    """What says which of the processes that this one started for Ray has ended, if one has."""
    from ray._private import worker

    groups = worker._global_node.all_processes if worker._global_node else {}
    started = [(str(kind), info.process) for kind, group in groups.items() for info in group]

    def look() -> str:
        for kind, process in started:
            if (status := process.poll()) is not None:
                return f"Ray's {kind} ended ({f'signal {-status}' if status < 0 else f'status {status}'})"
        return ""

    return look


def _answering(address: str) -> Callable[[], str]:
    """What says that a cluster of somebody else's has not answered for long."""
    answered = [time.monotonic()] * 2

    def look() -> str:
        now = time.monotonic()
        if now - answered[1] < ASK_EVERY_S:
            return ""
        answered[1] = now
        try:
            check_ray(address)
            answered[0] = now
        except InfraError as error:
            return str(error) if now - answered[0] > SILENT_S else ""
        return ""

    return look


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def slots_now() -> int:
    """How many guest slots the cluster that this process is connected to has at this moment: nodes come and go."""
    now = time.monotonic()
    if now >= _counted[1]:
        import ray

        _counted[:] = [ray.cluster_resources().get(MICROVM, 0), now + COUNT_EVERY_S]
    return int(_counted[0])


_counted = [0.0, 0.0]  # slots, and until when that holds
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

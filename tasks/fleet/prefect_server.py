# SPDX-License-Identifier: Apache-2.0
"""The Prefect API for the length of a run: the shared one at PREFECT_API_URL, or a server of our own on loopback.

Prefect's own ephemeral server is not used: it starts only when a flow does, so nothing can start beside it; Ctrl-C in a
terminal ends it before the flow could report; it outlives a killed parent; and clients import the whole server (5 s).
It keeps the same database, so `prefect server start` later shows the same runs.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from policy_lake.errors import InfraError
from policy_lake.secrets import child_environment
from policy_lake.show import logger
from tasks.fleet.environment import prepare_environment
from tasks.fleet.lost import lose
from tasks.fleet.reach import check_prefect
from tasks.fleet.refuse import refuse

START_S = 180.0  # of which it needs six, by itself on a host; whether it has ended is seen at once
STARTS, STARTS_S = 3, 120.0  # as often within so many seconds: whoever kills it more often means it
STOP_S, ABANDON_S = 10.0, 0.5
ASK_EVERY_S, SILENT_S = 3.0, 12.0
DRAIN_S = 5.0
PR_SET_PDEATHSIG = 1
# What Prefect sets for its own ephemeral server (prefect/server/api/server.py, 3.8.8): no UI, no scheduler.
SERVER = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
log = logger(__name__)


class Server:
    """A Prefect API server as a child process, in a session of its own; `ready` waits for it, `end` stops it.

    One that is killed is started again. The socket that it listens on is ours: while there is no server, requests wait
    in it, and Prefect's client repeats those that were under way.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - not a pipe, which nobody would read while a run goes on
        self._over = threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._answered, self._lost = False, ""
        self._refused_enough = threading.Event()
        self._process = self._start()
        # A thread for the whole of its life: a server dies with the thread that started it.
        self._keeper = threading.Thread(target=self._keep, name="prefect-server", daemon=True)
        self._keeper.start()

    def _start(self) -> subprocess.Popen[bytes]:
        fd = self._listener.fileno()
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(fd), str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True,
            pass_fds=(fd,), env=child_environment(**SERVER),
        )  # fmt: skip

    def _keep(self) -> None:
        deaths: list[float] = []
        while True:
            status = self._process.wait()
            if self._over.is_set():
                return
            now = time.monotonic()
            deaths = [*(then for then in deaths if now - then < STARTS_S), now]
            # A status at its start is a reason of its own, which another start would not change.
            if (status > 0 and not self._answered) or len(deaths) > STARTS:
                break
            log.warning("the Prefect server ended (%s) and is started again", _ending(status))
            self._process = self._start()
            if self._over.is_set():  # whoever ended the one before did not see this one
                self._process.kill()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines() or ["nothing on stderr"]
        when = "in the middle of the run" if self._answered else "at its start"
        self._lost = f"the Prefect server ended {when} ({_ending(status)}): {lines[-1]}"
        if self._answered:
            lose(self._lost)
        refuse(self._listener, self._refused_enough)

    def revive(self) -> None:
        """Begin anew if it was lost, on the same socket: what ended one run need not end the next."""
        if not self._lost:
            return
        log.warning("%s; it is started again for this run", self._lost)
        self._refused_enough.set()
        self._keeper.join()
        self._said.seek(0)
        self._said.truncate()
        self._begin()

    def ready(self) -> None:
        """Wait until it answers; InfraError with its last line of stderr when it ends first or takes too long."""
        ends = time.monotonic() + START_S
        while time.monotonic() < ends:
            if self._lost:
                raise InfraError(self._lost)
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                    if answer.status == 200:
                        self._answered = True
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise InfraError(f"the Prefect server did not answer within {START_S:g} s")

    def end(self, limit_s: float = STOP_S) -> None:
        """Stop it, and kill it if that takes longer."""
        self._over.set()
        self._refused_enough.set()
        self._process.terminate()
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._keeper.join(STOP_S)
        self._listener.close()
        self._said.close()


@contextmanager
def serving() -> Iterator[Server | None]:
    """The run's API server, starting while the caller goes on; None when a shared one is configured."""
    prepare_environment()
    if url := os.environ.get("PREFECT_API_URL"):
        with _watched(url):
            yield None
        return
    server = Server()
    limit_s = ABANDON_S
    try:
        yield server
        limit_s = STOP_S
    finally:
        server.end(limit_s)


@contextmanager
def _watched(url: str) -> Iterator[None]:
    """A shared server is asked again and again; one that has not answered for long is one that the run has lost."""
    over = threading.Event()

    def watch() -> None:
        answered = time.monotonic()
        while not over.wait(ASK_EVERY_S):
            try:
                check_prefect(url)
                answered = time.monotonic()
            except InfraError as error:
                if time.monotonic() - answered > SILENT_S and not over.is_set():
                    lose(str(error))
                    return

    threading.Thread(target=watch, name="prefect-server", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def drain() -> None:
    """Send what Prefect still has queued: its events are what task runs are recorded from. Before the server ends."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=DRAIN_S)


def _serve(fd: int, parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return  # it died before the line above
    import uvicorn

    gc.disable()  # a tenth of the four seconds that the import takes, and nothing of it ever becomes garbage
    from prefect.server.api.server import create_app

    gc.freeze()
    gc.enable()
    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))

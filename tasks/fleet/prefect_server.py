# SPDX-License-Identifier: Apache-2.0
"""The Prefect API for the length of a run: the shared one at PREFECT_API_URL, or a server of our own on loopback.

Prefect's own ephemeral server is not used: it starts only when a flow does, so nothing can start beside it; Ctrl-C in a
terminal ends it before the flow could report; it outlives a killed parent; and clients import the whole server (5 s).
It keeps the same database, so `prefect server start` later shows the same runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from policy_lake.errors import InfraError
from policy_lake.secrets import child_environment
from tasks.fleet.environment import prepare_environment

START_S = 90.0
STOP_S = 10.0
DRAIN_S = 5.0
PR_SET_PDEATHSIG = 1
# What Prefect sets for its own ephemeral server (prefect/server/api/server.py, 3.8.8): no UI, no scheduler.
SERVER = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class Server:
    """A Prefect API server as a child process, in a session of its own; `ready` waits for it, `end` stops it."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.port), str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
            env=child_environment(**SERVER),
        )  # fmt: skip

    def ready(self) -> None:
        """Wait until it answers; InfraError with its last line of stderr when it ends first or takes too long."""
        ends = time.monotonic() + START_S
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                assert self._process.stderr
                lines = self._process.stderr.read().decode(errors="replace").strip().splitlines() or [
                    "nothing on stderr"
                ]
                raise InfraError(f"the Prefect server ended at its start: {lines[-1]}")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise InfraError(f"the Prefect server did not answer within {START_S:g} s")

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving() -> Iterator[Server | None]:
    """The run's API server, starting while the caller goes on; None when a shared one is configured."""
    prepare_environment()
    if os.environ.get("PREFECT_API_URL"):
        yield None
        return
    server = Server()
    try:
        yield server
    finally:
        server.end()


def drain() -> None:
    """Send what Prefect still has queued: its events are what task runs are recorded from. Before the server ends."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=DRAIN_S)


def _serve(port: int, parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return  # it died before the line above
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app", factory=True, host="127.0.0.1", port=port, log_level="error",
        lifespan="on",
    )  # fmt: skip


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))

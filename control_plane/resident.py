# SPDX-License-Identifier: Apache-2.0
"""The resident process of `schedcp up`: a warm Prefect server, Ray and Python, and one tune after the other in them.

Started as a module of its own; says on stdout, in one JSON line, that it is ready or why it is not. Its main thread
runs the tunes, since signals and Prefect want that; a second thread answers whoever connects.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from control_plane.progress import LOGGERS as SHOWN
from control_plane.services import Services
from control_plane.wire import Message, differences, identity, messages, peer_is_us, send, socket_path
from policy_lake.doing import is_doing
from policy_lake.errors import InfraError, SchedcpError
from policy_lake.model import to_json
from tasks.fleet.environment import prepare_environment
from tasks.fleet.lost import lost
from tasks.host.interrupts import interruptible
from tasks.host.settings import load_settings
from tasks.run.spec import RunSpec, run_in

ASK_S = 10.0  # for a client's first message
END_S = 40.0
RESTART = "run `schedcp down && schedcp up`"
ABOVE = (__package__ or "").removesuffix("control_plane")  # `schedcp.` in a wheel
LOGGERS = tuple(logging.getLogger(f"{ABOVE}{name}") for name in SHOWN)
log = logging.getLogger("schedcp.resident")


class TakenError(InfraError):
    """Another process is this data directory's resident one, or is about to be."""


@dataclass(slots=True)
class State:
    """What a second thread may say of the process while the first one is busy."""

    identity: dict[str, str]
    started: float = field(default_factory=time.time)
    runs: int = 0
    busy: str = ""
    starting: bool = True
    ending: bool = False
    waiting: queue.SimpleQueue[tuple[socket.socket, RunSpec, float] | None] = field(default_factory=queue.SimpleQueue)


class ClientLines(logging.Handler):
    """Progress lines to the client of the run that is going on."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(logging.INFO)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # a client that is gone is noticed by the thread that reads from it
            send(self._connection, "line", text=record.getMessage(), doing=is_doing(record))


def serve() -> None:
    """Start everything, say so, and run what arrives until `down`, SIGTERM or SIGINT."""
    settings, own = load_settings(), identity()
    prepare_environment()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    path = socket_path(settings, create=True)
    # Held for the life of the process: whoever gets it may remove the socket of one that was killed.
    lock = path.with_suffix(".lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TakenError("another one is starting, or runs") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    state = State(own)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _end(state))
    with Services(settings) as services:
        state.starting = False
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(16)
            threading.Thread(target=_answer, args=(listener, state), name="answer", daemon=True).start()
            _say(ready=True, pid=os.getpid())
            try:
                _work(state, services)
            finally:
                path.unlink(missing_ok=True)


def _work(state: State, services: Services) -> None:
    while not state.ending and (request := state.waiting.get()):
        connection, run, began = request
        with connection:
            if _gone(connection):
                continue
            state.busy = run.run_id
            with contextlib.suppress(OSError):
                send(connection, "begins")
            try:
                _run(connection, run, began, services, state)
            finally:
                state.busy, state.runs = "", state.runs + 1
    _interrupt_waiting(state)


def _interrupt_waiting(state: State) -> None:
    """Runs that waited when the end came are told that, as the one that ran is."""
    while not state.waiting.empty():
        if request := state.waiting.get():
            with request[0] as connection, contextlib.suppress(OSError):
                send(connection, "interrupted")


def _run(connection: socket.socket, run: RunSpec, began: float, services: Services, state: State) -> None:
    """One tune with its lines and its end to the client; a hang-up or a message of the client's interrupts it."""
    lines = ClientLines(connection)
    for logger in LOGGERS:
        logger.setLevel(logging.INFO)
        logger.addHandler(lines)
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(connection, over), name="watch", daemon=True)
    answer: Message
    try:
        with interruptible():
            watcher.start()
            answer = {"kind": "result", "result": to_json(services.tune(run, began))}
    except SchedcpError as error:
        answer = {"kind": "error", "message": str(error), "exit_status": error.exit_status}
    except (KeyboardInterrupt, SystemExit) as ending:
        answer = {"kind": "interrupted"}
        if reason := lost():
            answer = {"kind": "error", "message": reason, "exit_status": InfraError.exit_status}
        state.ending |= isinstance(ending, SystemExit)
    except Exception as error:
        log.exception("run %s", run.run_id)
        answer = {"kind": "error", "message": f"{type(error).__name__}: {error}", "exit_status": InfraError.exit_status}
    finally:
        over.set()
        for logger in LOGGERS:
            logger.removeHandler(lines)
    with contextlib.suppress(OSError):
        send(connection, **answer)
    watcher.join()


def _watch(connection: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        if select.select([connection], [], [], 0.2)[0]:
            if not over.is_set():
                # To that thread: one that waits in a lock wakes for its own signals alone.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return


def _answer(listener: socket.socket, state: State) -> None:
    while True:
        connection, _ = listener.accept()
        try:
            if not peer_is_us(connection) or not _take(connection, state):
                connection.close()
        except (OSError, ValueError, KeyError, TypeError, SchedcpError) as error:
            with contextlib.suppress(OSError):
                send(connection, "refused", reason=f"the resident process did not understand: {error}")
            connection.close()


def _take(connection: socket.socket, state: State) -> bool:
    """Answer a client's first message; whether its connection is kept, for a run."""
    connection.settimeout(ASK_S)
    message = next(messages(connection), None)
    connection.settimeout(None)
    kind = message["kind"] if message else ""
    if kind == "status":
        send(connection, "status", pid=os.getpid(), started=state.started, runs=state.runs, busy=state.busy)
    elif kind == "down":
        send(connection, "ending", pid=os.getpid())
        _end(state)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    elif kind == "tune" and message is not None:
        if differ := differences(message["identity"], state.identity):
            send(connection, "refused", reason=f"`schedcp up` was started with another {', '.join(differ)}: {RESTART}")
            return False
        run = run_in(json.dumps(message["run"]).encode())
        key = {"model_api_key": SecretStr(str(message["key"]))}
        if state.busy:
            send(connection, "line", text=f"waiting for run {state.busy} to end")
        run = replace(run, settings=run.settings.model_copy(update=key))
        state.waiting.put((connection, run, float(message["began"])))
        return True
    return False


def _gone(connection: socket.socket) -> bool:
    """Whether the client has hung up, or cancelled, while it waited."""
    return bool(select.select([connection], [], [], 0)[0])


def _end(state: State) -> None:
    """End as soon as may be: a start is broken off; where an import swallows that, `_work` returns at once."""
    state.ending = True
    state.waiting.put(None)
    # Whatever does not let go (an import, Ray's own end) is left behind: children die with this process.
    last = threading.Timer(END_S, os._exit, (1,))
    last.daemon = True
    last.start()
    if state.starting:
        state.starting = False
        raise SystemExit(128 + signal.SIGTERM)


def _say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.close(quiet)


if __name__ == "__main__":
    try:
        serve()
    except SchedcpError as failure:
        _say(ready=False, taken=isinstance(failure, TakenError), error=str(failure), exit_status=failure.exit_status)
        sys.exit(failure.exit_status)

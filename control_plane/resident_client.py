# SPDX-License-Identifier: Apache-2.0
"""`schedcp up` and `down`, and a run handed to the resident process that `up` started."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from control_plane.wire import LONGEST_MESSAGE, Message, identity, messages, peer_is_us, send, socket_path
from policy_lake.doing import MARK
from policy_lake.errors import InfraError, InputError
from policy_lake.model import from_json, to_json
from policy_lake.secrets import MODEL_KEY
from policy_lake.show import logger
from policy_lake.tuned import TuneResult
from tasks.fleet.cluster import sweep
from tasks.host.interrupts import interruptible
from tasks.host.settings import Settings
from tasks.run.spec import RunSpec

START_S, END_S, CANCEL_S, ABANDON_S = 120.0, 120.0, 60.0, 1.5
ASK_EVERY_S = 0.2
log = logger(__name__)


def up(settings: Settings) -> tuple[int, bool]:
    """The resident process's id, and whether it is new; InfraError with its reason when it cannot start.

    One that somebody else is starting is waited for.
    """
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        if (known := status(settings)) is not None:
            return int(known["pid"]), False
        pid, answer = _start(settings)
        if answer.get("ready"):
            return pid, True
        if not answer.get("taken"):
            raise InfraError(f"the resident process did not start: {answer.get('error', 'it gave no reason')}")
        while time.monotonic() < ends and _starting(settings) and status(settings) is None:
            time.sleep(ASK_EVERY_S)
    raise InfraError(f"the resident process that another `schedcp up` started is not ready after {START_S:g} s")


def _start(settings: Settings) -> tuple[int, Message]:
    """Start one; its process id and what it says first."""
    child = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.resident"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True, cwd="/", env=_environment(settings),
    )  # fmt: skip
    try:
        with interruptible():
            return child.pid, _first_line(child)
    except BaseException:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(ABANDON_S)
        child.kill()  # what it started dies with it
        child.wait()
        sweep()
        raise


def down(settings: Settings) -> int | None:
    """End the resident process with all that it keeps, a run included; its id, or None if there was none."""
    with _connected(settings) as connection:
        if connection is None:
            pid = _starting(settings)
            if pid is None:
                return None
            os.kill(pid, signal.SIGTERM)
        else:
            send(connection, "down")
            answer = next(messages(connection), None)
            if answer is None:
                raise InfraError("the resident process did not answer")
            pid = int(answer["pid"])
    ends = time.monotonic() + END_S
    while _runs(pid):
        if time.monotonic() > ends:
            raise InfraError(f"the resident process {pid} does not end: `kill -9 {pid}` ends it with all it started")
        time.sleep(0.05)
    return pid


def status(settings: Settings) -> Message | None:
    """What the resident process says of itself; None if there is none."""
    with _connected(settings) as connection:
        if connection is None:
            return None
        send(connection, "status")
        return next(messages(connection), None)


def tune_at_resident(run: RunSpec, began: float) -> TuneResult | None:
    """The run's result from the resident process; None if there is none. Its lines become this process's own.

    A signal here cancels the run there, and is raised again once that has cleared away. SchedcpError as the run's own;
    InfraError when the process is another version's, or dies.
    """
    with _connected(run.settings) as connection:
        if connection is None:
            return None
        begun: list[bool] = []
        with interruptible():
            try:
                key = run.settings.model_api_key.get_secret_value()
                send(connection, "tune", identity=identity(), run=to_json(run), began=began, key=key)
                return _result(connection, begun)
            except (KeyboardInterrupt, SystemExit):
                if begun:  # one that waits for another run has nothing to clear away: hanging up is enough
                    _cancel(connection)
                raise


def _result(connection: socket.socket, begun: list[bool]) -> TuneResult:
    for message in messages(connection):
        if message["kind"] == "line":
            log.info("%s", message["text"], extra={MARK: bool(message.get("doing"))})
        elif message["kind"] == "begins":
            begun.append(True)
        elif message["kind"] == "result":
            return _read(message.get("result"))
        elif message["kind"] == "error":
            kind = InputError if message["exit_status"] == InputError.exit_status else InfraError
            raise kind(message["message"])
        elif message["kind"] == "interrupted":
            raise InfraError("the run was ended by `schedcp down`")
        else:
            raise InfraError(str(message.get("reason", message["kind"])))
    raise InfraError("the resident process ended in mid-run: `schedcp up` starts it again")


def _read(result: Any) -> TuneResult:
    try:
        return from_json(TuneResult, result)
    except ValueError as error:
        raise InfraError("the resident process: a result that is none of ours") from error


def _cancel(connection: socket.socket) -> None:
    """Cancel, and wait until the run is cleared away; what still arrives is read away without being parsed."""
    with contextlib.suppress(OSError):
        send(connection, "cancel")
        connection.settimeout(CANCEL_S)
        while connection.recv(LONGEST_MESSAGE):
            pass


@contextlib.contextmanager
def _connected(settings: Settings) -> Iterator[socket.socket | None]:
    path = socket_path(settings)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):  # never started, or killed: the next `up` clears that away
            yield None
            return
        if not peer_is_us(connection):
            raise InfraError(f"{path}: another user's process listens there")
        try:
            yield connection
        except (BrokenPipeError, ConnectionResetError):
            raise InfraError("the resident process ended: `schedcp up` starts it again") from None


def _first_line(child: subprocess.Popen[bytes]) -> Message:
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], START_S)[0]:
        raise InfraError(f"the resident process did not start within {START_S:g} s")
    try:
        return dict(json.loads(child.stdout.readline() or b"{}"))
    except ValueError:
        return {}


def _environment(settings: Settings) -> dict[str, str]:
    """This command's own, without the model's key: each run brings its own."""
    places = {"SCHEDCP_DATA_DIR": str(settings.data_dir), "SCHEDCP_CACHE_DIR": str(settings.cache_dir)}
    return {name: value for name, value in os.environ.items() if name.upper() != MODEL_KEY} | places


def _starting(settings: Settings) -> int | None:
    """The id of one that has no socket yet: the lock is held for the length of its life."""
    path = socket_path(settings).with_suffix(".lock")
    with contextlib.suppress(FileNotFoundError), path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = lock.read()
            return int(text) if text.isdigit() else None
    return None


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False

# SPDX-License-Identifier: Apache-2.0
"""Prefect's server as a child process, and a shared one, as fakes; tests/e2e runs real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import urllib.error
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.fleet import prefect_server
from tasks.fleet.prefect_server import Server, serving


class Process:
    """A child that is what the test says: `status` is its end, `stubborn` that it does not hear a SIGTERM."""

    def __init__(self, status: int | None = None, words: bytes = b"", *, stubborn: bool = False) -> None:
        self.status, self.words, self.stubborn = status, words, stubborn
        self.did: list[str] = []
        self._gone = threading.Event()
        if status is not None:
            self._gone.set()

    def terminate(self) -> None:
        self.did.append("terminate")
        if not self.stubborn:
            self.end(-15)

    def kill(self) -> None:
        self.did.append("kill")
        self.end(-9)

    def end(self, status: int) -> None:
        self.status = status
        self._gone.set()

    def wait(self, timeout: float | None = None) -> int:
        if not self._gone.wait(0.01 if timeout is not None and self.stubborn else timeout):
            raise subprocess.TimeoutExpired("server", timeout or 0)
        assert self.status is not None
        return self.status


class Opened:
    def __init__(self, status: int) -> None:
        self.status = status

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a server whose processes are these, by turns, as are its answers; `lost` is what the run was told."""
    seen = SimpleNamespace(started=[], answers=[], lost=[])
    made: list[Server] = []

    def make(processes: list[Process], *answers: int | Exception) -> Server:
        waiting, queue = list(processes), list(answers)

        def popen(words: list[str], **options: Any) -> Process:
            seen.started.append((words, options))
            process = waiting.pop(0)
            options["stderr"].write(process.words)
            return process

        def urlopen(url: str, timeout: float) -> Opened:
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            seen.answers.append(url)
            if isinstance(answer, Exception):
                raise answer
            return Opened(answer)

        monkeypatch.setattr(prefect_server.subprocess, "Popen", popen)
        monkeypatch.setattr(prefect_server.urllib.request, "urlopen", urlopen)
        monkeypatch.setattr(prefect_server, "lose", seen.lost.append)
        made.append(Server())
        return made[-1]

    make.seen = seen  # type: ignore[attr-defined]
    yield make
    for server in made:
        server.end()


def lost(server: Server) -> Server:
    ends = time.monotonic() + 5
    while not server._lost:
        assert time.monotonic() < ends
        time.sleep(0.01)
    return server


def test_what_is_asked_of_one_that_ended_for_good_is_refused_at_once(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = [Process() for _ in range(4)]
    server = start(processes, 200)
    server.ready()
    place = server._listener.getsockname()
    waiting = socket.create_connection(place, timeout=5)  # accepted by no server
    waiting.sendall(b"POST /api/flow_runs/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{ }")
    for process in processes:
        process.end(-9)
    with waiting:
        assert waiting.recv(64).startswith(b"HTTP/1.0 410 Gone\r\n")
    for request in (
        b"nonsense\r\n\r\n",
        b"PATCH / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(place, timeout=5) as last:
            last.sendall(request)
            last.shutdown(socket.SHUT_WR)
            answer = last.recv(64)
    assert answer.startswith(b"HTTP/1.0 410 Gone\r\n")


REFUSED = urllib.error.URLError("refused")


def test_a_server_is_ready_when_it_answers_with_200(start: Any) -> None:
    server = start([Process()], REFUSED, TimeoutError("slow"), 503, 200)
    server.ready()
    assert start.seen.answers == [f"{server.url}/health"] * 4 and server.url.startswith("http://127.0.0.1:")
    ((words, options),) = start.seen.started
    assert server._keeper.daemon, "an exit does not wait for it"
    assert words[1:3] == ["-m", "tasks.fleet.prefect_server"] and options["pass_fds"] == (int(words[3]),)
    assert options["start_new_session"] is True and "OPENAI_API_KEY" not in options["env"]


@pytest.mark.parametrize(
    ("words", "last"),
    [(b"one\nport taken\n", "port taken"), (b"", "nothing on stderr"), (b"\xff", "\N{REPLACEMENT CHARACTER}")],
)
def test_a_server_that_ends_at_its_start_is_told_with_its_last_words(start: Any, words: bytes, last: str) -> None:
    with pytest.raises(InfraError, match=rf"ended at its start \(status 1\): {last}$"):
        start([Process(1, words)], REFUSED).ready()
    assert len(start.seen.started) == 1 and start.seen.lost == []


def test_a_server_that_is_killed_is_started_again_and_not_without_end(start: Any) -> None:
    server = start([Process(-9), Process(-9), Process()], REFUSED, 200)
    server.ready()
    assert len(start.seen.started) == 3 and start.seen.lost == []
    with pytest.raises(InfraError, match=r"ended at its start \(signal 9\)"):
        start([Process(-9) for _ in range(4)], REFUSED).ready()


def test_one_that_ends_at_its_start_without_a_reason_is_started_again(start: Any) -> None:
    server = start([Process(0), Process()], REFUSED, 200)
    server.ready()
    assert len(start.seen.started) == 2


@pytest.mark.parametrize(("deaths", "lost"), [((0, 40, 80, 119.9), 1), ((0, 40, 80, 120), 0), ((0, 1, 2), 0)])
def test_one_that_dies_more_than_three_times_in_two_minutes_is_meant_to(
    start: Any, monkeypatch: pytest.MonkeyPatch, deaths: tuple[float, ...], lost: int
) -> None:
    at, all_told = iter(deaths), threading.Event()

    def monotonic() -> float:
        now = next(at)
        if now == deaths[-1]:
            all_told.set()
        return now

    clock = SimpleNamespace(monotonic=monotonic, sleep=time.sleep)
    monkeypatch.setattr(prefect_server, "time", clock)
    processes = [Process() for _ in range(len(deaths) + 1)]
    server = start(processes, 200)
    server._answered = True
    for process in processes[:-1]:
        process.end(-9)
    assert all_told.wait(5)
    ends = time.monotonic() + 5
    while len(start.seen.started) + len(start.seen.lost) < len(deaths) + 1 and time.monotonic() < ends:
        time.sleep(0.01)
    assert (len(start.seen.started), len(start.seen.lost)) == (len(deaths) + 1 - lost, lost)


@pytest.mark.parametrize(("status", "told"), [(-15, "signal 15"), (-1, "signal 1"), (0, "status 0"), (3, "status 3")])
def test_how_a_server_ended_is_a_signal_or_a_status(status: int, told: str) -> None:
    assert prefect_server._ending(status) == told


def test_a_server_that_ends_for_good_in_the_middle_of_a_run_ends_the_run(start: Any) -> None:
    processes = [Process() for _ in range(4)]
    server = start(processes, 200)
    server.ready()
    for process in processes:
        process.end(1)
    lost(server)
    assert start.seen.lost == ["the Prefect server ended in the middle of the run (status 1): nothing on stderr"]


def test_one_that_ended_for_good_is_begun_anew_for_another_run_at_the_same_address(start: Any) -> None:
    processes = [Process(words=b"no room\n") for _ in range(4)]
    server = start([*processes, Process(1, b"again\n"), Process()], 200)
    url = server.url
    server.ready()
    server.revive()
    assert len(start.seen.started) == 1, "there is nothing to revive"
    for process in processes:
        process.end(1)
    with pytest.raises(InfraError, match="no room"):
        lost(server).ready()
    server.revive()
    with pytest.raises(InfraError, match=r"ended at its start .*: again$"):
        lost(server).ready()
    server.revive()
    server.ready()
    assert server.url == url and len(start.seen.started) == 6 and len(start.seen.lost) == 1


def test_a_server_that_never_answers_is_given_up(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 80))
    server = start([Process()], 503)
    monkeypatch.setattr(prefect_server.time, "monotonic", lambda: next(clock))
    with pytest.raises(InfraError, match="did not answer within 180 s"):
        server.ready()
    assert len(start.seen.answers) == 2
    monkeypatch.undo()


def test_a_server_is_asked_to_end_and_then_made_to(start: Any) -> None:
    polite, stubborn = Process(), Process(stubborn=True)
    start([polite], 200).end()
    start([stubborn], 200).end()
    assert polite.did[0] == "terminate" and "kill" not in polite.did and stubborn.did[:2] == ["terminate", "kill"]


def test_a_shared_server_is_used_where_one_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[float] = []
    monkeypatch.setattr(prefect_server, "prepare_environment", lambda: None)
    monkeypatch.setattr(prefect_server, "Server", lambda: SimpleNamespace(end=ended.append))
    monkeypatch.setenv("PREFECT_API_URL", "http://shared/api")
    with serving() as shared:
        assert shared is None
    monkeypatch.delenv("PREFECT_API_URL")
    with pytest.raises(KeyError), serving() as own:
        assert own is not None and ended == []
        raise KeyError
    assert ended == [0.5], "abandoned: nobody waits for its last words"


@pytest.mark.parametrize("same", [True, False])
def test_a_child_whose_parent_is_gone_serves_nothing(same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    served: list[dict[str, Any]] = []
    monkeypatch.setattr(
        prefect_server.ctypes, "CDLL", lambda _: SimpleNamespace(prctl=lambda *args: served.append({"pr": args}))
    )
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: served.append({"sockets": sockets}))
    monkeypatch.setattr(prefect_server.os, "getppid", lambda: 7)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        prefect_server._serve(os.dup(listener.fileno()), 7 if same else 8)
    assert served[0] == {"pr": (1, 9)} and len(served) == 1 + same
    if same:
        (given,) = served[1]["sockets"]
        assert given.getsockname() == ("127.0.0.1", port)
        given.close()

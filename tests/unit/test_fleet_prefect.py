# SPDX-License-Identifier: Apache-2.0
"""Prefect's server, artifacts and retries, as far as no server is needed; tests/e2e runs real ones."""

from __future__ import annotations

import io
import subprocess
import urllib.error
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from policy_lake.errors import InfraError
from tasks.fleet import prefect_server
from tasks.fleet.artifacts import Progress, artifact_key
from tasks.fleet.prefect_server import Server, serving
from tasks.fleet.retry import retryable


class Process:
    """A child that is what the test says: `status` is its end, `stubborn` that it does not hear a SIGTERM."""

    def __init__(self, status: int | None = None, words: bytes = b"", *, stubborn: bool = False) -> None:
        self.status, self.stderr, self.stubborn = status, io.BytesIO(words), stubborn
        self.did: list[str] = []

    def poll(self) -> int | None:
        return self.status

    def terminate(self) -> None:
        self.did.append("terminate")

    def kill(self) -> None:
        self.did.append("kill")

    def wait(self, timeout: float | None = None) -> int:
        self.did.append("wait" if timeout is None else f"wait {timeout:g}")
        if timeout is not None and self.stubborn:
            raise subprocess.TimeoutExpired("server", timeout)
        return 0


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a server whose process is this one; `started` is how it was to be started, answers are by turns."""
    seen = SimpleNamespace(started=[], answers=[], slept=0)

    def make(process: Process, *answers: int | Exception) -> Server:
        def popen(words: list[str], **options: Any) -> Process:
            seen.started.append((words, options))
            return process

        def urlopen(url: str, timeout: float) -> Any:
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            seen.answers.append(url)
            if isinstance(answer, Exception):
                raise answer
            response = SimpleNamespace(status=answer)
            return SimpleNamespace(__enter__=lambda: response, __exit__=lambda *_: None)

        queue = list(answers)
        monkeypatch.setattr(prefect_server.subprocess, "Popen", popen)
        monkeypatch.setattr(
            prefect_server.urllib.request, "urlopen", lambda url, timeout: Opened(urlopen(url, timeout))
        )
        monkeypatch.setattr(prefect_server.time, "sleep", lambda s: setattr(seen, "slept", seen.slept + 1))
        return Server()

    make.seen = seen  # type: ignore[attr-defined]
    return make


class Opened:
    def __init__(self, made: Any) -> None:
        self._made = made

    def __enter__(self) -> Any:
        return self._made.__enter__()

    def __exit__(self, *_: object) -> None:
        self._made.__exit__()


def test_a_server_is_ready_when_it_answers_with_200(start: Any) -> None:
    refused = urllib.error.URLError("refused")
    server = start(Process(), refused, TimeoutError("slow"), 503, 200)
    server.ready()
    assert start.seen.answers == [f"http://127.0.0.1:{server.port}/api/health"] * 4 and start.seen.slept == 2
    ((words, options),) = start.seen.started
    assert words[1:3] == ["-m", "tasks.fleet.prefect_server"] and words[3] == str(server.port)
    assert options["start_new_session"] is True and "OPENAI_API_KEY" not in options["env"]


@pytest.mark.parametrize(
    ("words", "last"),
    [(b"one\nport taken\n", "port taken"), (b"", "nothing on stderr"), (b"\xff", "\N{REPLACEMENT CHARACTER}")],
)
def test_a_server_that_ends_at_its_start_is_told_with_its_last_words(start: Any, words: bytes, last: str) -> None:
    with pytest.raises(InfraError, match=f"ended at its start: {last}$"):
        start(Process(1, words), 200).ready()


def test_a_server_that_never_answers_is_given_up(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 40))
    server = start(Process(), 503)
    monkeypatch.setattr(prefect_server.time, "monotonic", lambda: next(clock))
    with pytest.raises(InfraError, match="did not answer within 90 s"):
        server.ready()
    assert len(start.seen.answers) == 2


def test_a_server_is_asked_to_end_and_then_made_to(start: Any) -> None:
    polite, stubborn = Process(), Process(stubborn=True)
    start(polite, 200).end()
    start(stubborn, 200).end()
    assert polite.did == ["terminate", "wait 10"] and stubborn.did == ["terminate", "wait 10", "kill", "wait"]


def test_a_shared_server_is_used_where_one_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(prefect_server, "prepare_environment", lambda: None)
    monkeypatch.setattr(prefect_server, "Server", lambda: SimpleNamespace(end=lambda: ended.append(1)))
    monkeypatch.setenv("PREFECT_API_URL", "http://shared/api")
    with serving() as shared:
        assert shared is None
    monkeypatch.delenv("PREFECT_API_URL")
    with pytest.raises(KeyError), serving() as own:
        assert own is not None and ended == []
        raise KeyError
    assert ended == [1]


@pytest.mark.parametrize("same", [True, False])
def test_a_child_whose_parent_is_gone_serves_nothing(same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    served: list[dict[str, Any]] = []
    monkeypatch.setattr(
        prefect_server.ctypes, "CDLL", lambda _: SimpleNamespace(prctl=lambda *args: served.append({"pr": args}))
    )
    monkeypatch.setattr(uvicorn, "run", lambda *_, **options: served.append(options))
    monkeypatch.setattr(prefect_server.os, "getppid", lambda: 7)
    prefect_server._serve(4200, 7 if same else 8)
    assert served[0] == {"pr": (1, 9)} and len(served) == 1 + same
    if same:
        assert (served[1]["host"], served[1]["port"], served[1]["factory"]) == ("127.0.0.1", 4200, True)


def test_a_key_is_lower_case_digits_and_single_dashes() -> None:
    assert artifact_key("Tune", "My_Work--load", "é!") == "tune-my-work-load"


@pytest.mark.parametrize("known", [True, False])
def test_progress_counts_to_its_total(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import artifacts

    told: list[Any] = []
    made = UUID(int=5) if known else None
    monkeypatch.setattr(artifacts, "create_progress_artifact", lambda start, **_: told.append(start) or made)
    monkeypatch.setattr(artifacts, "update_progress_artifact", lambda id, share: told.append((id.int, share)))
    progress = Progress("k", 4, "candidates")
    for _ in range(4):
        progress.advance()
    assert told == [0.0, *([(5, 25.0), (5, 50.0), (5, 75.0), (5, 100.0)] if known else [])]


def test_a_task_is_tried_twice_more_on_our_failures_and_keeps_nothing() -> None:
    def measure_it() -> None:
        """A task."""

    plain, named = retryable(measure_it), retryable(measure_it, name="x", retries=5, delay_s=1.0, timeout_s=9.0)
    assert (plain.name, plain.retries, plain.retry_delay_seconds, plain.timeout_seconds) == ("measure-it", 2, 2.0, None)
    assert (named.name, named.retries, named.retry_delay_seconds, named.timeout_seconds) == ("x", 5, 1.0, 9.0)
    assert plain.persist_result is False

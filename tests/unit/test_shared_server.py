# SPDX-License-Identifier: Apache-2.0
"""A Prefect server that a run shares with others: how its silence is noticed, and what it is still sent at the end."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.fleet import prefect_server


@pytest.mark.parametrize(("silent", "lost"), [(range(2, 99), 1), (range(2, 4), 0), ((), 0)])
def test_a_shared_server_that_is_silent_for_too_long_is_lost_once(
    monkeypatch: pytest.MonkeyPatch, silent: Any, lost: int
) -> None:
    """Asked every 3 s by a clock that only the asking moves: silence of more than 12 s is too long."""
    told, asks, enough = list[str](), [0], threading.Event()

    def check(url: str) -> None:
        asks[0] += 1
        if asks[0] >= 9:
            enough.set()
        if asks[0] in silent:
            raise InfraError(f"{url} says nothing")

    def lose(reason: str) -> None:
        told.append(f"{reason} at {3 * asks[0]} s")
        enough.set()

    monkeypatch.setattr(prefect_server, "check_prefect", check)
    monkeypatch.setattr(prefect_server, "lose", lose)
    monkeypatch.setattr(prefect_server, "ASK_EVERY_S", 0.001)
    monkeypatch.setattr(prefect_server, "SILENT_S", 12.0)
    monkeypatch.setattr(prefect_server, "time", SimpleNamespace(monotonic=lambda: 3.0 * asks[0]))
    with prefect_server._watched("http://shared/api"):
        watcher = next(thread for thread in threading.enumerate() if thread.name == "prefect-server")
        assert watcher.daemon and enough.wait(5)
    watcher.join(5)
    assert not watcher.is_alive() and told == ["http://shared/api says nothing at 18 s"] * lost


def test_a_shared_server_s_silence_after_the_run_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told, asked, over = list[str](), threading.Event(), threading.Event()

    def check(url: str) -> None:
        asked.set()
        over.wait(5)
        raise InfraError("it has gone with the run")

    monkeypatch.setattr(prefect_server, "check_prefect", check)
    monkeypatch.setattr(prefect_server, "lose", told.append)
    monkeypatch.setattr(prefect_server, "ASK_EVERY_S", 0.001)
    monkeypatch.setattr(prefect_server, "SILENT_S", -1.0)
    with prefect_server._watched("http://shared/api"):
        watcher = next(thread for thread in threading.enumerate() if thread.name == "prefect-server")
        assert asked.wait(5)
    over.set()
    watcher.join(5)
    assert not watcher.is_alive() and told == []


def test_what_is_queued_is_sent_before_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    sent: list[tuple[str, float]] = []
    for worker in (APILogWorker, EventsWorker):
        name = worker.__name__
        monkeypatch.setattr(worker, "drain_all", lambda timeout, name=name: sent.append((name, timeout)))
    prefect_server.drain()
    assert sent == [("APILogWorker", 5.0), ("EventsWorker", 5.0)]

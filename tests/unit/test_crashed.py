# SPDX-License-Identifier: Apache-2.0
"""Which flow runs are set to Crashed; on a real server tests/e2e/test_prefect_flows.py does it."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from httpx import ConnectError
from prefect.client import orchestration

from tasks.fleet.crashed import MOST, crash_dead

RUNS = [SimpleNamespace(id=n, tags=tags) for n, tags in enumerate((["gone"], ["lives"], [], ["x", "gone"]))]


class Client:
    """A server's client that says what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.set: list[tuple[int, str, str, bool]] = []
        self.limit, self._error = 0, error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_flow_runs(self, *, flow_run_filter: Any, sort: Any, limit: int) -> list[Any]:
        assert {kind.name for kind in flow_run_filter.state.type.any_} == {"RUNNING", "PENDING"}
        self.limit = limit
        if self._error:
            raise self._error
        return RUNS

    def set_flow_run_state(self, run: int, state: Any, *, force: bool) -> None:
        self.set.append((run, state.name, state.message, force))


def asked(client: Client, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(orchestration, "get_client", lambda sync_client: client if sync_client else None)
    return crash_dead(lambda tag: tag == "gone", why="it was killed")


def test_runs_of_which_a_tag_is_dead_are_crashed_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    assert asked(client, monkeypatch) == 2
    assert client.set == [(0, "Crashed", "it was killed", True), (3, "Crashed", "it was killed", True)]
    assert client.limit == MOST


def test_a_server_that_does_not_answer_is_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert asked(Client(ConnectError("refused")), monkeypatch) == 0
    assert "Prefect was not told which runs are dead: refused" in caplog.text

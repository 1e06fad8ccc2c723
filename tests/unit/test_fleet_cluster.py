# SPDX-License-Identifier: Apache-2.0
"""What a cluster of our own decides, without Ray; tests/e2e starts and joins real ones."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.fleet import cluster, environment


def test_the_environment_is_filled_where_the_user_has_set_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "os", SimpleNamespace(environ={"DO_NOT_TRACK": "0", "RAY_ADDRESS": ""}))
    monkeypatch.setattr(environment.Path, "home", lambda: tmp_path)
    environ = environment.os.environ
    environment.prepare_environment()
    assert environ["DO_NOT_TRACK"] == "0" and environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert (environ["RAY_AUTH_MODE"], len(environ["RAY_AUTH_TOKEN"]), environ["RAY_USAGE_STATS_ENABLED"]) == (
        "token",
        64,
        "0",
    )
    token = environ["RAY_AUTH_TOKEN"]
    environment.prepare_environment()
    assert environ["RAY_AUTH_TOKEN"] == token, "called again it changes nothing"


@pytest.mark.parametrize(
    ("given", "file", "made"),
    [
        ({}, False, {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}),
        ({"RAY_ADDRESS": "local"}, False, {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}),
        ({"RAY_AUTH_TOKEN": "t"}, False, {"RAY_AUTH_MODE"}),
        ({"RAY_AUTH_TOKEN_PATH": "/t"}, False, {"RAY_AUTH_MODE"}),
        ({"RAY_AUTH_MODE": "none"}, False, {"RAY_AUTH_MODE"}),
        ({"RAY_ADDRESS": "h:1"}, False, set()),
        ({"RAY_ADDRESS": "h:1"}, True, {"RAY_AUTH_MODE"}),
        ({"RAY_ADDRESS": "h:1", "RAY_AUTH_TOKEN": "t"}, False, {"RAY_AUTH_MODE"}),
    ],
)
def test_a_cluster_of_our_own_has_a_token_and_one_that_is_joined_its_own(
    given: dict[str, str], file: bool, made: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "os", SimpleNamespace(environ=given))
    monkeypatch.setattr(environment.Path, "home", lambda: tmp_path)
    if file:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text("t")
    assert {name for name in environment._ray() if name.startswith("RAY_AUTH")} == made
    assert environment.joins_a_cluster() is ("h:1" in given.values())


def test_prefect_s_page_shows_our_own_lines() -> None:
    assert environment.PREFECT["PREFECT_LOGGING_EXTRA_LOGGERS"] == cluster.log.name.partition(".")[0] == "tasks"


def test_a_child_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    child = environment.child_environment(MORE="1")
    assert "OPENAI_API_KEY" not in child and child["MORE"] == "1" and child["PATH"] == os.environ["PATH"]


def test_scratch_lies_where_a_socket_s_path_is_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for usual, place in (("/" + "a" * 13, "/" + "a" * 13), ("/" + "a" * 14, "/tmp")):
        monkeypatch.setattr(cluster.tempfile, "gettempdir", lambda usual=usual: usual)
        assert cluster._short_directory() == place


def test_an_address_is_tried_before_ray_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[Any] = []

    def connect(where: tuple[str, int], *, timeout: float) -> Any:
        met.append(where)
        if where[1] == 9:
            raise ConnectionRefusedError("refused")
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(socket, "create_connection", connect)
    cluster._reach("ray://host:10001")
    cluster._reach("[::1]:6379")
    cluster._reach("auto")
    assert met == [("host", 10001), ("::1", 6379)]
    for bad in ("host", ":6379", "host:x"):
        with pytest.raises(InfraError, match="not a HOST:PORT"):
            cluster._reach(bad)
    with pytest.raises(InfraError, match="no Ray cluster can be reached"):
        cluster._reach("host:9")


@pytest.mark.parametrize(("address", "expected"), [("h:1", ["join h:1"]), ("", ["start 3 /s"])])
def test_a_cluster_is_joined_where_one_is_named(
    address: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(cluster, "_join", lambda where: done.append(f"join {where}"))
    monkeypatch.setattr(cluster, "_start", lambda slots, scratch: done.append(f"start {slots} {scratch}"))
    cluster._connect(3, Path("/s"))
    assert done == expected


@pytest.fixture
def our_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Makes a cluster whose Ray is a fake; `seen` is what was asked of it."""
    seen = SimpleNamespace(connects=[], down=0, warmed=0, resources={"microvm": 3.0}, faults=[], initialized=False)
    seen.waited_for = threading.Event()
    fake = ModuleType("ray")
    fake.cluster_resources = lambda: seen.resources  # type: ignore[attr-defined]
    fake.is_initialized = lambda: seen.initialized  # type: ignore[attr-defined]
    fake.shutdown = lambda: setattr(seen, "down", seen.down + 1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def connect(slots: int, scratch: Path) -> None:
        seen.connects.append(slots)
        if seen.faults:
            seen.waited_for.wait(10)
            seen.waited_for.clear()
            raise seen.faults.pop(0)

    class Waited(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            seen.waited_for.set()
            return super().wait(timeout)

    monkeypatch.setattr(cluster, "_connect", connect)
    # A start that fails does so when it is waited for: one that failed before is tried anew without a word.
    monkeypatch.setattr(cluster, "threading", SimpleNamespace(Event=Waited, Thread=threading.Thread))
    monkeypatch.setattr(cluster, "_warm_workers", lambda warm, slots: setattr(seen, "warmed", slots))
    monkeypatch.setattr(cluster, "_short_directory", lambda: str(tmp_path))
    monkeypatch.setattr(cluster, "prepare_environment", lambda: None)
    settings = SimpleNamespace(slots=lambda host_cpus: 2 * host_cpus, cluster_deadline_s=5.0)
    made: list[cluster.Cluster] = []

    def make(**more: Any) -> cluster.Cluster:
        made.append(cluster.Cluster(settings, host_cpus=1, **more))  # type: ignore[arg-type]
        return made[-1]

    make.seen, make.settings, make.place = seen, settings, tmp_path  # type: ignore[attr-defined]
    yield make
    for each in made:
        each.end()


def test_a_cluster_has_the_slots_that_it_says_and_ends_with_nothing_left(our_cluster: Any) -> None:
    made, seen = our_cluster(warm=lambda: None), our_cluster.seen
    made.ready()
    assert (made.slots, seen.connects, seen.warmed, seen.down) == (3, [2], 2, 0)
    assert len(list(our_cluster.place.iterdir())) == 1
    made.end()
    assert seen.down == 1 and list(our_cluster.place.iterdir()) == []


def test_what_somebody_else_started_is_neither_warmed_nor_ended(
    our_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    our_cluster.seen.initialized = True
    made = our_cluster(warm=lambda: None)
    made.ready()
    made.end()
    assert (our_cluster.seen.connects, our_cluster.seen.warmed, our_cluster.seen.down) == ([], 0, 0)
    our_cluster.seen.initialized = False
    monkeypatch.setenv("RAY_ADDRESS", "h:1")
    joined = our_cluster(warm=lambda: None)
    joined.ready()
    assert (our_cluster.seen.connects, our_cluster.seen.warmed) == ([2], 0), "its workers are not ours to warm"


def test_a_start_that_failed_is_told_in_one_line_and_tried_anew(our_cluster: Any) -> None:
    our_cluster.seen.faults = [ValueError("\nno room\nat all"), InfraError("no such host"), ValueError("")]
    made = our_cluster()
    for words in ("^Ray did not start: ValueError: no room$", "^no such host$", "^Ray did not start: ValueError: $"):
        with pytest.raises(InfraError, match=words):
            made.ready()
    made.ready()
    assert made.slots == 3 and len(our_cluster.seen.connects) == 4


@pytest.mark.parametrize("resources", [{}, {"microvm": 0.0}, {"CPU": 4.0}])
def test_a_cluster_without_a_slot_is_none(our_cluster: Any, resources: dict[str, float]) -> None:
    our_cluster.seen.resources = resources
    with pytest.raises(InfraError, match="has no 'microvm' resource"):
        our_cluster().ready()
    our_cluster.seen.resources = {"microvm": 1.0}
    our_cluster().ready()


def test_a_start_that_takes_too_long_is_told(our_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(cluster, "_connect", lambda *_: release.wait(5))
    our_cluster.settings.cluster_deadline_s = 0.05
    made = our_cluster()
    with pytest.raises(InfraError, match=r"did not start within 0\.05 s"):
        made.ready()
    release.set()
    made._thread.join(0.01)
    made._deadline_s = 5.0


def test_inside_a_running_cluster_it_is_the_same_one(our_cluster: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with cluster.running(our_cluster.settings, host_cpus=1) as outer:
        outer.ready()
        with cluster.running(our_cluster.settings, host_cpus=1) as inner:
            assert inner is outer
        assert our_cluster.seen.down == 0
    assert our_cluster.seen.down == 1 and cluster._current is None and "waiting for Ray" not in caplog.text

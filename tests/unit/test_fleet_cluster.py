# SPDX-License-Identifier: Apache-2.0
"""What a cluster of our own decides, without Ray; tests/e2e starts and joins real ones."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError, InputError
from tasks.fleet import cluster, environment
from tasks.fleet.reach import PREFACE, check_ray


def test_the_environment_is_filled_where_the_user_has_set_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "os", SimpleNamespace(environ={"DO_NOT_TRACK": "0", "RAY_ADDRESS": ""}))
    monkeypatch.setattr(environment.Path, "home", lambda: tmp_path)
    environ = environment.os.environ
    environment.prepare_environment()
    assert environ["DO_NOT_TRACK"] == "0" and environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    token = environ["RAY_AUTH_TOKEN"]
    assert (environ["RAY_AUTH_MODE"], len(token), environ["RAY_USAGE_STATS_ENABLED"]) == ("token", 64, "0")
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


def test_scratch_lies_where_a_socket_s_path_is_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for usual, place in (("/" + "a" * 13, "/" + "a" * 13), ("/" + "a" * 14, "/tmp")):
        monkeypatch.setattr(cluster.tempfile, "gettempdir", lambda usual=usual: usual)
        assert cluster._short_directory() == place


def test_an_address_is_tried_before_ray_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[Any] = []

    class Connection:
        def __init__(self, answer: bytes) -> None:
            self.answer = answer

        def __enter__(self) -> Connection:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def sendall(self, data: bytes) -> None:
            assert data == PREFACE

        def recv(self, most: int) -> bytes:
            return self.answer[:most]

    def connect(where: tuple[str, int], *, timeout: float) -> Connection:
        met.append(where)
        if where[1] == 9:
            raise ConnectionRefusedError("refused")
        return Connection(b"HTTP/1.1 200" if where[1] == 80 else bytes((0, 0, 0, 4, 0)))

    monkeypatch.setattr(socket, "create_connection", connect)
    check_ray("ray://host:10001")
    check_ray("[::1]:6379")
    check_ray("auto")
    assert met == [("host", 10001), ("::1", 6379)]
    for bad in ("host", ":6379", "host:x", "host:65536"):
        with pytest.raises(InputError, match="not a HOST:PORT"):
            check_ray(bad)
    with pytest.raises(InfraError, match="no Ray cluster can be reached"):
        check_ray("host:9")
    with pytest.raises(InfraError, match="is no Ray cluster"):
        check_ray("host:80")


@pytest.fixture
def our_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Makes a cluster whose Ray is a fake; `seen` is what was asked of it."""
    seen = SimpleNamespace(
        connects=[], down=0, warmed=0, killed=0, ended="", resources={"microvm": 3.0}, faults=[], always=None,
        initialized=False,
    )  # fmt: skip
    fake = ModuleType("ray")
    fake.cluster_resources = lambda: seen.resources  # type: ignore[attr-defined]
    fake.is_initialized = lambda: seen.initialized  # type: ignore[attr-defined]
    fake.shutdown = lambda: setattr(seen, "down", seen.down + 1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def start(slots: int, scratch: Path) -> None:
        seen.connects.append(slots)
        if seen.faults:
            raise seen.faults.pop(0)
        if seen.always is not None:
            raise seen.always

    monkeypatch.setattr(cluster, "start", start)
    monkeypatch.setattr(cluster, "join", seen.connects.append)
    monkeypatch.setattr(cluster, "kill_processes", lambda scratch: setattr(seen, "killed", seen.killed + 1))
    monkeypatch.setattr(cluster, "_running_processes", lambda: lambda: seen.ended)
    monkeypatch.setattr(cluster, "warm_workers", lambda warm, slots: setattr(seen, "warmed", slots))
    monkeypatch.setattr(cluster, "AGAIN_S", 0.01)
    monkeypatch.setattr(cluster, "LOOK_S", 0.01)
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
    assert (our_cluster.seen.connects, our_cluster.seen.warmed) == (["h:1"], 0), "its workers are not ours to warm"


def test_a_start_that_failed_is_made_again_and_told_in_one_line_when_time_is_up(
    our_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    our_cluster.seen.faults = [ValueError("no room"), ValueError("no room")]
    made = our_cluster()
    made.ready()
    assert made.slots == 3 and len(our_cluster.seen.connects) == 3
    made.end()
    passed = [0.0]  # seconds by a clock that only pauses move
    clock = SimpleNamespace(monotonic=lambda: passed[0], sleep=lambda pause: passed.__setitem__(0, passed[0] + pause))
    monkeypatch.setattr(cluster, "time", clock)
    monkeypatch.setattr(cluster, "AGAIN_S", 10.0)
    our_cluster.settings.cluster_deadline_s = 60.0
    for fault, words in (
        (ValueError("\nno room\nat all"), "^Ray did not start: ValueError: no room$"),
        (InfraError("no such host"), "^no such host$"),
        (ValueError(""), "^Ray did not start: ValueError: $"),
    ):
        our_cluster.seen.always, our_cluster.seen.connects = fault, []
        late = our_cluster()
        with pytest.raises(InfraError, match=words):
            late.ready()
        assert len(our_cluster.seen.connects) == 8, "one every 10 s of 60, and one that ends after them"


def test_what_would_fail_each_time_is_not_tried_again(our_cluster: Any) -> None:
    our_cluster.seen.always = UnicodeEncodeError("utf-8", "/\udcff", 1, 2, "surrogates not allowed")
    with pytest.raises(InfraError, match=r"^Ray did not start: the command line or the current directory"):
        our_cluster().ready()
    assert our_cluster.seen.killed and len(our_cluster.seen.connects) == 1


def test_a_start_that_ray_breaks_off_with_an_exit_leaves_nothing_when_it_is_told(our_cluster: Any) -> None:
    our_cluster.seen.always = SystemExit(1)
    with pytest.raises(InfraError, match="did not start: SystemExit: 1"):
        our_cluster().ready()
    assert our_cluster.seen.killed


def test_a_cluster_that_dies_is_lost_and_begun_anew(our_cluster: Any) -> None:
    made, seen = our_cluster(), our_cluster.seen
    made.ready()
    assert made.lost() == ""
    seen.ended = "Ray's raylet ended (signal 9)"
    made._thread.join(5)
    assert made.lost() == "Ray's raylet ended (signal 9)" and seen.killed >= 1 and seen.down >= 1
    seen.ended = ""
    made.ready()
    assert made.lost() == "" and seen.connects == [2, 3]


@pytest.mark.parametrize("resources", [{}, {"microvm": 0.0}, {"CPU": 4.0}])
def test_a_cluster_without_a_slot_is_none(our_cluster: Any, resources: dict[str, float]) -> None:
    our_cluster.seen.resources = resources
    with pytest.raises(InfraError, match="has no 'microvm' resource"):
        our_cluster().ready()
    assert our_cluster.seen.killed, "what it started is gone when it is told"
    our_cluster.seen.resources = {"microvm": 1.0}
    our_cluster().ready()


def test_a_start_that_hangs_is_broken_off_and_told(our_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(cluster, "start", lambda *_: release.wait(5))
    our_cluster.settings.cluster_deadline_s = 0.05
    made = our_cluster()
    with pytest.raises(InfraError, match=r"did not start within 0\.05 s"):
        made.ready()
    assert our_cluster.seen.killed
    release.set()
    assert made._connected.wait(5)
    made._deadline_s = 5.0


def test_inside_a_running_cluster_it_is_the_same_one(our_cluster: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with cluster.running(our_cluster.settings, host_cpus=1) as outer:
        outer.ready()
        with cluster.running(our_cluster.settings, host_cpus=1) as inner:
            assert inner is outer
        assert our_cluster.seen.down == 0
    assert our_cluster.seen.down == 1 and cluster._current is None and "waiting for Ray" not in caplog.text

# SPDX-License-Identifier: Apache-2.0
"""What a cluster of our own decides, without Ray; tests/e2e starts and joins real ones."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.fleet import cluster


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
    assert made._thread.daemon, "an exit does not wait for it"
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
    our_cluster.seen.resources, resources = {}, our_cluster.seen.resources
    with pytest.raises(InfraError, match="has no 'microvm' resource"):
        our_cluster().ready()
    our_cluster.seen.resources = resources
    assert our_cluster.seen.killed == 0
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
    assert made._scratch.exists(), "for the next"
    seen.ended = ""
    made.ready()
    assert made.lost() == "" and seen.connects == [2, 3]


@pytest.mark.parametrize("resources", [{}, {"microvm": 0.0}, {"CPU": 4.0}])
def test_a_cluster_without_a_slot_is_none(our_cluster: Any, resources: dict[str, float]) -> None:
    our_cluster.seen.resources = resources
    with pytest.raises(InfraError, match="has no 'microvm' resource"):
        our_cluster().ready()
    assert our_cluster.seen.killed, "what it started is gone when it is told"
    our_cluster.seen.resources, our_cluster.seen.connects = {}, []
    made = our_cluster()
    for _ in range(2):
        with pytest.raises(InfraError, match="has no 'microvm' resource"):
            made.ready()
    our_cluster.seen.resources = {"microvm": 1.0}
    made.ready()
    assert our_cluster.seen.connects == [2, 2, 2] and made.slots == 1, "begun each time with the slots of this host"


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


def test_one_that_is_joined_and_does_not_answer_is_nobody_s_to_kill(
    our_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setenv("RAY_ADDRESS", "h:1")
    monkeypatch.setattr(cluster, "join", lambda _: release.wait(5))
    our_cluster.settings.cluster_deadline_s = 0.05
    made = our_cluster()
    with pytest.raises(InfraError, match=r"did not start within 0\.05 s"):
        made.ready()
    release.set()
    assert made._connected.wait(5) and our_cluster.seen.killed == 0
    made._deadline_s = 5.0


def test_one_that_is_joined_and_falls_silent_is_lost_and_not_killed(
    our_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "h:1")
    silent = threading.Event()  # not before it is ready: one that is lost by then is begun anew
    monkeypatch.setattr(cluster, "_answering", lambda address: lambda: f"{address} is silent" * silent.is_set())
    made = our_cluster()
    made.ready()
    silent.set()
    made._thread.join(5)
    assert (made.lost(), our_cluster.seen.killed, our_cluster.seen.down) == ("h:1 is silent", 0, 1)


def test_one_that_somebody_else_started_is_not_watched(our_cluster: Any) -> None:
    our_cluster.seen.initialized, our_cluster.seen.ended = True, "Ray's raylet ended (signal 9)"
    made = our_cluster()
    made.ready()
    made._thread.join(0.05)
    assert made._thread.is_alive() and made.lost() == ""


def test_one_that_is_only_starting_is_killed_at_the_end_and_not_waited_for(
    our_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, starting = threading.Event(), threading.Event()

    def start(slots: int, scratch: Path) -> None:
        starting.set()
        release.wait(5)
        scratch.mkdir()  # as Ray does, however late

    monkeypatch.setattr(cluster, "start", start)
    monkeypatch.setattr(cluster, "ABANDON_S", 0.05)
    made, begun = our_cluster(), time.monotonic()
    assert starting.wait(5)
    made.end()
    assert our_cluster.seen.killed and time.monotonic() - begun < 2 and list(our_cluster.place.iterdir()) == []
    release.set()
    made._thread.join(5)
    assert not made._thread.is_alive() and our_cluster.seen.down == 1 and list(our_cluster.place.iterdir()) == []


def test_a_start_that_hangs_leaves_time_for_another(our_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_off = threading.Event()

    def start(slots: int, scratch: Path) -> None:
        our_cluster.seen.connects.append(slots)
        if len(our_cluster.seen.connects) == 1:
            broken_off.wait(5)
            raise OSError("killed")

    monkeypatch.setattr(cluster, "start", start)
    monkeypatch.setattr(cluster, "kill_processes", lambda scratch: broken_off.set())
    monkeypatch.setattr(cluster, "ONE_START", 0.1)
    our_cluster.settings.cluster_deadline_s = 2.0
    made = our_cluster()
    made.ready()
    assert our_cluster.seen.connects == [2, 2]
    broken_off.clear()
    over, not_over = threading.Event(), threading.Event()
    over.set()
    made._break_off(over)
    assert not broken_off.is_set(), "what has started is not broken off"
    made._break_off(not_over)
    assert broken_off.is_set()


def test_what_ray_still_writes_is_removed_a_little_later(our_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, remove, calls = our_cluster(), shutil.rmtree, []

    def late(path: Path, ignore_errors: bool) -> None:
        assert ignore_errors
        calls.append(path)
        if len(calls) > 2:
            remove(path, ignore_errors=True)

    made.ready()
    monkeypatch.setattr(cluster.shutil, "rmtree", late)
    monkeypatch.setattr(cluster, "time", SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic))
    made._clear()
    assert len(calls) == 3 and not made._scratch.exists()


def test_inside_a_running_cluster_it_is_the_same_one(our_cluster: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with cluster.running(our_cluster.settings, host_cpus=1) as outer:
        outer.ready()
        with cluster.running(our_cluster.settings, host_cpus=1) as inner:
            assert inner is outer
        assert our_cluster.seen.down == 0
    assert our_cluster.seen.down == 1 and cluster._current is None and "waiting for Ray" not in caplog.text

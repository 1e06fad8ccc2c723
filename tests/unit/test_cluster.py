# SPDX-License-Identifier: Apache-2.0
"""How a cluster is seen to have died or fallen silent, and what a SIGKILLed run left of Ray.

That is removed by the next; what belongs to a living one, or to nobody, stays.
"""

from __future__ import annotations

import os
import shutil
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.fleet import cluster
from tasks.fleet.cluster import SCRATCH, sweep


def test_only_scratch_of_dead_processes_is_swept(tmp_path):
    dead, alive, other = f"{SCRATCH}4194399-ab", f"{SCRATCH}{os.getpid()}-ab", f"{SCRATCH}notes"
    for name in (dead, alive, other):
        (tmp_path / name / "sockets").mkdir(parents=True)
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive, other}


def test_unless_a_place_is_named_it_is_swept_where_ours_would_lie(tmp_path, monkeypatch) -> None:
    (tmp_path / f"{SCRATCH}4194399-ab").mkdir()
    monkeypatch.setattr(cluster, "_short_directory", lambda: str(tmp_path))
    sweep()
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_sweeps_meanwhile_is_no_failure(tmp_path, monkeypatch) -> None:
    (tmp_path / f"{SCRATCH}4194399-ab").mkdir()
    remove = shutil.rmtree
    monkeypatch.setattr(cluster.shutil, "rmtree", lambda path, **more: (remove(path), remove(path, **more)))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What Ray knows of the processes that it started here."""
    worker = ModuleType("ray._private.worker")
    worker._global_node = None  # type: ignore[attr-defined]
    private = ModuleType("ray._private")
    private.worker = worker  # type: ignore[attr-defined]
    for name, module in (("ray", ModuleType("ray")), ("ray._private", private), ("ray._private.worker", worker)):
        monkeypatch.setitem(sys.modules, name, module)
    return worker


@pytest.mark.parametrize(
    ("status", "told"),
    [(None, ""), (-9, "Ray's raylet ended (signal 9)"), (-1, "Ray's raylet ended (signal 1)"),
     (0, "Ray's raylet ended (status 0)"), (1, "Ray's raylet ended (status 1)")],
)  # fmt: skip
def test_a_process_of_ray_s_that_has_ended_is_named(node: Any, status: int | None, told: str) -> None:
    runs, asked = (SimpleNamespace(process=SimpleNamespace(poll=lambda s=s: s)) for s in (None, status))
    node._global_node = SimpleNamespace(all_processes={"gcs_server": [runs], "raylet": [runs, asked]})
    assert cluster._running_processes()() == told


def test_without_a_process_of_our_own_none_can_end(node: Any) -> None:
    assert cluster._running_processes()() == ""


@pytest.fixture
def silent_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is said at each of some seconds of a cluster that is silent for a while, and when it was asked."""

    def run(since: float, until: float, seconds: list[float]) -> tuple[list[str], list[float]]:
        now, asked = [0.0], list[float]()

        def check(address: str) -> None:
            asked.append(now[0])
            if since <= now[0] < until:
                raise InfraError(f"{address} says nothing")

        monkeypatch.setattr(cluster, "check_ray", check)
        monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: now[0]))
        monkeypatch.setattr(cluster, "ASK_EVERY_S", 3.0)
        monkeypatch.setattr(cluster, "SILENT_S", 12.0)
        look, said = cluster._answering("h:1"), []
        for now[0] in seconds:
            said.append(look())
        return said, asked

    return run


def test_a_cluster_that_answers_is_asked_now_and_then(silent_at: Any) -> None:
    said, asked = silent_at(99, 99, [1, 2.9, 3, 4, 5.9, 6.5, 9, 9.5, 40])
    assert not any(said) and asked == [3, 6.5, 9.5, 40]


def test_one_that_is_silent_for_longer_than_it_may_be_is_lost(silent_at: Any) -> None:
    said, asked = silent_at(4, 99, [3, 6, 7, 9, 12, 15, 18])
    assert said == [""] * 6 + ["h:1 says nothing"] and asked == [3, 6, 9, 12, 15, 18]


def test_one_that_answers_again_in_time_is_not(silent_at: Any) -> None:
    said, _ = silent_at(4, 14, [3, 6, 9, 12, 15, 18, 27, 30])
    assert not any(said)

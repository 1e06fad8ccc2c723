# SPDX-License-Identifier: Apache-2.0
"""What becomes of items on a real Ray whose workers and nodes die."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import ray_cases
from leftovers import runs

from policy_lake.errors import InfraError
from tasks.fleet.cluster import Cluster
from tasks.fleet.fan_out import Failure, ItemOutcome, Pool, fan_out

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_joins_the_cluster_at_ray_address_and_counts_its_slots(ray_cluster: Cluster, nodes: Any) -> None:
    import ray

    assert ray.get_runtime_context().gcs_address == nodes.address
    assert ray_cluster.slots == 2


def test_every_failure_keeps_its_kind_and_its_words_and_the_others_go_on() -> None:
    seen: list[ItemOutcome[str]] = []
    kinds = ["fine", *ray_cases.FAILURES]
    outcomes = fan_out(ray_cases.fail, kinds, deadline_s=60, label="kinds", on_result=seen.append, retries=1)
    assert outcomes[0] == ItemOutcome(0, "fine")
    assert [outcome.failure for outcome in outcomes[1:]] == [
        Failure("infra", "the disk is full"),
        Failure("infra", "the guest stopped answering"),
        Failure("build", "x.bpf.c does not compile"),
        Failure("input", "no workload 'x'"),
        Failure("bug", "KeyError: 'nobody'"),
    ]
    assert sorted(seen, key=lambda outcome: outcome.index) == outcomes


@pytest.mark.parametrize("how", ["die", "infra"])
def test_a_killed_worker_and_an_infra_error_are_tried_again(tmp_path: Path, how: str) -> None:
    (outcome,) = fan_out(ray_cases.fail_once, [(str(tmp_path), how)], deadline_s=60, label="again")
    assert outcome == ItemOutcome(0, 2)


def test_a_bug_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="none of 1 ended well; the first: KeyError"):
        fan_out(ray_cases.fail_once, [(str(tmp_path), "bug")], deadline_s=60, label="again")
    assert len(list(tmp_path.iterdir())) == 1


def test_an_item_that_kills_every_worker_fails_alone(tmp_path: Path) -> None:
    def either(item: str) -> str:
        return item if item == "fine" else str(ray_cases.die(item))

    outcomes = fan_out(either, ["die", "fine"], deadline_s=60, label="die", retries=1)
    assert outcomes[1] == ItemOutcome(1, "fine")
    assert outcomes[0].failure is not None
    assert outcomes[0].failure.kind == "worker-died"
    assert "2 attempts" in outcomes[0].failure.message


def test_at_the_deadline_what_is_out_is_killed_and_what_is_in_is_kept(tmp_path: Path) -> None:
    started = time.monotonic()
    items = [(str(tmp_path), 0.0), (str(tmp_path), 300.0), (str(tmp_path), 300.0)]
    outcomes = fan_out(ray_cases.sleep, items, deadline_s=12, label="late")
    assert time.monotonic() - started < 25
    assert outcomes[0].value is not None
    assert [outcome.failure and outcome.failure.kind for outcome in outcomes[1:]] == ["deadline", "deadline"]
    sleepers = _pids(tmp_path, "300.0-*")
    assert sleepers
    _until(lambda: not any(runs(pid) for pid in sleepers))


def test_an_interrupt_kills_what_is_out(tmp_path: Path) -> None:
    def stop(_: object) -> None:
        _until(lambda: _pids(tmp_path, "300.0-*"))
        raise KeyboardInterrupt

    items = [(str(tmp_path), 0.1), (str(tmp_path), 300.0)]
    with pytest.raises(KeyboardInterrupt):
        fan_out(ray_cases.sleep, items, deadline_s=60, label="stop", on_result=stop)
    (sleeper,) = _pids(tmp_path, "300.0-*")
    _until(lambda: not runs(sleeper))


def test_a_pool_takes_tasks_while_others_end_and_keeps_its_workers() -> None:
    pids: list[int] = []
    with Pool[int](deadline_s=60, label="stream") as pool:
        first = {pool.submit(ray_cases.doubled, 1), pool.submit(ray_cases.pid, 0)}
        for outcome in pool:
            assert outcome.failure is None and outcome.value is not None
            pids.append(outcome.value)
            if len(pids) < 40:
                pool.submit(ray_cases.pid, len(pids))
        assert len(pool) == 0
    assert first == {0, 1}
    assert 2 in pids
    assert len(set(pids)) <= 2 + 2, "workers are used again"


def test_a_pool_s_task_has_a_deadline_of_its_own_and_the_others_go_on(tmp_path: Path) -> None:
    with Pool[int](deadline_s=60, label="own") as pool:
        late = pool.submit(ray_cases.sleep, (str(tmp_path), 300.0), deadline_s=6)
        fine = pool.submit(ray_cases.doubled, 4)
        outcomes = {outcome.index: outcome for outcome in pool}
    assert outcomes[fine] == ItemOutcome(fine, 8)
    assert outcomes[late].failure == Failure("deadline", "no result within 6 s")
    (sleeper,) = _pids(tmp_path, "300.0-*")
    _until(lambda: not runs(sleeper))


def test_what_is_out_when_a_pool_ends_is_killed(tmp_path: Path) -> None:
    with Pool[int](deadline_s=60, label="left") as pool:
        pool.submit(ray_cases.sleep, (str(tmp_path), 300.0))
        _until(lambda: _pids(tmp_path, "300.0-*"))
    (sleeper,) = _pids(tmp_path, "300.0-*")
    _until(lambda: not runs(sleeper))


def test_a_lost_node_s_item_ends_on_another(tmp_path: Path, nodes: Any) -> None:
    lost = nodes.add_node(num_cpus=1, resources={"microvm": 1})
    import ray

    _until(lambda: ray.cluster_resources().get("microvm") == 3)

    def remove_when_all_run() -> None:
        _until(lambda: len(_pids(tmp_path, "*/attempt-1")) == 3, 30)
        nodes.remove_node(lost, allow_graceful=False)
        _until(lambda: not all(runs(pid) for pid in _pids(tmp_path, "*/attempt-1")))
        (tmp_path / "go").touch()

    # Three items on three slots: one of them is on the node that goes.
    items = [(str(_made(tmp_path / name)), "wait") for name in ("a", "b", "c")]
    threading.Thread(target=remove_when_all_run, daemon=True).start()
    outcomes = fan_out(ray_cases.fail_once, items, deadline_s=60, label="node")
    assert sorted(outcome.value or 0 for outcome in outcomes) == [1, 1, 2]


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _pids(directory: Path, pattern: str) -> set[int]:
    return {int(path.read_text()) for path in directory.glob(pattern) if path.read_text()}


def _until(true: Any, limit_s: float = 15) -> None:
    ends = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.1)

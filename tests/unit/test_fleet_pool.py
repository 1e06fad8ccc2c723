# SPDX-License-Identifier: Apache-2.0
"""A pool's own decisions, over futures that the test ends; tests/e2e meets a real Ray."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import BuildError, InfraError
from tasks.fleet import fan_out
from tasks.fleet.fan_out import Failure, ItemOutcome, Pool


class FakeRay(ModuleType):
    """As much of Ray as a pool asks for: futures that the test ends, and what was cancelled and waited for."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.refs: list[Any] = []
        self.options: list[dict[str, Any]] = []
        self.cancelled: list[tuple[int, bool]] = []
        self.waited: list[tuple[int, int]] = []
        self.exceptions = ModuleType("ray.exceptions")
        self.exceptions.RayError = type("RayError", (Exception,), {})  # type: ignore[attr-defined]
        self.exceptions.RayTaskError = type("RayTaskError", (self.exceptions.RayError,), {})  # type: ignore[attr-defined]
        self.fault: Exception | None = None

    def remote(self, function: Callable[[Any], Any]) -> Any:
        def submit(item: Any) -> Any:
            future: Future[Any] = Future()
            self.refs.append(SimpleNamespace(future=lambda: future, end=future, item=item))
            return self.refs[-1]

        def options(**given: Any) -> Any:
            self.options.append(given)
            return SimpleNamespace(remote=submit)

        return SimpleNamespace(options=options)

    def cancel(self, ref: Any, *, force: bool) -> None:
        self.cancelled.append((ref.item, force))

    def wait(self, refs: list[Any], *, num_returns: int, timeout: float) -> None:
        self.waited.append((len(refs), num_returns))
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    made = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setitem(sys.modules, "ray.exceptions", made.exceptions)
    return made


def pool(**more: Any) -> Pool[Any]:
    return Pool[Any](**{"deadline_s": 5.0, "label": "guest", **more})


def test_outcomes_come_as_tasks_end_and_one_function_is_exported_once(ray: FakeRay) -> None:
    with pool() as tasks:
        assert [tasks.submit(abs, n) for n in (1, 2)] == [0, 1] and len(tasks) == 2
        ray.refs[1].end.set_result(20)
        ray.refs[0].end.set_result(10)
        assert list(tasks) == [ItemOutcome(1, 20), ItemOutcome(0, 10)] and len(tasks) == 0
    assert len(ray.options) == 1 and ray.cancelled == [] == ray.waited
    assert ray.options[0] == {
        "name": "guest", "num_cpus": 0, "resources": {"microvm": 1}, "max_retries": 2, "retry_exceptions": [InfraError],
    }  # fmt: skip


def test_what_is_out_at_its_deadline_is_killed_and_what_comes_later_is_not_heard(ray: FakeRay) -> None:
    with pool() as tasks:
        tasks.submit(abs, 1, deadline_s=0.05)
        tasks.submit(abs, 2)
        late, good, begun = [], [], time.monotonic()
        for outcome in tasks:
            (late if outcome.failure else good).append(outcome)
            for ref in ray.refs:
                if not ref.end.done():
                    ref.end.set_result(ref.item)
        assert time.monotonic() - begun < 3
    assert late == [ItemOutcome(0, failure=Failure("deadline", "no result within 0.05 s"))]
    assert good == [ItemOutcome(1, 2)] and ray.cancelled == [(1, True)] and ray.waited == [(1, 1)]


def test_leaving_kills_what_is_out_and_a_cluster_that_is_gone_is_no_error(ray: FakeRay) -> None:
    for fault in (None, ray.exceptions.RayError("gone"), RuntimeError("shut down")):
        ray.fault = fault
        with pytest.raises(KeyboardInterrupt), pool() as tasks:
            for n in (1, 2):
                tasks.submit(abs, n)
            raise KeyboardInterrupt
        assert len(tasks) == 0 and ray.waited[-1] == (2, 2)
    assert ray.cancelled == [(1, True), (2, True)] * 3


def test_who_died_and_who_failed_are_told_apart(ray: FakeRay) -> None:
    errors = [ray.exceptions.RayError("node lost"), ray.exceptions.RayTaskError("x"), BuildError("no clang")]
    outcomes = []
    with pool(retries=4) as tasks:
        for error in errors:
            tasks.submit(abs, 1)
            ray.refs[-1].end.set_exception(error)
        outcomes = [outcome.failure for outcome in tasks]
    assert outcomes == [
        Failure("worker-died", "RayError, 5 attempts"), Failure("bug", "RayTaskError: x"), Failure("build", "no clang"),
    ]  # fmt: skip


def test_a_fan_out_is_in_the_order_of_its_items(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    def end_all() -> None:
        while len(ray.refs) < 3:
            time.sleep(0.005)
        for ref in reversed(ray.refs):
            ref.end.set_result(ref.item * 10)

    for heard in ([], None):
        ray.refs.clear()
        threading.Thread(target=end_all).start()
        hear = None if heard is None else lambda outcome, heard=heard: heard.append(outcome.index)
        made = fan_out.fan_out(abs, [1, 2, 3], deadline_s=5.0, label="x", on_result=hear)
        assert [outcome.value for outcome in made] == [10, 20, 30] and heard in (None, [2, 1, 0])
    assert {options["max_retries"] for options in ray.options} == {2}
    assert fan_out._failure_of(ValueError("one\ntwo ")).message == "ValueError: two"

# SPDX-License-Identifier: Apache-2.0
"""Many items through Ray, one guest slot each: every item ends in an outcome, and the caller is the only writer."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar

from policy_lake.errors import BuildError, InfraError, InputError

MICROVM = "microvm"
CANCEL_WAIT_S = 10.0
LOOK_S = 0.5

FailureKind = Literal["infra", "worker-died", "deadline", "build", "input", "bug"]
Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item has no value: the kind decides what it means, the message is one line for a person."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class ItemOutcome(Generic[Value]):
    """What became of the item at `index`: a value, or a failure."""

    index: int
    value: Value | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    ref: Any
    deadline_s: float
    ends: float


class Pool(Generic[Value]):
    """The cluster's guest slots for tasks that are submitted while others end; the end of its `with` kills what is out.

    Iterating yields outcomes in the order in which tasks end, until none is out; tasks may be submitted meanwhile. A
    worker's death and an InfraError are retried `retries` times. `deadline_s` holds for each task from its submission,
    the wait for a slot included; at its deadline a task is killed. `lost` says why the cluster is no more, if so: then
    nothing that is out will end, and iterating is an InfraError. For use by one thread, on a connected cluster.
    """

    def __init__(
        self, *, deadline_s: float, label: str, retries: int = 2, lost: Callable[[], str] = lambda: ""
    ) -> None:
        self._deadline_s, self._label, self._retries, self._lost = deadline_s, label, retries, lost
        self._functions: dict[Callable[[Any], Value], Any] = {}  # Ray exports a function once, then sends its id
        self._tasks: dict[int, _Task] = {}
        self._ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._submitted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill(list(self._tasks))

    def __len__(self) -> int:
        """How many tasks are out."""
        return len(self._tasks)

    def submit(self, function: Callable[[Item], Value], item: Item, *, deadline_s: float | None = None) -> int:
        """Queue `function(item)` for the next free slot; returns the index that its outcome will carry."""
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        self._check()
        index, self._submitted = self._submitted, self._submitted + 1
        ref = self._remote(function).remote(item)
        self._tasks[index] = _Task(ref, limit_s, time.monotonic() + limit_s)
        # Not `ray.wait`: what a signal handler raises in there comes out as a SystemError (Ray 2.60).
        ref.future().add_done_callback(functools.partial(self._note, index))
        return index

    def __iter__(self) -> Iterator[ItemOutcome[Value]]:
        while self._tasks:
            first = min(task.ends for task in self._tasks.values())
            try:
                index, future = self._ended.get(timeout=min(LOOK_S, max(0.0, first - time.monotonic())))
            except queue.Empty:
                self._check()
                yield from self._expire()
                continue
            self._check()  # or the end of the cluster would be told as that of a worker
            if self._tasks.pop(index, None) is not None:  # else it was killed at its deadline
                yield _collect(future, index, self._retries)

    def _check(self) -> None:
        if reason := self._lost():
            self._tasks.clear()
            raise InfraError(reason)

    def _note(self, index: int, future: Any) -> None:
        self._ended.put((index, future))  # on a thread of Ray's

    def _remote(self, function: Callable[[Any], Value]) -> Any:
        if function not in self._functions:
            import ray

            self._functions[function] = ray.remote(function).options(
                name=self._label, num_cpus=0, resources={MICROVM: 1}, max_retries=self._retries,
                retry_exceptions=[InfraError],
            )  # fmt: skip
        return self._functions[function]

    def _expire(self) -> list[ItemOutcome[Value]]:
        now = time.monotonic()
        late = {index: task for index, task in self._tasks.items() if task.ends <= now}
        self._kill(list(late))
        return [
            ItemOutcome(index, failure=Failure("deadline", f"no result within {task.deadline_s:g} s"))
            for index, task in late.items()
        ]

    def _kill(self, indices: list[int]) -> None:
        refs = [self._tasks.pop(index).ref for index in indices]
        if not refs:
            return
        import ray
        from ray.exceptions import RayError

        try:
            for ref in refs:
                ray.cancel(ref, force=True)
            ray.wait(refs, num_returns=len(refs), timeout=CANCEL_WAIT_S)
        except (RayError, RuntimeError):
            pass  # the cluster itself is gone, and its workers with it


def fan_out(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    deadline_s: float,
    label: str,
    on_result: Callable[[ItemOutcome[Value]], None] | None = None,
    retries: int = 2,
) -> list[ItemOutcome[Value]]:
    """Run `function` on each item as a Ray task that holds one `microvm`; outcomes in the order of the items.

    `on_result` runs in this process, one call at a time, so that whoever writes there is the only writer. At the
    deadline, or when anything interrupts this call, what is still out is killed. InfraError when there were items and
    not one of them has a value.
    """
    if not items:
        return []
    outcomes: dict[int, ItemOutcome[Value]] = {}
    with Pool[Value](deadline_s=deadline_s, label=label, retries=retries) as pool:
        for item in items:
            pool.submit(function, item)
        for outcome in pool:
            outcomes[outcome.index] = outcome
            if on_result is not None:
                on_result(outcome)
    return _checked([outcomes[index] for index in range(len(items))], label)


def _collect(future: Any, index: int, retries: int) -> ItemOutcome[Any]:
    from ray.exceptions import RayError, RayTaskError

    error = future.exception()
    if error is None:
        return ItemOutcome(index, value=future.result())
    if isinstance(error, RayError) and not isinstance(error, RayTaskError):
        # Everything that is not the function's own exception: a killed worker, a lost node, out of memory.
        what = type(error).__name__
        return ItemOutcome(index, failure=Failure("worker-died", f"{what}, {retries + 1} attempts"))
    return ItemOutcome(index, failure=_failure_of(error))


def _failure_of(error: Any) -> Failure:
    kinds: tuple[tuple[type[Exception], FailureKind], ...] = (
        (InfraError, "infra"), (BuildError, "build"), (InputError, "input"),
    )  # fmt: skip
    cause = getattr(error, "cause", None) or error
    for kind, name in kinds:
        if isinstance(cause, kind):
            return Failure(name, str(cause))
    lines = str(cause).strip().splitlines() or [""]
    return Failure("bug", f"{type(cause).__name__}: {lines[-1]}")


def _checked(outcomes: list[ItemOutcome[Value]], label: str) -> list[ItemOutcome[Value]]:
    failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
    if len(failures) == len(outcomes):
        raise InfraError(f"{label}: none of {len(outcomes)} ended well; the first: {failures[0].message}")
    return outcomes

# SPDX-License-Identifier: Apache-2.0
"""Many items through Ray, one guest slot each: every item ends in an outcome, and the caller is the only writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from policy_lake.model import BuildError, InfraError, InputError

MICROVM = "microvm"
POLL_S = 0.1
CANCEL_WAIT_S = 10.0

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


def fan_out(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    deadline_s: float,
    label: str,
    on_result: Callable[[ItemOutcome[Value]], None] | None = None,
    retries: int = 2,
) -> list[ItemOutcome[Value]]:
    """Run `function` on each item as a Ray task that holds one `microvm`, and hand over outcomes as they come.

    `on_result` runs in this process, one call at a time, so that whoever writes there is the only writer. A worker's
    death and an InfraError are retried `retries` times. At the deadline, or when anything interrupts this call, what is
    still out is killed. InfraError when there were items and not one of them has a value.
    """
    if not items:
        return []
    import ray

    task = ray.remote(function).options(
        name=label, num_cpus=0, resources={MICROVM: 1}, max_retries=retries, retry_exceptions=[InfraError]
    )
    outcomes: dict[int, ItemOutcome[Value]] = {}
    ends = time.monotonic() + deadline_s
    out: dict[Any, int] = {}
    try:
        for index, item in enumerate(items):
            out[task.remote(item)] = index
        while out and time.monotonic() < ends:
            done, _ = ray.wait(list(out), num_returns=len(out), timeout=0)
            if not done:
                # Not in `ray.wait`: what a signal handler raises in there comes out as a SystemError (Ray 2.60).
                time.sleep(POLL_S)
            for ref in done:
                _settle(outcomes, _collect(ref, out[ref], retries), on_result)
                del out[ref]
    finally:
        _kill(list(out))
    for index in out.values():
        late = Failure("deadline", f"no result within {deadline_s:g} s")
        _settle(outcomes, ItemOutcome(index, failure=late), on_result)
    return _checked([outcomes[index] for index in range(len(items))], label)


def _settle(
    outcomes: dict[int, ItemOutcome[Value]],
    outcome: ItemOutcome[Value],
    on_result: Callable[[ItemOutcome[Value]], None] | None,
) -> None:
    outcomes[outcome.index] = outcome
    if on_result is not None:
        on_result(outcome)


def _collect(ref: Any, index: int, retries: int) -> ItemOutcome[Any]:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ItemOutcome(index, value=ray.get(ref))
    except RayTaskError as error:
        return ItemOutcome(index, failure=_failure_of(error))
    except RayError as error:
        # Everything that is not the function's own exception: a killed worker, a lost node, out of memory.
        what = type(error).__name__
        return ItemOutcome(index, failure=Failure("worker-died", f"{what}, {retries + 1} attempts"))


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


def _kill(refs: list[Any]) -> None:
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


def _checked(outcomes: list[ItemOutcome[Value]], label: str) -> list[ItemOutcome[Value]]:
    failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
    if len(failures) == len(outcomes):
        raise InfraError(f"{label}: none of {len(outcomes)} ended well; the first: {failures[0].message}")
    return outcomes

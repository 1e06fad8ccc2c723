# SPDX-License-Identifier: Apache-2.0
"""Plain functions as Prefect tasks that are tried again when the infrastructure failed, and never otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from policy_lake.errors import InfraError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun

P = ParamSpec("P")
R = TypeVar("R")


def failed_by_infrastructure(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether the attempt ended in an InfraError. A `def`: Prefect takes any other callable for "never" (3.8.8)."""
    return isinstance(state.data, InfraError)


def retryable(
    function: Callable[P, R], *, name: str | None = None, retries: int = 2, delay_s: float = 2.0,
    timeout_s: float | None = None,
) -> Task[P, R]:  # fmt: skip
    """`function` as a Prefect task with `retries` more attempts on InfraError, `delay_s` apart.

    Nothing is cached: a measurement depends on kernel, host and moment, which are not among its arguments. The time
    limit interrupts on the main thread only, which is where our flows run their tasks.
    """
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    return task(
        name=name or function.__name__.replace("_", "-"),
        retries=retries,
        retry_delay_seconds=delay_s,
        retry_condition_fn=failed_by_infrastructure,
        cache_policy=NO_CACHE,
        persist_result=False,
        timeout_seconds=timeout_s,
    )(function)

# SPDX-License-Identifier: Apache-2.0
"""Guest slots of this process: as many guests at once as the host's CPUs bear, without a cluster."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Generic, Self, TypeVar

from policy_lake.doing import doing
from policy_lake.errors import BuildError, EndedVMError, InfraError, InputError
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.host.guest import prepare_guest
from tasks.host.spans import Span
from tasks.trial.drive import RunStore, drive
from tasks.trial.race import Repeat
from tasks.trial.spec import Asked, TrialSpec, Work
from tasks.trial.work import Done, Result
from verifier_vm.machine.process import end_guests

ENDING_S = 1.0
ATTEMPTS = 2  # for what the infrastructure did
Value = TypeVar("Value")
Item = TypeVar("Item")
Given = TypeVar("Given")


class LocalSlots(Generic[Item, Given]):
    """Slots as `drive` wants them, on threads; leaving the context ends the guests that still run."""

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="guest")
        self._ended: queue.SimpleQueue[tuple[int, Future[Given]]] = queue.SimpleQueue()
        self._futures: list[Future[Given]] = []
        self._collected = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        # A process that a signal ends does not wait for a compiler, or for the digest of a snapshot.
        until = time.monotonic() + ENDING_S if kind and not issubclass(kind, Exception) else math.inf
        while time.monotonic() < until and (out := [future for future in self._futures if not future.done()]):
            end_guests()  # one that was about to start is met the next time round
            wait(out, timeout=0.1)

    def submit(self, function: Callable[[Item], Given], item: Item) -> int:
        """See Slots."""
        index, future = len(self._futures), self._executor.submit(_tried, function, item)
        self._futures.append(future)
        future.add_done_callback(lambda done: self._ended.put((index, done)))
        return index

    def __iter__(self) -> Iterator[ItemOutcome[Given]]:
        while self._collected < len(self._futures):
            index, future = self._ended.get()
            self._collected += 1
            error = future.exception()
            if error is None:
                yield ItemOutcome(index, value=future.result())
            elif isinstance(error, InfraError):
                yield ItemOutcome(index, failure=Failure("infra", str(error)))
            else:
                raise error


def run_here(
    steps: Generator[Sequence[Asked], Sequence[Result], Value], spec: TrialSpec, store: RunStore, *,
    recompute: bool = False, on_span: Callable[[Span], None] = lambda _: None, what: str = "measuring",
    race: Repeat | None = None,
) -> Value:  # fmt: skip
    """Run one trial's generator to its end in this process; InfraError, InputError or BuildError as it fails.

    `what` is what it is said to be at, `race` how many pairs it has where that is known.
    """
    guest = prepare_guest(spec.settings, spec.shape)
    guest.announce()
    with LocalSlots[Work, Done](spec.settings.slots(guest.host_cpus)) as slots:
        said = partial(doing, "%s: %d runs done, %d to go", what)
        (outcome,) = drive([steps], slots, store, recompute=recompute, on_span=on_span, on_count=said, race=race)
    if outcome.failure is not None:
        kinds = {"build": BuildError, "input": InputError}
        raise kinds.get(outcome.failure.kind, InfraError)(outcome.failure.message)
    return outcome.value  # type: ignore[return-value]  # a generator may well end with None


def _tried(function: Callable[[Item], Given], item: Item) -> Given:
    for _ in range(ATTEMPTS - 1):
        try:
            return function(item)
        except EndedVMError:
            raise
        except InfraError:
            continue
    return function(item)

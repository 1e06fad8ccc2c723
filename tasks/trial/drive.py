# SPDX-License-Identifier: Apache-2.0
"""Many trials at once over one pool of guest slots: each run is asked for once, whoever wants it, and kept.

What a trial asks for goes out piece by piece as slots come free; a run that the lake holds already is not computed
again, nor one that another trial is waiting for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from policy_lake.errors import InfraError
from policy_lake.measurement import Measurement
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.host.guest import prepare_guest
from tasks.host.spans import Span
from tasks.trial.race import Race, Repeat
from tasks.trial.run import run_inputs
from tasks.trial.spec import Asked, GoOn, RunWork, Standing, Work
from tasks.trial.work import Done, Result, do_work

Value = TypeVar("Value")


class Slots(Protocol):
    """Guest slots, here or on a cluster: pieces of work go in, outcomes come out as they end."""

    def submit(self, function: Callable[[Work], Done], item: Work) -> int:
        """Queue one piece of work; the index that its outcome will have."""

    def __iter__(self) -> Iterator[ItemOutcome[Done]]:
        """Outcomes in the order in which they end, until nothing is out."""


class RunStore(Protocol):
    """Where measured runs are kept."""

    def measurements(self, ids: Sequence[str]) -> dict[str, Measurement]:
        """Those of these runs that are known, by id."""

    def put(self, measurement: Measurement, /) -> None:
        """Keep a run."""


class MemoryStore:
    """Runs kept for as long as this object lives."""

    def __init__(self) -> None:
        self._kept: dict[str, Measurement] = {}

    def measurements(self, ids: Sequence[str]) -> dict[str, Measurement]:
        """See RunStore."""
        return {id: self._kept[id] for id in ids if id in self._kept}

    def put(self, measurement: Measurement, /) -> None:
        """See RunStore."""
        self._kept[measurement.id] = measurement


@dataclass(slots=True)
class _Stepper(Generic[Value]):
    """One generator, and what it waits for: results by position, None while they are out."""

    index: int
    steps: Generator[Sequence[Asked], Sequence[Result], Value]
    results: list[Result | None] = field(default_factory=list)


def drive(
    trials: Iterable[Generator[Sequence[Asked], Sequence[Result], Value]],
    slots: Slots,
    store: RunStore,
    *,
    recompute: bool = False,
    on_span: Callable[[Span], None] = lambda _: None,
    on_count: Callable[[int, int], None] = lambda done, left: None,
    race: Race | Repeat | None = None,
) -> Iterator[ItemOutcome[Value]]:
    """Run generators side by side; yields what each came to as it ends, or why nothing is known of it.

    `recompute` computes runs that the store holds, too, and leaves the store as it is. `on_span` hears when each
    piece of work that was done here ran, `on_count` how many are done and how many more were asked for so far. `race`
    says which go on, once all that are under way have asked it: so its answers depend on no order of ends. An exception
    of a generator itself is raised.
    """
    return _Drive[Value](slots, store, recompute, on_span, on_count, race).all(list(trials))


class _Drive(Generic[Value]):
    def __init__(
        self, slots: Slots, store: RunStore, recompute: bool, on_span: Callable[[Span], None],
        on_count: Callable[[int, int], None], race: Race | Repeat | None,
    ) -> None:  # fmt: skip
        self._race, self._standing = race, dict[int, tuple[_Stepper[Value], Standing]]()
        self._slots, self._store, self._recompute, self._on_span = slots, store, recompute, on_span
        self._on_count, self._done = on_count, 0
        self._waiting: dict[int, list[tuple[_Stepper[Value], int]]] = {}  # by the index of the work that is out
        self._out: dict[str, int] = {}  # runs that are out, by key
        self._keys: dict[int, str] = {}
        self._known: dict[str, Measurement] = {}

    def all(
        self, trials: Sequence[Generator[Sequence[Asked], Sequence[Result], Value]]
    ) -> Iterator[ItemOutcome[Value]]:
        for index, steps in enumerate(trials):
            yield from self._advance(_Stepper(index, steps), None)
        self._on_count(0, len(self._waiting))
        while self._waiting or self._standing:
            yield from self._answer()
            for outcome in self._slots:
                yield from self._settle(outcome)
                self._done += 1
                self._on_count(self._done, len(self._waiting))
            if self._waiting:
                raise InfraError("the guest slots ended with work still out")

    def _answer(self) -> Iterator[ItemOutcome[Value]]:
        """Let the race decide, once nobody is under way, and send its answers."""
        while self._standing and not self._waiting:
            asked = dict(sorted(self._standing.items()))
            self._standing.clear()
            on = (
                self._race.going_on({index: standing for index, (_, standing) in asked.items()})
                if self._race
                else asked
            )
            for index, (stepper, _) in asked.items():
                yield from self._advance(stepper, [GoOn(index in on)])

    def _settle(self, outcome: ItemOutcome[Done]) -> Iterator[ItemOutcome[Value]]:
        waiting = self._waiting.pop(outcome.index, [])
        key = self._keys.pop(outcome.index, "")
        self._out.pop(key, None)
        if outcome.value is None:
            failure = outcome.failure or Failure("bug", "no outcome")
            yield from self._fail([stepper for stepper, _ in waiting], failure)
            return
        self._on_span(outcome.value.span)
        result = outcome.value.result
        if isinstance(result, Measurement):
            if result.id != key:
                other = Failure("infra", f"a worker has another kernel, image or QEMU: run {result.id}, not {key}")
                yield from self._fail([stepper for stepper, _ in waiting], other)
                return
            self._keep(result)
        for stepper, position in waiting:
            stepper.results[position] = result
        for stepper in {id(stepper): stepper for stepper, _ in waiting}.values():
            if all(given is not None for given in stepper.results):
                yield from self._advance(stepper, [given for given in stepper.results if given is not None])

    def _keep(self, measurement: Measurement) -> None:
        self._known[measurement.id] = measurement
        if not self._recompute:
            self._store.put(measurement)

    def _advance(self, stepper: _Stepper[Value], results: list[Result] | None) -> Iterator[ItemOutcome[Value]]:
        """Send results in, and whatever is asked for next out; what is known already is sent at once."""
        while True:
            try:
                asked = next(stepper.steps) if results is None else stepper.steps.send(results)
            except StopIteration as end:
                yield ItemOutcome(stepper.index, value=end.value)
                return
            work_asked = [one for one in asked if not isinstance(one, Standing)]
            if len(work_asked) < len(asked):
                (standing,) = (one for one in asked if isinstance(one, Standing))
                self._standing[stepper.index] = (stepper, standing)
                return
            known = self._look_up(work_asked)
            stepper.results = list(known)
            for position, (work, result) in enumerate(zip(work_asked, known, strict=True)):
                if result is None:
                    self._wait(stepper, position, work)
            if any(given is None for given in stepper.results):
                return
            results = [given for given in stepper.results if given is not None]

    def _look_up(self, asked: Sequence[Work]) -> list[Result | None]:
        keys = [_key(work) for work in asked]
        unknown = [key for key in dict.fromkeys(keys) if key and key not in self._known]
        if unknown and not self._recompute:
            self._known |= self._store.measurements(unknown)
        return [self._known.get(key) if key else None for key in keys]

    def _wait(self, stepper: _Stepper[Value], position: int, work: Work) -> None:
        key = _key(work)
        index = self._out.get(key) if key else None
        if index is None:
            index = self._slots.submit(do_work, work)
            self._waiting[index] = []
            self._keys[index] = key
            if key:
                self._out[key] = index
        self._waiting[index].append((stepper, position))

    def _fail(self, steppers: Sequence[_Stepper[Value]], failure: Failure) -> Iterator[ItemOutcome[Value]]:
        for stepper in {id(stepper): stepper for stepper in steppers}.values():
            stepper.steps.close()
            for waiting in self._waiting.values():
                waiting[:] = [pair for pair in waiting if pair[0] is not stepper]
            yield ItemOutcome(stepper.index, failure=failure)


def _key(work: Work) -> str:
    """A run's key on this host; empty for work that is done anew each time."""
    if not isinstance(work, RunWork):
        return ""
    return run_inputs(work, prepare_guest(work.settings, work.shape)).key

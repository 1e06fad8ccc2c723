# SPDX-License-Identifier: Apache-2.0
"""The policies of a campaign: verified once a guest, the runs that nobody knows computed, and rows made of them.

What is known lies in the lake, run by run. So a start after any loss computes what is left, and nothing twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from policy_lake.campaign import CampaignRow, Place
from policy_lake.doing import doing
from policy_lake.lake import Lake
from policy_lake.measurement import Measurement
from policy_lake.model import Rejection
from policy_lake.scores import Score
from tasks.campaign.compute import Slots, Stream
from tasks.campaign.forecast import guests_of
from tasks.campaign.ground import Ground, Made, Runs, ground_of, make
from tasks.campaign.keep import Keeper
from tasks.campaign.matrix import CampaignSpec
from tasks.campaign.times import Times, kind_of
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.host.guest import Shape
from tasks.trial.kept import keep_object
from tasks.trial.spec import Prepared, VerifyWork, Work
from tasks.trial.work import Done, do_work

ANOTHER_GUEST = "a worker has another kernel, image or QEMU"
LEFT = "not measured yet: the budget is used up"

Refusals = dict[tuple[Shape, str], str]


@dataclass(slots=True)
class Budget:
    """What may still be computed: runs and seconds by the wall, 0 for no limit; `used` says which is used up."""

    runs: int
    seconds: float
    spent: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def used(self) -> str:
        """`runs` or `seconds`; empty while there is some left."""
        if self.runs and self.spent >= self.runs:
            return "runs"
        return "seconds" if self.seconds and time.monotonic() - self.began >= self.seconds else ""


@dataclass(slots=True)
class _Open:
    """A place whose runs are under way: what is known of them, and which are missing."""

    ground: Ground
    wanted: dict[str, tuple[Made, Runs]]  # by policy
    refused: dict[str, str]
    known: dict[str, Measurement]
    missing: set[str]
    failed: dict[str, str] = field(default_factory=dict)


class Conduct:
    """The policies of a campaign on slots; `run` yields each place's rows as its last run ends."""

    def __init__(
        self, spec: CampaignSpec, lake: Lake, slots: Slots[Work, Done], *, slots_now: Callable[[], int],
        budget: Budget, times: Times,
    ) -> None:  # fmt: skip
        self._spec, self._lake, self._slots, self._slots_now = spec, lake, slots, slots_now
        self._budget, self._times = budget, times
        self._open: dict[str, list[_Open]] = {}  # by the key that they miss
        self._complete: list[_Open] = []
        self._regressions = tuple(lake.regressions())
        self._begun = 0  # places
        self.known = self.computed = 0
        self.guest_s = 0.0
        self.left = False
        self.failures: Counter[str] = Counter()

    def run(self) -> Iterator[CampaignRow]:
        """All rows; those that the budget leaves unmeasured say so."""
        refusals = self._verify()
        with Keeper(self._lake.put) as keeper:
            stream = self._stream()
            for key, outcome in stream.through(self._pieces(refusals)):
                self._settle(key, outcome, keeper)
                yield from self._rows(keeper)
            yield from self._rows(keeper)
            self.left = stream.left
            unfinished = {id(one): one for waiting in self._open.values() for one in waiting}
            for one in unfinished.values():
                yield from self._rows_of(one, keeper)
            for place in islice(self._spec.matrix.in_order(), self._begun, None):
                yield from (CampaignRow(place, name, why_not=LEFT) for name in self._spec.matrix.policies)

    def _stream(self) -> Stream[str, Work, Done]:
        return Stream(self._slots, do_work, slots_now=self._slots_now, enough=lambda: bool(self._budget.used))

    def _verify(self) -> Refusals:
        """Why policies may not be measured, by guest and policy; verdicts that are known cost a worker nothing."""
        named: dict[tuple[Shape, str], Work] = {}
        for ground in guests_of(self._spec):
            for name in self._spec.matrix.policies:
                made = make(name, ground)
                if made.policy is not None:
                    named[ground.shape, name] = VerifyWork(ground.spec(made, self._regressions))
        refusals: Refusals = {}
        stream: Stream[tuple[Shape, str], Work, Done] = Stream(self._slots, do_work, slots_now=self._slots_now)
        for number, (which, outcome) in enumerate(stream.through(named.items()), 1):
            doing("campaign: %d of %d verifications done", number, len(named))
            if why := self._refusal(outcome):
                refusals[which] = why
        return refusals

    def _refusal(self, outcome: ItemOutcome[Done]) -> str:
        if outcome.value is None:
            failure = outcome.failure or Failure("bug", "no outcome")
            self.failures[failure.message] += 1
            return f"no result: {failure.message}"
        self._time(outcome.value)
        prepared = outcome.value.result
        if not isinstance(prepared, Prepared):
            raise TypeError(f"a verification's result is no {type(prepared).__name__}")
        rejection = prepared.verdict.rejection
        return "" if rejection is None else f"rejected at {rejection.stage}: {rejection.reason}"

    def _pieces(self, refusals: Refusals) -> Iterator[tuple[str, Work]]:
        """The runs that nobody knows, each once, place by place; what is known is looked up on the way."""
        for place in self._spec.matrix.in_order():
            self._begun += 1
            ground = ground_of(self._spec, place)
            one = self._opened(ground, refusals)
            works = {key: work for _, runs in one.wanted.values() for key, work in runs.items()}
            fresh = [key for key in works if key in one.missing and key not in self._open]
            for key in one.missing:
                self._open.setdefault(key, []).append(one)
            if not one.missing:
                self._complete.append(one)
            for key in fresh:
                yield key, works[key]

    def _opened(self, ground: Ground, refusals: Refusals) -> _Open:
        wanted, refused = dict[str, tuple[Made, Runs]](), dict[str, str]()
        for name in self._spec.matrix.policies:
            made = make(name, ground)
            why = f"rejected at {made.rejection.stage}: {made.rejection.reason}" if made.rejection else ""
            if why := why or refusals.get((ground.shape, name), ""):
                refused[name] = why
            else:
                wanted[name] = (made, ground.runs(made))
        keys = {key for _, runs in wanted.values() for key in runs}
        known = self._lake.measurements(sorted(keys))
        self.known += len(known)
        return _Open(ground, wanted, refused, known, keys - set(known))

    def _settle(self, key: str, outcome: ItemOutcome[Done], keeper: Keeper) -> None:
        waiting = self._open.pop(key)
        why, measurement = self._heard(key, outcome)
        self._budget.spent += 1
        if measurement is not None:
            keeper.add(measurement)
            self.computed += 1
        else:
            self.failures[why] += 1
        for one in waiting:
            one.missing.discard(key)
            if measurement is not None:
                one.known[key] = measurement
            else:
                one.failed[key] = why
            if not one.missing:
                self._complete.append(one)
        doing("campaign: %d runs computed, %d were known, %d failed", self.computed, self.known, self.failures.total())

    def _heard(self, key: str, outcome: ItemOutcome[Done]) -> tuple[str, Measurement | None]:
        if outcome.value is None:
            return (outcome.failure or Failure("bug", "no outcome")).message, None
        result = outcome.value.result
        if not isinstance(result, Measurement):
            raise TypeError(f"a run's result is no {type(result).__name__}")
        if result.id != key:
            return ANOTHER_GUEST, None
        self._times.note(kind_of(result.inputs), self._time(outcome.value))
        return "", result

    def _time(self, done: Done) -> float:
        seconds = done.span[1] - done.span[0]
        self.guest_s += seconds
        return seconds

    def _rows(self, keeper: Keeper) -> Iterator[CampaignRow]:
        while self._complete:
            yield from self._rows_of(self._complete.pop(), keeper)

    def _rows_of(self, one: _Open, keeper: Keeper) -> Iterator[CampaignRow]:
        place = one.ground.place
        for name in self._spec.matrix.policies:
            if name in one.refused:
                yield CampaignRow(place, name, why_not=one.refused[name])
                continue
            made, runs = one.wanted[name]
            lost = next((one.failed[key] for key in runs if key in one.failed), "")
            if lost or not runs.keys() <= one.known.keys():
                yield CampaignRow(place, name, why_not=f"no result: {lost}" if lost else LEFT)
                continue
            result = one.ground.score(made, one.known)
            if isinstance(result, Score):
                policy = made.policy
                assert policy is not None
                keep_object(policy.data, self._spec.settings)  # a score in the lake promises it
                keeper.add(made.candidate, result)
            yield row_of(place, name, result)


def row_of(place: Place, contender: str, result: Score | Rejection | None) -> CampaignRow:
    """What a contender came to, as a row; a policy that breaks a guard has figures, and may not run."""
    if result is None or isinstance(result, Rejection):
        return CampaignRow(place, contender, why_not=result.reason if result else "found nothing that may run")
    over = ", ".join(f"{name} is {times:.3g} times its limit" for name, times in result.over.items())
    return CampaignRow(
        place, contender, result.policy, result.ratio, result.outcome, result.bound, len(result.pairs), result.id,
        f"breaks a guard: {over}" if over else "",
    )  # fmt: skip

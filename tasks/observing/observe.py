# SPDX-License-Identifier: Apache-2.0
"""Observe a scope: the counters always, the probe when they leave the question open or a person asks for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.observed import TIERS, Counters, Histograms, Missing, Observed, ObserverTier, Reason, Step
from tasks.observing.counters import CounterTier
from tasks.observing.needs import NeedError, check_needs
from tasks.observing.plan import after_counters, after_histograms, asks_for_histograms
from tasks.observing.probe import Backend, Watched, by_bcc, watched
from tasks.observing.scope import Scope
from tasks.observing.started import HeldCommand

LOOK_S = 0.1
READ_S = 1.0  # between two looks at every task, but for the first ones: a command may be a short one
FIRST_SHARE, FIRST_MOST_S = 0.25, 2.0  # of the time, before the planner is asked


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person wants: for how long at most, up to which tier (None: the planner's), at which share of the CPUs."""

    seconds: float
    tier: ObserverTier | None = None
    backend: Backend | None = None
    most_share: float = 0.01


def observe_scope(
    scope: Scope, ask: Ask, cache_dir: Path, *, command: HeldCommand | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Observed:  # fmt: skip
    """What was seen until the time is over, the command or all tasks of the scope have ended, or SIGINT came.

    InfraError where not even the counters can be read, or a tier that was asked for by name cannot be had.
    """
    with _interrupts() as interrupted, ExitStack() as on:
        run = _Run(scope, ask, cache_dir, on, say)
        if ask.tier is not None and TIERS.index(ask.tier) > 0:
            run.put_on("chosen")
        if command is not None:
            command.let_go()
        began = time.monotonic()
        while (passed := time.monotonic() - began) < ask.seconds and not interrupted:
            if command.ended() if command is not None else not (scope.everyone or run.has_tasks()):
                break
            run.look(passed)
            time.sleep(min(LOOK_S, max(0.0, ask.seconds - passed)))
        if interrupted and command is not None:
            command.end()
        counters, histograms = run.end()
        return Observed(
            scope.kind, scope.name, scope.resolved, os.uname().release, time.monotonic() - began, run.steps(histograms),
            counters, histograms, run.missing(), bool(interrupted), command.status if command else None,
        )  # fmt: skip


class _Run:
    """One observation while it goes on."""

    def __init__(self, scope: Scope, ask: Ask, cache_dir: Path, on: ExitStack, say: Callable[[str], None]) -> None:
        self._scope, self._ask, self._cache_dir, self._on, self._say = scope, ask, cache_dir, on, say
        self._tier = CounterTier(scope)
        self._probe: Watched | None = None
        self._why: Reason = "too-short"
        self._decided = ask.tier is not None
        self._lacks: list[Missing] = []
        self._read_at = 0.0
        self._there = True

    def has_tasks(self) -> bool:
        return self._there

    def look(self, passed: float) -> None:
        """Whatever is due by now: the tasks' counters, the planner, the probe's cost."""
        if passed - self._read_at >= min(READ_S, self._read_at / 2):
            self._read_at = passed
            self._tier.look()
            self._there = bool(self._scope.processes())
        if not self._decided and passed >= min(FIRST_MOST_S, FIRST_SHARE * self._ask.seconds):
            self._decided = True
            self._tier.look()
            self._why = after_counters(self._tier.counters())
            if asks_for_histograms(self._why):
                self.put_on(self._why)
        if self._probe is not None and not self._probe.taken_off and self._probe.costs_too_much():
            self._say(f"the probe takes more than {self._ask.most_share:.1%} of the CPUs: it is taken off")

    def put_on(self, why: Reason) -> None:
        """The probe, or why there is none; InfraError if it was asked for by name."""
        self._why = why
        try:
            check_needs(formats=by_bcc(self._ask.backend))
            self._probe = self._on.enter_context(
                watched(self._scope, self._cache_dir, backend=self._ask.backend, most_share=self._ask.most_share)
            )
        except InfraError as error:
            if why == "chosen":
                raise
            mend = error.mend if isinstance(error, NeedError) else ""
            self._lacks.append(Missing("histograms", error.why if isinstance(error, NeedError) else str(error), mend))
            return
        self._say("histograms: the probe is on")

    def end(self) -> tuple[Counters, Histograms | None]:
        with suppress(InfraError):
            self._tier.look()
        return self._tier.counters(), self._probe.histograms() if self._probe is not None else None

    def missing(self) -> tuple[Missing, ...]:
        return (*self._tier.missing, *self._lacks)

    def steps(self, histograms: Histograms | None) -> tuple[Step, ...]:
        chosen = self._ask.tier == "counters"
        steps = [Step("counters", True, "chosen" if chosen else "first")]
        steps.append(Step("histograms", histograms is not None, "chosen" if chosen else self._why))
        if self._why in ("idle", "no-delay", "too-short") or chosen:
            return tuple(steps)
        after = after_histograms(histograms)
        return (*steps, Step("trace", False, after))


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Meanwhile SIGINT and SIGTERM only end the observation; those that came are in the list."""
    came: list[int] = []
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda signal_number, _: came.append(signal_number))
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

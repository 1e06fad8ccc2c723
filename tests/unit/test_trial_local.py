# SPDX-License-Identifier: Apache-2.0
"""A trial in this process: what each piece of work comes to, and what an interrupt does to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flow_cases import candidate
from flow_cases import score as score_of
from trial_cases import guest_in, spec

from policy_lake.errors import BuildError, InfraError, InputError
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.trial import local
from tasks.trial.local import ATTEMPTS, LocalSlots, run_here

LJF, RR = candidate("ljf-1"), candidate("rr-1")
SCORE = score_of(LJF)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the guests that still run were ended."""
    calls: list[int] = []
    monkeypatch.setattr(local, "end_guests", lambda: calls.append(1))
    return calls


def test_each_piece_of_work_ends_in_an_outcome_of_its_index(ended: list[int]) -> None:
    with LocalSlots(2) as slots:
        assert [slots.submit(lambda item: item * 10, n) for n in (1, 2, 3)] == [0, 1, 2]  # type: ignore[arg-type, return-value]
        assert {outcome.index: outcome.value for outcome in slots} == {0: 10, 1: 20, 2: 30}
        assert list(slots) == [] and slots.submit(lambda item: item, 7) == 3  # type: ignore[arg-type, return-value]
        assert [outcome.value for outcome in slots] == [7]
    assert ended == []


def failing(error: Exception, times: int) -> Any:
    calls: list[int] = []

    def work(item: Any) -> Any:
        calls.append(item)
        if len(calls) <= times:
            raise error
        return item

    work.calls = calls  # type: ignore[attr-defined]
    return work


def test_what_the_infrastructure_did_is_tried_twice_and_then_told(ended: list[int]) -> None:
    once, always = failing(InfraError("lost"), 1), failing(InfraError("lost"), 9)
    with LocalSlots(1) as slots:
        slots.submit(once, 5)
        assert [outcome.value for outcome in slots] == [5] and once.calls == [5, 5]
        slots.submit(always, 6)
        (outcome,) = slots
    assert (outcome.failure, outcome.value) == (Failure("infra", "lost"), None)
    assert always.calls == [6] * ATTEMPTS and ATTEMPTS == 2


def test_any_other_error_is_raised_at_once(ended: list[int]) -> None:
    work = failing(InputError("no knob"), 1)
    with LocalSlots(1) as slots:
        slots.submit(work, 5)
        with pytest.raises(InputError, match="no knob"):
            next(iter(slots))
    assert work.calls == [5]


def test_leaving_in_mid_work_ends_the_guests_and_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    release, ran, begun = threading.Event(), [], time.monotonic()
    ended: list[int] = []
    monkeypatch.setattr(local, "end_guests", lambda: (ended.append(1), release.set()))
    with LocalSlots(1) as slots:
        slots.submit(lambda item: release.wait(10), 1)  # type: ignore[arg-type, return-value]
        slots.submit(ran.append, 2)  # type: ignore[arg-type, return-value, func-returns-value]
    assert ended == [1] and ran == [] and time.monotonic() - begun < 5, "nobody waits for what is ended"


@pytest.mark.parametrize(("why", "waits"), [(KeyboardInterrupt, False), (ValueError, True), (None, True)])
def test_only_who_ends_the_process_leaves_work_behind(
    why: type[BaseException] | None, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, done, turns = threading.Event(), [], []
    monkeypatch.setattr(local, "ENDING_S", 0.25)

    def end_guests() -> None:  # which a compiler is deaf to
        turns.append(1)
        if len(turns) == 8:
            release.set()

    monkeypatch.setattr(local, "end_guests", end_guests)
    with contextlib.suppress(KeyboardInterrupt, ValueError), LocalSlots(1) as slots:
        slots.submit(lambda item: (release.wait(10), done.append(item)), 1)  # type: ignore[arg-type, return-value, func-returns-value]
        until(slots._futures[0].running)
        if why:
            raise why
    assert bool(done) is waits and (len(turns) >= 8 if waits else 2 <= len(turns) < 8)
    release.set()


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "error"), [("build", BuildError), ("input", InputError), ("infra", InfraError), ("bug", InfraError)]
)
def test_a_trial_s_failure_is_raised_as_what_it_is(
    kind: str, error: type[Exception], tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("INFO")
    asked: list[Any] = []
    monkeypatch.setattr(local, "prepare_guest", lambda settings, shape: guest_in(tmp_path))

    def drive(trials: Any, slots: Any, store: Any, **options: Any) -> list[Any]:
        asked.append((options["recompute"], slots._executor._max_workers))
        options["on_count"](3, 4)
        return [ItemOutcome(0, failure=Failure(kind, "why"))] if kind else [ItemOutcome(0, 5)]  # type: ignore[arg-type]

    monkeypatch.setattr(local, "drive", drive)
    given = spec(tmp_path)
    given = replace(given, settings=given.settings.model_copy(update={"microvm_slots": 3}))
    with pytest.raises(error, match="why") as raised:
        run_here(None, given, None)  # type: ignore[arg-type]
    assert type(raised.value) is error
    kind = ""
    assert run_here(None, given, None, recompute=True, what="a score") == 5  # type: ignore[arg-type]
    assert caplog.messages == ["measuring: 3 runs done, 4 to go", "a score: 3 runs done, 4 to go"]
    assert asked == [(False, 3), (True, 3)]

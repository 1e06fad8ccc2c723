# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command: what each raises, what it leaves behind, and who else hears of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.host import interrupts
from tasks.host.interrupts import SIGNALS, interruptible, within


def handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in SIGNALS}


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before, hook = handlers(), sys.unraisablehook
    for number in SIGNALS:  # what is started in the background ignores some
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
    interrupts._active.clear()


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # the handler runs before the next of Python's own instructions


@pytest.mark.parametrize(
    ("number", "kind", "status"),
    [
        (signal.SIGINT, KeyboardInterrupt, None),
        (signal.SIGTERM, SystemExit, 143),
        (signal.SIGHUP, SystemExit, 129),
        (signal.SIGQUIT, SystemExit, 131),
    ],
)
def test_each_ends_what_runs_in_its_own_way_once_and_is_let_go(number: int, kind: type, status: int | None) -> None:
    before, hook = handlers(), sys.unraisablehook
    with pytest.raises(kind) as ended, interruptible():
        try:
            send(number)
            pytest.fail("nothing was interrupted")
        finally:
            for another in SIGNALS:
                send(another)  # while it clears away
            assert set(handlers().values()) == {signal.SIG_IGN}
    assert status is None or ended.value.code == status
    assert handlers() == before and sys.unraisablehook == hook, "the process goes on"


def test_what_is_not_interrupted_leaves_everything_as_it_was() -> None:
    before, hook = handlers(), sys.unraisablehook
    for last_resort in (None, lambda status: pytest.fail("nothing was to be cut short")):
        for _ in range(2):
            with interruptible(last_resort):
                assert not set(handlers().values()) & set(before.values()) and sys.unraisablehook != hook
                with interruptible():
                    pass
                assert not set(handlers().values()) & set(before.values()), "the inner one lets go of nothing"
            assert handlers() == before and sys.unraisablehook == hook
    with pytest.raises(ZeroDivisionError) as error, interruptible():
        raise ZeroDivisionError
    assert error.value.__cause__ is None and handlers() == before


def test_where_a_hangup_was_ignored_it_stays_so_and_the_others_do_not() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with pytest.raises(SystemExit), interruptible():
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        send(signal.SIGHUP)
        send(signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with interruptible():
        assert signal.getsignal(signal.SIGHUP) not in (signal.SIG_IGN, signal.SIG_DFL)


def test_a_process_that_ends_is_disturbed_by_no_other_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "within", lambda limit_s, otherwise: None)
    with pytest.raises(SystemExit), interruptible(lambda status: None):
        send(signal.SIGTERM)
    assert set(handlers().values()) == {signal.SIG_IGN}


def test_only_the_first_sets_a_limit_to_clearing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(interrupts, "within", lambda limit_s, otherwise: asked.append((limit_s, otherwise)))
    statuses: list[int] = []
    with pytest.raises(KeyboardInterrupt), interruptible(statuses.append):
        try:
            send(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, interrupts._active[0].interrupt)  # as for one that Python dropped
            send(signal.SIGINT)
    ((limit_s, otherwise),) = asked
    otherwise()
    assert limit_s == interrupts.CLEARING_S == 10.0 and statuses == [130]


def test_an_error_that_compiled_code_makes_of_an_interrupt_is_the_interrupt() -> None:
    with pytest.raises(SystemExit) as ended, interruptible():
        try:
            send(signal.SIGTERM)
        except SystemExit:
            raise SystemError("returned a result with an exception set") from None
    assert ended.value.code == 143 and isinstance(ended.value.__cause__, SystemError)


def test_what_else_python_drops_is_told_as_before() -> None:
    told: list[Any] = []
    sys.unraisablehook = lambda ignored: told.append(ignored.exc_type)

    class Odd:
        def __del__(self) -> None:
            raise ValueError("odd")

    with interruptible():
        Odd()
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            send(signal.SIGINT)
        finally:
            Odd()
    assert told == [ValueError, ValueError]


def test_what_is_to_happen_within_a_limit_holds_up_no_exit() -> None:
    done = threading.Event()
    before = set(threading.enumerate())
    within(0.02, done.set)
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    assert done.wait(5)
    late = threading.Event()
    within(30.0, late.set)
    assert not late.wait(0.05)
    for thread in set(threading.enumerate()) - before:
        thread.cancel()  # type: ignore[attr-defined]

# SPDX-License-Identifier: Apache-2.0
"""Guests and clusters that end: none is started again in the place of one that nobody wants any more."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import EndedVMError, InfraError, LostVMError
from policy_lake.guest import GuestJob
from tasks.fleet.fan_out import Pool
from tasks.host import interrupts
from tasks.trial import local
from tasks.trial.local import LocalSlots
from verifier_vm.machine import vm
from verifier_vm.machine.qemu import Machine


class Guest:
    """A guest that is lost before it says hello."""

    def __init__(self, started: list[int], error: LostVMError) -> None:
        self.started, self.error, self.said = started, error, SimpleNamespace(hello=None)

    def __call__(self, *_: Any) -> Guest:
        self.started.append(1)
        return self

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def finish(self, *_: Any) -> None:
        raise self.error


@pytest.mark.parametrize(("error", "starts"), [(LostVMError("the guest did not boot"), 2), (EndedVMError("ended"), 1)])
def test_a_guest_that_was_ended_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: LostVMError, starts: int
) -> None:
    started: list[int] = []
    monkeypatch.setattr(vm, "GuestProcess", Guest(started, error))
    with pytest.raises(type(error)):
        vm.run(GuestJob({}, (), 0), Machine(Path("k"), Path("i")), deadline_s=60)
    assert len(started) == starts
    assert ("started again" in caplog.text) == (starts == 2)


@pytest.mark.parametrize(("error", "attempts"), [(InfraError("x"), 2), (EndedVMError("x"), 1)])
def test_nor_is_the_work_that_it_was_for(error: Exception, attempts: int) -> None:
    made: list[int] = []

    def work(_: Any) -> Any:
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        local._tried(work, None)  # type: ignore[arg-type]
    assert len(made) == attempts


def test_an_interrupt_meets_guests_that_start_meanwhile_and_waits_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, over = [], threading.Event()
    monkeypatch.setattr(local, "end_guests", lambda: ended.append(1))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), LocalSlots(1) as slots:
        slots.submit(lambda _: over.wait(20), None)  # type: ignore[arg-type, return-value]
        raise KeyboardInterrupt
    over.set()
    assert time.monotonic() - began < 5
    assert len(ended) > 1


def test_a_pool_whose_cluster_is_lost_says_so_and_sends_nothing_out() -> None:
    with Pool[int](deadline_s=60, label="x", lost=lambda: "Ray's raylet ended (signal 9)") as pool:
        with pytest.raises(InfraError, match="raylet ended"):
            pool.submit(int, "1")
        assert len(pool) == 0


def test_clearing_away_that_takes_too_long_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "CLEARING_S", 0.1)
    before, said = {number: signal.getsignal(number) for number in interrupts.SIGNALS}, threading.Event()
    statuses: list[int] = []

    def last_resort(status: int) -> None:
        statuses.append(status)
        said.set()

    try:
        outer = interrupts.interruptible(last_resort)
        with pytest.raises(SystemExit), outer, interrupts.interruptible():  # a command's own changes nothing
            os.kill(os.getpid(), signal.SIGTERM)
        assert said.wait(5) and statuses == [143]
        os.kill(os.getpid(), signal.SIGTERM)  # a second one does not disturb
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_interrupt_that_python_drops_comes_again() -> None:
    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100):  # the handler runs in here, and what it raises goes nowhere
                pass

    with pytest.raises(KeyboardInterrupt), interrupts.interruptible():
        Dropped()
        time.sleep(5)
        pytest.fail("nobody heard of it")

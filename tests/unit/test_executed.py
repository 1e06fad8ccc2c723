# SPDX-License-Identifier: Apache-2.0
"""Coverage of a guest that did not tell all of it is not known, and says why."""

from __future__ import annotations

from typing import Any

import pytest
from gate_events import events

from policy_lake.coverage import Coverage, Executed
from policy_lake.events import LaidOut
from policy_lake.guest import GuestReport
from verifier_vm.judge import executed
from verifier_vm.judge.executed import BY_WALL_CLOCK, coverage_of

RAN = Executed((), 0)


def report(*made: Any, ran: Executed | None = RAN) -> GuestReport:
    return GuestReport(tuple(made), "7.3", "tcg", 1.0, "", executed=ran)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    def measure(data: bytes, programs: Any, executed: Any, words: Any) -> Coverage:
        seen.append((data, programs, executed, words))
        return Coverage("measured")

    monkeypatch.setattr(executed, "measure_coverage", measure)
    return seen


def test_without_blocks_a_layout_or_an_attachment_nothing_is_known(asked: list[Any]) -> None:
    others = [event for event in events("accepted") if not isinstance(event, LaidOut)][:2]
    lies = LaidOut(label="layout", ok=True, seconds=0.0, unknown="the kernel does not tell")
    assert coverage_of(b"o", report(*others, lies, ran=None)) == Coverage(BY_WALL_CLOCK)
    assert coverage_of(b"o", report(*others)) == Coverage("the policy was not attached")
    assert coverage_of(b"o", report(*others, lies)) == Coverage("the kernel does not tell") and asked == []


def test_what_was_told_is_measured_for_the_policy_that_was_loaded(asked: list[Any]) -> None:
    others = [event for event in events("accepted") if not isinstance(event, LaidOut)][:2]
    told: Any = (object(),)
    first = LaidOut(label="layout", ok=True, seconds=0.0, programs=told)
    made = report(*others, first, LaidOut(label="again", ok=True, seconds=0.0))
    assert coverage_of(b"o", made, ("slice_ns=5", "ops.use=two")) == Coverage("measured")
    coverage_of(b"o", made)
    assert asked == [(b"o", told, RAN, ("slice_ns=5", "ops.use=two")), (b"o", told, RAN, ())]

# SPDX-License-Identifier: Apache-2.0
"""Waits with a time limit, told from sleeps: how often a task looked up hangs on when the event came."""

from __future__ import annotations

import pytest
from trace_cases import parent_and_child, trace

from benchmarks.trace.check import first_fault
from benchmarks.trace.polls import LEAST_LOOKS, LOOK_US, without_looks
from benchmarks.trace.program import critical_us, program, program_of_trace, total_us
from benchmarks.trace.tasks import OPS, SLEEP, at_us

P = 300_000
# As xz does it: task 0 waits for task 1 with a limit of 300 ms, looks up in vain, and waits on.
WAITER = [
    (0, "thread", 100, 0, 1),
    (0, "sleep", 50, 0, P + 60), (0, "sleep", 20, P + 60, P + 50), (0, "sleep", 20, P + 50, P + 70),
    (0, "wait", 20, P + 70, 0), (0, "exit", 30, 100_000, 0),
]  # fmt: skip
WORKER = [(1, "wake", 150_000, 850_000, 0), (1, "exit", 10, 0, 0)]


def polling(*, waiter=WAITER, worker=WORKER):
    return trace([*waiter, *worker], names=(), wall_us=2_000_000)


def replaced(index: int, row: tuple) -> list[tuple]:
    return [*WAITER[:index], row, *WAITER[index + 1 :]]


def test_looks_of_a_wait_are_no_sleeps() -> None:
    before = polling()
    after, looks = without_looks(before)
    assert looks == 3 and not (after.op == SLEEP).any()
    assert (critical_us(before), critical_us(after)) == (100 + 50 + 3 * P + 180 + 60 + 30, 150_000 + 100 + 30)
    assert total_us(after) == total_us(before) and first_fault(after) == ""
    assert at_us(after).tolist() == [at for at, op in zip(at_us(before), before.op, strict=True) if op != SLEEP]
    assert [OPS[op] for op in after.op] == ["thread", "wait", "exit", "wake", "exit"]


def test_the_rest_of_an_interval_that_another_wait_had_begun_is_a_look() -> None:
    waiter = [
        *WAITER[:-1], (0, "wake", 30, 100_000, 1), (0, "sleep", 10, 0, 200_050), (0, "wait", 10, 200_050, 2),
        (0, "exit", 5, 10_000, 0),
    ]  # fmt: skip
    # The wait began at 900 ms, was woken at 1000 and found nothing: it has 200 ms left.
    worker = [
        (1, "wake", 150_000, 850_000, 0), (1, "wait", 10, 0, 1), (1, "wake", 110_000, 100_000, 2), (1, "exit", 10, 0, 0)
    ]  # fmt: skip
    after, looks = without_looks(polling(waiter=waiter, worker=worker))
    assert looks == 4 and not (after.op == SLEEP).any()
    shorter = [(*row[:4], 150_050) if row[4] == 200_050 else row for row in waiter]
    assert without_looks(polling(waiter=shorter, worker=worker))[1] == 3, "it ends at no interval's end"


@pytest.mark.parametrize(
    ("waiter", "why"),
    [
        (replaced(4, (0, "wait", LOOK_US + 1, P + 70, 0)), "what it does after the timer is work"),
        (replaced(2, (0, "sleep", 20, P + 60, P + P // 2)), "the lengths are no interval"),
        ([*WAITER[:3], *WAITER[4:]], f"it slept so long fewer than {LEAST_LOOKS} times"),
        ([*WAITER[:4], (0, "nice", 20, P + 70, 1), *WAITER[4:]], "something lies between"),
        ([(0, op, cpu, off, arg // 1000 if op == "sleep" else arg) for _, op, cpu, off, arg in WAITER], "pauses"),
    ],
)
def test_other_sleeps_stay(waiter: list[tuple], why: str) -> None:
    before = polling(waiter=waiter)
    after, looks = without_looks(before)
    assert looks == 0 and after is before, why


def test_a_wait_that_went_on_past_the_interval_had_no_such_limit() -> None:
    late = [(1, "wake", 150_000, 1_850_000, 0), (1, "exit", 10, 0, 0)]
    assert without_looks(polling(worker=late))[1] == 0


def test_sleeps_of_one_who_waits_for_nobody_stay() -> None:
    assert without_looks(parent_and_child())[1] == 0
    paced = trace([(0, "sleep", 20, 0, P), (0, "sleep", 20, P, P), (0, "sleep", 20, P, P), (0, "exit", 20, P, 0)])
    assert without_looks(paced)[1] == 0


def test_the_replayer_s_program_is_without_them(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("benchmarks.trace.program.read_trace", lambda path: polling())
    assert program_of_trace(tmp_path, {}) == program(without_looks(polling())[0])
    assert len(program_of_trace(tmp_path, {})) == len(program(polling())) - 3 * 8

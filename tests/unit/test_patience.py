# SPDX-License-Identifier: Apache-2.0
"""How long a guest is waited for, by the wall clock and by what is seen of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verifier_vm.machine.patience import LEAST, MOST, WINDOW_S, Look, Patience

STARTED, DEADLINE, SILENT_S = 1000.0, 1240.0, 70.0


def ended_after(
    switches: Callable[[float], float], own_s: Callable[[float], float] = lambda at: 0.1 * at,
    lines: Callable[[float], float] = lambda at: at // 50,
) -> float:  # fmt: skip
    """When a guest of which this is seen is ended, in s from its start, asked once a second."""
    now = STARTED

    def look() -> Look:
        at = now - STARTED
        return Look(int(switches(at)), 4000.0 + own_s(at), int(lines(at)))

    patience = Patience(STARTED, DEADLINE, look, silent_s=SILENT_S)
    while patience.left(now) > 0:
        now += 1.0
        assert now < STARTED + 100 * (DEADLINE - STARTED)
    return now - STARTED


def test_where_nothing_is_seen_the_deadline_is_the_end():
    patience = Patience(STARTED, DEADLINE, lambda: None, silent_s=SILENT_S)
    assert [patience.left(DEADLINE - left) for left in (100, 1, 0)] == [100, 1, 0]


@pytest.mark.parametrize("switches", [lambda _: 0, lambda _: 90_000, lambda at: min(at, 200) * 500, lambda at: at * 60])
def test_a_guest_in_which_nobody_is_switched_is_ended_at_its_deadline(switches):
    assert ended_after(switches) == 240


def test_one_that_hangs_later_is_ended_soon_after():
    assert 400 <= ended_after(lambda at: min(at, 400) * 500) <= 400 + 3 * WINDOW_S


@pytest.mark.parametrize("per_s", [LEAST / WINDOW_S * 1.1, 200, 40_000])
def test_one_that_goes_on_has_four_times_as_long_and_no_longer(per_s):
    assert ended_after(lambda at: at * per_s) == MOST * 240


@pytest.mark.parametrize(("own_s", "ended"), [
    (lambda at: at * 30, True),  # it idles: an hour in two minutes
    (lambda at: SILENT_S if at else 0.0, False), (lambda at: SILENT_S + 0.1 if at else 0.0, True),
])  # fmt: skip
def test_one_that_says_nothing_for_longer_than_a_step_may_take_hangs(own_s, ended):
    assert ended_after(lambda at: at * 1000, own_s, lambda _: 5) == (240 if ended else MOST * 240)


def test_each_line_ends_a_silence():
    assert ended_after(lambda at: at * 1000, lambda at: at, lambda at: at // 60) == MOST * 240
    assert 240 <= ended_after(lambda at: at * 1000, lambda at: at, lambda at: min(at, 180) // 60) <= 290

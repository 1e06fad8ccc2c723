# SPDX-License-Identifier: Apache-2.0
"""How long a guest is waited for, by the wall clock and by its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verifier_vm.machine.patience import LEAST_S, MOST, WINDOW_S, Patience

STARTED, DEADLINE = 1000.0, 1240.0


def ended_after(own_s: Callable[[float], float | None]) -> float:
    """When a guest whose own time goes so is ended, in s from its start, asked once a second."""
    now = STARTED
    patience = Patience(STARTED, DEADLINE, lambda: own_s(now - STARTED))
    while patience.left(now) > 0:
        now += 1.0
        assert now < STARTED + 100 * (DEADLINE - STARTED)
    return now - STARTED


def test_by_the_wall_clock_the_deadline_is_the_end():
    assert ended_after(lambda _: None) == 240


@pytest.mark.parametrize("own_s", [lambda _: 0.0, lambda _: 4294.0, lambda at: min(at, 200.0), lambda at: at * 0.006])
def test_a_guest_whose_own_time_stands_still_is_ended_at_its_deadline(own_s):
    assert ended_after(own_s) == 240


def test_one_that_comes_to_a_stop_later_is_ended_soon_after():
    assert 400 <= ended_after(lambda at: min(at, 400.0)) <= 400 + 3 * WINDOW_S


@pytest.mark.parametrize("speed", [1.5 * LEAST_S / WINDOW_S, 0.1, 30.0])
def test_one_that_goes_on_has_four_times_as_long_and_no_longer(speed):
    assert ended_after(lambda at: at * speed) == MOST * 240


def test_who_is_asked_seldom_is_told_the_same():
    patience = Patience(STARTED, DEADLINE, lambda: 0.0)
    assert patience.left(DEADLINE - 1) == 1 and patience.left(DEADLINE) == 0

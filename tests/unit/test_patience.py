# SPDX-License-Identifier: Apache-2.0
"""How long a guest is waited for, by the wall clock and by what its kernel does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verifier_vm.machine.patience import LEAST, MOST, WINDOW_S, Patience

STARTED, DEADLINE = 1000.0, 1240.0


def ended_after(switches: Callable[[float], float | None]) -> float:
    """When a guest whose switches are these is ended, in s from its start, asked once a second."""
    now = STARTED

    def count() -> int | None:
        known = switches(now - STARTED)
        return None if known is None else int(known)

    patience = Patience(STARTED, DEADLINE, count)
    while patience.left(now) > 0:
        now += 1.0
        assert now < STARTED + 100 * (DEADLINE - STARTED)
    return now - STARTED


def test_where_nobody_counts_the_deadline_is_the_end():
    assert ended_after(lambda _: None) == 240


@pytest.mark.parametrize("switches", [lambda _: 0, lambda _: 90_000, lambda at: min(at, 200) * 50, lambda at: at * 0.6])
def test_a_guest_in_which_nobody_is_switched_is_ended_at_its_deadline(switches):
    assert ended_after(switches) == 240


def test_one_that_hangs_later_is_ended_soon_after():
    assert 400 <= ended_after(lambda at: min(at, 400) * 50) <= 400 + 3 * WINDOW_S


@pytest.mark.parametrize("per_s", [LEAST / WINDOW_S * 1.1, 20, 40_000])
def test_one_that_goes_on_has_four_times_as_long_and_no_longer(per_s):
    assert ended_after(lambda at: at * per_s) == MOST * 240


def test_who_is_asked_seldom_is_told_the_same():
    patience = Patience(STARTED, DEADLINE, lambda: 0)
    assert patience.left(DEADLINE - 1) == 1 and patience.left(DEADLINE) == 0

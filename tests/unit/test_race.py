# SPDX-License-Identifier: Apache-2.0
"""Racing: who is worth more pairs, and that the answer hangs on nothing but the figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.trial.race import LEAST_SPREAD, Race, Repeat, pooled_spread
from tasks.trial.spec import Standing


def standing(*ratios: float, breaks: bool = False) -> Standing:
    return Standing(tuple(math.log(ratio) for ratio in ratios), breaks)


def test_the_leader_and_who_may_yet_reach_it_go_on() -> None:
    clear = {0: standing(1.3, 1.31), 1: standing(1.05, 1.06), 2: standing(1.3, 1.29)}
    assert Race().going_on(clear) == {0, 2}
    noisy = {0: standing(1.3, 0.9), 1: standing(1.0, 1.1)}
    assert Race().going_on(noisy) == {0, 1}


def test_what_is_known_already_is_a_rival_too_and_one_goes_on_all_the_same() -> None:
    behind = {3: standing(1.05, 1.06), 7: standing(1.02, 1.03)}
    assert Race(1.3).going_on(behind) == {3}
    assert Race(1.04).going_on(behind) >= {3}


def test_who_is_surely_no_better_than_eevdf_is_measured_no_further() -> None:
    even = {0: standing(1.002, 1.003), 1: standing(1.001, 1.0), 2: standing(0.999, 1.0)}
    assert Race().going_on(even) == {0}, "the leader has its interval, the others are worth nothing more"
    unsure = {0: standing(1.0, 1.1), 1: standing(0.98, 1.07)}
    assert Race().going_on(unsure) == {0, 1}


def test_who_breaks_a_guard_neither_leads_the_others_nor_falls_behind_them() -> None:
    mixed = {0: standing(1.6, 1.61, breaks=True), 1: standing(1.2, 1.21), 2: standing(1.1, 1.11, breaks=True)}
    assert Race().going_on(mixed) == {0, 1}
    assert Race(1.5).going_on(mixed) == {0, 1}, "what is known keeps its guards"


def test_spreads_are_pooled_and_never_nothing() -> None:
    assert pooled_spread({0: standing(1.0), 1: standing(2.0)}) == math.inf
    assert pooled_spread({0: standing(1.0, 1.0), 1: standing(2.0, 2.0)}) == LEAST_SPREAD
    both = {0: standing(1.0, math.exp(0.2)), 1: standing(1.0, 1.0)}
    assert pooled_spread(both) == pytest.approx(math.sqrt(0.02 / 2))


def test_a_repeat_has_the_pairs_of_what_it_repeats() -> None:
    asked = {0: standing(1.0, 1.1), 1: standing(1.0, 1.1, 1.2)}
    assert Repeat(3).going_on(asked) == {0} and Repeat(2).going_on(asked) == set()


RATIOS = st.lists(st.floats(0.2, 5.0), min_size=2, max_size=6)


@given(st.dictionaries(st.integers(0, 9), st.tuples(RATIOS, st.booleans()), min_size=1), st.floats(0, 5))
def test_somebody_always_goes_on_and_the_order_of_asking_decides_nothing(given_: dict, to_beat: float) -> None:
    asked = {index: standing(*ratios, breaks=breaks) for index, (ratios, breaks) in given_.items()}
    on = Race(to_beat).going_on(asked)
    assert on and on <= set(asked)
    assert Race(to_beat).going_on(dict(reversed(asked.items()))) == on
    for breaks in (False, True):
        group = {index: one for index, one in asked.items() if one.breaks is breaks}
        assert not group or on & set(group)

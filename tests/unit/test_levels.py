# SPDX-License-Identifier: Apache-2.0
"""Nice levels by pairs: which EEVDF tells apart, which the policy does not, and which it turns round."""

from __future__ import annotations

import pytest

from verifier_vm.judge.levels import compare_levels
from verifier_vm.judge.readings import Group, Reading


def reading(*times_ms):
    """W4 with so much CPU time for nice -5, 0 and 5, two threads each, both the same."""
    names = ("W4-high", "W4-mid", "W4-low")
    groups = {name: Group(2, ms, ms * ms / 2, ms / 2, ms / 2, ms, 0.0, 0.0, 1)
              for name, ms in zip(names, times_ms, strict=True)}  # fmt: skip
    return Reading("W4", 2, 1000.0, groups, {}, {})


EEVDF = (900.0, 300.0, 100.0)


def said(floating, same, base=EEVDF, base_same=EEVDF):
    policy = {"W4": reading(*floating), "W4-same": reading(*same)}
    found = list(compare_levels(policy, {"W4": reading(*base), "W4-same": reading(*base_same)}))
    assert len(found) <= 1
    return (found[0].level, found[0].reason) if found else ("", "")


def test_levels_that_work_are_not_mentioned():
    assert said((900, 300, 100), (800, 280, 90)) == ("", "")
    assert said((144, 120, 80), (144, 120, 80)) == ("", ""), "a fifth more for each five levels is some"


@pytest.mark.parametrize(
    ("times", "pair"),
    [((900, 300, 299), "nice 0 gets 1.00 times what nice 5"), ((300, 299, 100), "nice -5 gets 1.00 times what nice 0")],
)
def test_two_levels_that_are_the_same_are_noted_with_what_eevdf_makes_of_them(times, pair):
    level, why = said(times, times)
    assert level == "note" and pair in why and "EEVDF: 3.00 and 3.00" in why and why.count("gets") == 2
    assert said(times, EEVDF) == ("", ""), "on one CPU they do differ"


def test_all_the_same_is_said_once():
    level, why = said((100, 100, 100), (100, 100, 100))
    assert level == "note" and "no effect: nice -5 gets 1.00 times what nice 5 gets, on one CPU 1.00 times" in why
    assert "EEVDF: 9.00 and 9.00" in why and "nice 0" not in why


def test_what_eevdf_does_not_tell_apart_is_not_asked_of_a_policy():
    flat = (100, 100, 100)
    assert said(flat, flat, base=flat, base_same=flat) == ("", "")
    assert said(flat, EEVDF, base=EEVDF, base_same=flat)[0] == "note", "where EEVDF does, and there alone"
    assert said((900, 300, 299), flat, base=(900, 300, 290), base_same=flat) == ("", "")


def test_two_levels_upside_down_reject_where_both_say_so():
    level, why = said((900, 100, 300), (900, 100, 300))
    assert level == "reject" and "nice 0 gets 0.33 times what nice 5 gets" in why and "nice -5" not in why
    assert said((900, 100, 300), (900, 300, 100)) == ("", "")


def spread(high, low):
    """W4 of which two threads at nice -5 and two at nice 5 got so much each, and two at nice 0 this and that."""
    groups = {}
    for name, each in (("W4-high", high), ("W4-mid", (100.0, 700.0)), ("W4-low", low)):
        square = sum(ms * ms for ms in each)
        groups[name] = Group(2, sum(each), square, min(each), max(each), sum(each), 0.0, 0.0, 1)
    return Reading("W4", 2, 1000.0, groups, {}, {})


@pytest.mark.parametrize(
    ("floating", "same", "level"),
    [
        # Each CPU has its queue: on all of them equals differ by 900 ms, on one by 20 ms.
        (((110.0, 190.0), (490.0, 1400.0)), ((128.0, 130.0), (728.0, 748.0)), "reject"),
        (((110.0, 190.0), (490.0, 520.0)), ((128.0, 130.0), (300.0, 748.0)), "reject"),
        # Turns are long: equals differ by chance wherever one looks.
        (((110.0, 190.0), (490.0, 1400.0)), ((128.0, 130.0), (300.0, 748.0)), "note"),
        # One of the lighter ones got less than a heavier one.
        (((110.0, 500.0), (490.0, 1400.0)), ((128.0, 130.0), (728.0, 748.0)), "note"),
        (((110.0, 190.0), (490.0, 1400.0)), ((128.0, 400.0), (390.0, 748.0)), "note"),
    ],
)
def test_upside_down_is_told_where_equals_differ_less_than_levels_in_one_of_both(floating, same, level):
    policy = {"W4": spread(*floating), "W4-same": spread(*same)}
    base = {name: reading(*EEVDF) for name in policy}
    assert [found.level for found in compare_levels(policy, base)] == [level]

# SPDX-License-Identifier: Apache-2.0
"""Times of 32 bits that take part in an order: what is suspected, and the guests in which they begin anew."""

from __future__ import annotations

import dataclasses

import pytest
from object_cases import OBJECTS, object_bytes

from verifier_vm.judge.aim import aimed_parts
from verifier_vm.judge.suite import FULL, MIX, SHORT, SuiteTier
from verifier_vm.judge.wrapped import with_wraps
from verifier_vm.object.analyse import analyse_object, read_facts
from verifier_vm.object.asked import of_time
from verifier_vm.object.check_times import Wrap, check_times, wraps
from verifier_vm.object.values import Values
from verifier_vm.situations import Situation

VTIME, MOMENT, DIFFERENCE = "f18_narrow_vtime_fails", "f03_narrow_moment_fails", "plain_narrow_difference"
OF_US = 2**32 / 1e6  # s until a number of us begins anew
HOURS = Wrap(32, 11.9 * 3600, 11.9 * 3600)
SUMMED = Wrap(32)


def facts_by(name, op, *args):
    """The facts of a policy with its vtime made another way of the clock."""
    facts, values = read_facts(object_bytes(name)), Values()
    value = values.low(values.compute(op, values.make("ret", ("ktime_get_ns", 1)), *args, wide=True))
    for key, call in list(facts.record.calls.items()):
        if call.field("vtime") is not None:
            fields = tuple((field, value if field == "vtime" else held) for field, held in call.fields)
            facts.record.calls[key] = dataclasses.replace(call, fields=fields)
    return facts


@pytest.mark.parametrize(
    ("name", "bug", "word"), [(VTIME, "F18", "the vtime of an insert"), (MOMENT, "F03", "'next_look'")]
)
def test_it_is_suspected_at_its_place_and_says_how_often(name, bug, word):
    (found,) = [one for one in analyse_object(object_bytes(name)).findings if one.situations == (Situation.WRAPPED,)]
    assert (found.bug, found.level) == (bug, "suspicion") and word in found.reason and "1.19 h" in found.reason
    assert found.place.startswith(f"{name}.bpf.c:") and "64 bits" in found.advice
    (wrap,) = wraps(read_facts(object_bytes(name)))
    assert wrap.first_s == wrap.period_s == pytest.approx(OF_US)


@pytest.mark.parametrize(
    "name", sorted({path.name.partition(".")[0] for path in OBJECTS.glob("*.o.xz")} - {VTIME, MOMENT})
)
def test_nothing_else_is(name):
    assert not list(check_times(read_facts(object_bytes(name))))


@pytest.mark.parametrize(
    ("op", "by", "period_s"),
    [
        ("div", 10_000, OF_US * 10),
        ("rsh", 10, OF_US * 1.024),
        ("rsh", 0, 2**32 / 1e9),
        ("div", 1_000_000, OF_US * 1000),
    ],
)
def test_when_it_begins_anew_hangs_on_its_unit(op, by, period_s):
    (wrap,) = wraps(facts_by(VTIME, op, by))
    assert wrap.period_s == pytest.approx(period_s)
    assert abs(wrap.first_s / period_s - round(wrap.first_s / period_s)) < 0.001


@pytest.mark.parametrize(("op", "by"), [("div", 1_000_000_000), ("rsh", 40)])
def test_what_nobody_lives_to_see_is_none(op, by):
    assert not wraps(facts_by(VTIME, op, by))


def test_how_clang_cuts_a_number_is_seen_for_what_it_is():
    values = Values()
    number = values.make("ret", ("ktime_get_ns", 1))
    cut = values.compute("rsh", values.compute("lsh", number, 32, wide=True), 32, wide=True)
    assert cut is values.low(number) and cut.bits == 32


def test_a_level_beside_a_clock_is_the_usual_one():
    values = Values()
    weight = values.make("load", ("scx.weight", 1, 0, ()), values.make("arg", "p"))
    both = values.compute("add", values.make("ret", ("ktime_get_ns", 1)), weight, wide=True)
    at = of_time(read_facts(object_bytes(VTIME)), both)
    assert at is not None and at(5_000) == 5_100


@pytest.mark.parametrize("tier", ["short", "full"])
def test_where_a_guest_of_the_tier_is_up_for_that_long_it_meets_it(tier: SuiteTier):
    parts = aimed_parts(object_bytes(VTIME), tier)
    assert not [part for part in aimed_parts(object_bytes(DIFFERENCE), tier) if Situation.WRAPPED in part.meets]
    (meeting,) = [part for part in parts if Situation.WRAPPED in part.meets]
    assert meeting.uptime_s and Situation.WRAPPED not in meeting.for_clock(virtual=False).meets


def test_else_one_more_guest_is_up_until_then():
    *known, more = with_wraps([SHORT], frozenset({HOURS}), "short")
    assert known == [SHORT] and more.meets == (Situation.WRAPPED,) and not more.counts
    begins_s = HOURS.first_s - more.up_s - 1.2  # within the mix, and a stall has its time
    assert 0.5 <= begins_s <= 1.5 and more.exercises[0].seconds - begins_s > 3


@pytest.mark.parametrize("wrap", [Wrap(32, OF_US * 1000, OF_US * 1000), SUMMED])
@pytest.mark.parametrize("known", [(SHORT,), FULL])
def test_what_is_out_of_reach_leaves_all_untried(wrap, known):
    parts = with_wraps(known, frozenset({wrap, Wrap(32, OF_US, OF_US)}), "short")
    assert parts == tuple(known)


def test_a_mix_that_ends_too_early_for_a_stall_does_not_meet_it():
    brief = dataclasses.replace(SHORT, exercises=(dataclasses.replace(MIX, seconds=2.5),))
    assert with_wraps([brief], frozenset({Wrap(32, 4292 + 1.2, 4000)}), "short")[0].meets == (Situation.WRAPPED,)
    assert with_wraps([brief], frozenset({Wrap(32, 4292 + 1.4, 4000)}), "short")[0].meets == ()

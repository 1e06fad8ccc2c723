# SPDX-License-Identifier: Apache-2.0
"""Which moments, numbers and levels are tried for a condition, and in which guests; tests/integration has those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.guest import GuestStep
from policy_lake.topology import Topology
from verifier_vm.judge import aim, chosen
from verifier_vm.judge.aim import Aims, aimed_parts
from verifier_vm.judge.case import Case, parse_case
from verifier_vm.judge.chosen import KEPT_S, LONGEST_NAP_S, LONGEST_S, NOTHING, Chosen, choose, exercises, guests
from verifier_vm.judge.gate import after_ready
from verifier_vm.judge.part import LONGEST_REST_S, UPTIME_S, Exercise, Part
from verifier_vm.judge.suite import SHORT
from verifier_vm.object.asked import Question, S, weight_of
from verifier_vm.situations import Situation, made_by

H = 3600


def time(answer: Callable[[float], bool], *, since: bool = False) -> Question:
    """A condition on time, in seconds."""
    return Question("time", lambda ns: answer(ns / S), since)


def pid(answer: Callable[[int], bool], *constants: int) -> Question:
    return Question("pid", answer, constants=frozenset(constants))


def level(answer: Callable[[int], bool]) -> Question:
    return Question("level", answer)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Chosen]:
    def ask(*questions: Question, tier: Any = "short") -> Chosen:
        monkeypatch.setattr(chosen, "questions", lambda facts: iter(questions))
        facts: Any = SimpleNamespace(record=SimpleNamespace(names={}))
        return choose(facts, tier)

    return ask


@pytest.mark.parametrize(("turn_s", "uptimes"), [
    (1, ()), (UPTIME_S, ()), (UPTIME_S + 30, ()), (UPTIME_S + 60, KEPT_S[:1]), (2.4 * H, KEPT_S[:1]),
    (2.6 * H, KEPT_S[1:2]),
    (5.9 * H, KEPT_S[1:2]), (24 * H, KEPT_S[2:3]), (7 * 24 * H, KEPT_S[3:4]), (9 * 24 * H, ()), (49 * 24 * H, ()),
])  # fmt: skip
def test_the_first_kept_guest_beyond_a_moment_is_taken(asked: Any, turn_s: float, uptimes: tuple[int, ...]) -> None:
    for answer in (lambda s: s > turn_s, lambda s: s <= turn_s):
        assert asked(time(answer)) == Chosen(uptimes=uptimes)


def test_the_full_tier_goes_on_for_a_month(asked: Any) -> None:
    assert asked(time(lambda s: s > 29 * 24 * H), tier="full").uptimes == KEPT_S[4:]
    assert {"short": KEPT_S[3], "full": KEPT_S[4]} == LONGEST_S and LONGEST_NAP_S["full"] == 12 * H


def test_between_two_moments_there_is_a_guest_of_its_own_where_none_is_kept(asked: Any) -> None:
    window = asked(time(lambda s: s > 7 * H), time(lambda s: s > 7.5 * H))
    assert window.uptimes == (KEPT_S[2], 7 * H + 61)
    assert asked(time(lambda s: s > 5 * H), time(lambda s: s > 7 * H)).uptimes == (KEPT_S[2], KEPT_S[1])
    assert asked(time(lambda s: s > 12 * H), time(lambda s: s > 13 * H)).uptimes == (KEPT_S[2],), "too long a rest"
    assert asked(time(lambda s: s > 7 * H), time(lambda s: s > 7 * H + 5)).uptimes == (KEPT_S[2],), "over too soon"


def test_what_turns_again_and_again_is_tried_twice(asked: Any) -> None:
    assert asked(time(lambda s: s % (2 * H) > H)).uptimes == (KEPT_S[1], KEPT_S[0])


def test_no_more_than_three_guests_are_made(asked: Any) -> None:
    made = asked(*(time(lambda s, at=at: s > at * H) for at in (2, 3, 4, 5, 10)))
    assert len(made.uptimes) == 3 and made.uptimes[0] == KEPT_S[2]


@pytest.mark.parametrize(("turn_s", "naps"), [
    (0.02, ()), (2.4, ()), (5, (7,)), (60, (62,)), (600, (613,)), (H, (3673,)), (1.9 * H, (6977,)),
    (2.1 * H, ()), (24 * H, ()),
])  # fmt: skip
def test_a_nap_is_a_fiftieth_longer_than_what_is_asked_for(asked: Any, turn_s: float, naps: tuple[int, ...]) -> None:
    assert asked(time(lambda s: s > turn_s, since=True)) == Chosen(naps=naps)


def test_naps_together_are_no_longer_than_one_may_be(asked: Any) -> None:
    naps = asked(*(time(lambda s, at=at: s > at, since=True) for at in (10, 60, 600, H))).naps
    assert naps == (3673, 12, 62), "the longest first"
    assert asked(time(lambda s: s > H, since=True), time(lambda s: s > 1.5 * H, since=True)).naps == (3673,)


@pytest.mark.parametrize(("answer", "constants", "pids"), [
    (lambda n: n == 4711, (4711,), (4711,)), (lambda n: n != 4711, (4711,), (4711,)), (lambda n: n == 3, (3,), (3,)),
    (lambda n: n > 70_000, (70_000,), (70_001,)), (lambda n: n < 100_000, (100_000,), (100_000,)),
    (lambda n: n & 1023 == 5, (1023, 5), (32768 | 5,)), (lambda n: n & 1023 == 5, (), (4101,)),
    (lambda n: n == 1 << 22, (1 << 22,), ()), (lambda n: n == 1, (1,), ()), (lambda n: n % 15 == 0, (), ()),
    (lambda n: n % 17 == 0, (), (4012,)), (lambda n: n >= 1 << 20, (), (1 << 20,)),
])  # fmt: skip
def test_a_number_that_a_guest_s_own_tasks_hardly_have_is_given_to_one(
    asked: Any, answer: Any, constants: tuple[int, ...], pids: tuple[int, ...]
) -> None:
    assert asked(pid(answer, *constants)) == Chosen(pids=pids)


def test_eight_numbers_and_four_levels_are_enough(asked: Any) -> None:
    numbers = [pid(lambda n, at=at: n == at, at) for at in range(5000, 5009)]
    assert asked(*numbers).pids == tuple(range(5000, 5008))
    levels = [level(lambda n, at=at: n == at) for at in (-9, -8, -7, 7, 8)]
    assert asked(*levels).levels == (-9, -8, -7, 7)


@pytest.mark.parametrize(("answer", "levels"), [
    (lambda n: weight_of(n) > 8000, (-20,)), (lambda n: weight_of(n) < 10, (11, 19)), (lambda n: n == 20, (20,)),
    (lambda n: n > 5, (6, 19)), (lambda n: n < 10, (10, 19)), (lambda n: n > -5, ()), (lambda n: n == 0, ()),
    (lambda n: n > 20, ()),
])  # fmt: skip
def test_a_level_that_the_suite_has_not_is_given_to_two(asked: Any, answer: Any, levels: tuple[int, ...]) -> None:
    assert asked(level(answer)) == Chosen(levels=levels)


def test_what_asks_for_ever_is_not_heard_out(asked: Any) -> None:
    calls = [0]

    def answer(number: int) -> bool:
        calls[0] += 1
        return False

    assert asked(*[pid(answer, *range(20)) for _ in range(400)]) == NOTHING
    assert asked(*[pid(lambda n: n == 9) for _ in range(24)], pid(lambda n: n == 4711, 4711)) == NOTHING
    assert calls[0] < 24 * 4000


def test_weights_are_the_kernel_s() -> None:
    assert [weight_of(at) for at in (-20, -10, -5, 0, 5, 19, 20)] == [8668, 932, 305, 100, 33, 1, 1]


def test_chosen_tasks_are_told_to_the_guest_in_numbers() -> None:
    made = exercises(Chosen(pids=(31337, 7), names=(b"batchd", b"kworker/u8:0-ev"), levels=(-20, 20)), 2.4)
    words = (
        "name1_0=1668571490", "name1_1=25704", "name2_0=1919907691", "name2_1=796026219",
        "name2_2=809121909", "name2_3=7759149",
    )  # fmt: skip
    assert made == (
        Exercise("W31", "W31", 2.4, ("pid1=31337", "pid2=7")),
        Exercise("W31-names", "W31", 2.4, words),
        Exercise("W31-level-20", "W31", 2.4, ("level=0",)),
        Exercise("W31-level+20", "W31", 2.4, ("level=40",)),
    )
    for one in made:
        again = parse_case(str(Case(one, Topology(2))), "x").exercise
        assert (again.workloads, again.seconds, again.args) == (one.workloads, one.seconds, one.args)
    assert exercises(NOTHING, 2.4) == () and made_by("W31") == (Situation.CHOSEN,)


def test_eight_long_names_are_a_situation_that_can_be_written_down() -> None:
    (made,) = exercises(Chosen(names=tuple(bytes([255]) * 14 + bytes([48 + i]) for i in range(8))), 2.4)
    assert parse_case(str(Case(made, Topology(2))), "x").exercise.args == made.args


def test_further_guests_are_up_for_longer_and_the_first_has_the_naps() -> None:
    first, second = guests(Chosen(uptimes=(KEPT_S[1], KEPT_S[1] + 500), naps=(70,)))
    awake, nap = Exercise("W32", "W32", 2.4), Exercise("W32-70", "W32", 2.4, ("nap_s=70",))
    assert first.exercises == (Exercise("W1", "W1", 0.3), awake, nap) and second.exercises == first.exercises[:2]
    assert (first.name, first.uptime_s, first.rested_s, first.up_s) == ("up for 6 h", 21600, 0, 21600)
    assert (second.uptime_s, second.rested_s, second.up_s) == (21600, 500, 22100)
    assert not first.counts and first.topology is None and first.reloads == 0 and not first.offline
    assert first.deadline_s == 240 + 21670 / 300 and second.deadline_s == 240 + 22100 / 300
    (only,) = guests(Chosen(naps=(5, 9)))
    assert (
        only.name == "asleep for as long as they say"
        and only.up_s == 0
        and [one.nap_s for one in only.exercises] == [0, 5, 9]
    )
    assert list(guests(NOTHING)) == [] and [one.name for one in guests(Chosen(uptimes=(694800, 60)))] == [
        "up for 8.04 days",
        "up for 60 s",
    ]


def test_a_nap_is_not_within_an_exercise_s_seconds_and_needs_virtual_time() -> None:
    nap = Exercise("W32-70", "W32", 2.4, ("nap_s=70",))
    assert nap.step("policy", 2000).timeout_s == 112.4 and Exercise("W1", "W1", 1.0, ("hogs=4",)).nap_s == 0
    part = Part("x", (Exercise("W1", "W1", 0.3), nap, Exercise("W32", "W32", 1.0)))
    assert part.for_clock(virtual=True) == part and part.for_clock(virtual=False).exercises == part.exercises[:1]
    assert made_by("W32") == (Situation.CHOSEN_TIMES,)


def test_each_long_rest_is_kept_and_what_comes_after_the_kept_ones_is_not() -> None:
    machine: Any = SimpleNamespace(clock="x", snapshots="y")
    rest = GuestStep("rest", (str(LONGEST_REST_S), "quiet"), "rest")
    part = Part("x", (), uptime_s=2 * LONGEST_REST_S + 5, rested_s=7)
    before, steps = after_ready(part, machine, ())
    assert [job.steps for job in before] == [(rest,), (rest,), (GuestStep("rest", ("5", "quiet"), "rest"),)]
    assert all(job.stays for job in before) and steps == (GuestStep("rest", ("7", "quiet"), "rest"),)
    assert part.before(virtual=True) == (*(step for job in before for step in job.steps), *steps)
    assert part.before(virtual=False) == () and after_ready(replace(part, uptime_s=0), machine, ()) == (
        [],
        (GuestStep("rest", ("7",), "rest"),),
    )
    offline = Part("x", (), uptime_s=5, offline=True)
    (job,) = after_ready(offline, machine, ())[0]
    assert job.steps == offline.before(virtual=True) and len(job.steps) == 2
    nothing_kept: Any = SimpleNamespace(clock="x", snapshots=None)
    assert after_ready(part, nothing_kept, ()) == ([], part.before(virtual=True))


def test_what_is_chosen_is_met_in_the_tier_s_guests_and_in_further_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aim, "read_aims", lambda *_: Aims(chosen=Chosen(uptimes=(9000,), pids=(4711,))))
    first, further = aimed_parts(b"", "short")
    assert first.exercises == (*SHORT.exercises, Exercise("W31", "W31", 2.4, ("pid1=4711",)))
    assert further.up_s == 9000 and all("W31" not in one.workloads for one in further.exercises)

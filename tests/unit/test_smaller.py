# SPDX-License-Identifier: Apache-2.0
"""A situation made small: what comes out was seen to fail, it is the least where less fails less, and few are tried."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lake.topology import Topology
from verifier_vm.judge.case import SIZES, Case, cases_of, parse_case
from verifier_vm.judge.smaller import MOST_GUESTS, SECONDS, minimized
from verifier_vm.judge.suite import FULL, SHORT

SUITE = [case for part in (SHORT, *FULL) for case in cases_of(part, Topology(), 7)]
LARGE = (
    "W1+W2+W3+W6+W20 seconds=12 base_s=8 hogs=64 crowd=50 wander_us=5 narrow_ms=9 child_us=3 cpus=16 llcs=2 uptime_s=9"
)
MIXED = [case for case in SUITE if "+" in case.exercise.workloads]
WORDS = ("wander_us", "narrow_ms", "child_us")


def workloads_of(case: Case) -> set[str]:
    return set(case.exercise.workloads.split("+"))


def parsed(text: str) -> Case:
    return parse_case(text, "x")


def search(text: str, fails: Callable[[Case], bool] = lambda _: False, **more: int) -> tuple[str, list[str], list[str]]:
    """The smallest, what was asked for and which of it failed, as they are written."""
    asked: list[str] = []
    failed: list[str] = []

    def ask(case: Case) -> bool:
        asked.append(str(case))
        if bad := fails(case):
            failed.append(str(case))
        return bad

    least, tried = minimized(parsed(text), ask, **more)
    assert tried == len(asked) == len(set(asked)), "each is tried once"
    return str(least), asked, failed


def sized(case: Case, name: str) -> int:
    """How many there are, by the word or without it."""
    given = dict(word.split("=") for word in case.exercise.args)
    known = {
        size: (count, by)
        for workload in case.exercise.workloads.split("+")
        for size, count, by in SIZES.get(workload, ())
    }
    count, by = known[name]
    return int(given.get(name, count * case.topology.cpus if by else count))


@given(st.sampled_from([LARGE, *map(str, SUITE)]), st.binary(max_size=4), st.integers(0, 255), st.integers(0, 60))
def test_whatever_fails_what_comes_out_was_seen_to_fail(text: str, salt: bytes, share: int, most: int) -> None:
    def by_chance(case: Case) -> bool:
        return hashlib.sha256(salt + str(case).encode()).digest()[0] < share

    least, asked, failed = search(text, by_chance, most=most)
    assert least == (failed[-1] if failed else text) and len(asked) <= most
    assert all(str(parsed(case)) == case for case in asked)


@given(
    st.sampled_from([1, 2, 3, 7, 15]), st.integers(1, 64), st.sampled_from(SECONDS[:13]),
    st.sets(st.sampled_from(["W1", "W2", "W6", "W20"])), st.sets(st.sampled_from(WORDS)),
)  # fmt: skip
def test_where_less_fails_less_it_is_the_least_in_everything(
    cpus: int, hogs: int, seconds: float, workloads: set[str], words: set[str]
) -> None:
    def fails(case: Case) -> bool:
        names = {word.partition("=")[0] for word in case.exercise.args}
        return (
            case.topology.cpus >= cpus and case.exercise.seconds >= seconds and words <= names
            and {"W1", *workloads} <= workloads_of(case) and sized(case, "hogs") >= hogs
        )  # fmt: skip

    least = parsed(search(LARGE, fails, most=1000)[0])
    assert least.topology == Topology(cpus) and least.uptime_s == 0 and least.exercise.seconds == seconds
    assert workloads_of(least) == {"W1", *workloads} and sized(least, "hogs") == hogs
    others = {word.partition("=")[0] for word in least.exercise.args if not any(
        word.startswith(size) for sizes in SIZES.values() for size, _, _ in sizes)}  # fmt: skip
    assert others == words
    for name in {size for kept in least.exercise.workloads.split("+") for size, _, _ in SIZES[kept]} - {"hogs"}:
        assert sized(least, name) == 1


@pytest.mark.parametrize("case", SUITE, ids=str)
def test_none_smaller_that_fails_leaves_it_as_it_was_within_forty_guests(case: Case) -> None:
    asked: list[Case] = []
    assert minimized(case, lambda less: bool(asked.append(less))) == (case, len(asked))
    assert len(asked) <= MOST_GUESTS == 40


@pytest.mark.parametrize("case", MIXED, ids=str)
def test_one_or_two_workloads_of_the_suite_s_mixes_are_found_within_forty_guests(case: Case) -> None:
    names = case.exercise.workloads.split("+")
    for culprits in ([name, other] for name in names for other in names):
        least, tried = minimized(case, lambda less, wanted=culprits: set(wanted) <= workloads_of(less))
        assert workloads_of(least) == set(culprits) and tried < MOST_GUESTS


def test_what_stops_it_keeps_what_was_found() -> None:
    for most in range(8):
        least, asked, _ = search("W1 seconds=10 hogs=64 cpus=64", lambda case: case.topology.cpus >= 20, most=most)
        assert len(asked) == most
        assert parsed(least).topology.cpus == [64, 64, 32, 32, 24, 20, 20, 20][most]


@pytest.mark.parametrize(
    ("words", "tried"),
    [
        ("cpus=1", []), ("cpus=2", ["cpus=1"]), ("cpus=5", ["cpus=1", "cpus=3", "cpus=4"]),
        ("cpus=2 smt=2", ["cpus=1", "cpus=2"]),
        ("cpus=4 llcs=2", ["cpus=1", "cpus=3", "cpus=4", "cpus=2 llcs=2"]),
        ("cpus=4 llcs=2 smt=2 nodes=2", ["cpus=1", "cpus=3", "cpus=4", "cpus=4 llcs=2 smt=2", "cpus=4 llcs=2 nodes=2"]),
    ],
)  # fmt: skip
def test_plain_cpus_come_first_and_then_each_thing_that_they_share(words: str, tried: list[str]) -> None:
    assert search(f"W5 seconds=0.1 {words}")[1] == [f"W5 seconds=0.1 {word}" for word in tried]


def test_what_takes_two_caches_keeps_them_on_as_few_cpus_as_have_them() -> None:
    def fails(case: Case) -> bool:
        return case.topology.llcs == 2

    assert search("W5 seconds=0.1 cpus=16 llcs=2 smt=2 nodes=2", fails)[0] == "W5 seconds=0.1 cpus=2 llcs=2"


def test_a_guest_that_has_just_booted_is_tried_and_no_other_age() -> None:
    assert search("W5 seconds=0.1 cpus=1 uptime_s=4283")[1] == ["W5 seconds=0.1 cpus=1"]
    assert search("W5 seconds=0.1 cpus=1 uptime_s=4283", lambda _: True)[0] == "W5 seconds=0.1 cpus=1"


def test_of_several_workloads_halves_are_tried_and_then_all_but_one() -> None:
    asked = search("W1+W6+W5+W2 seconds=0.1 hogs=1 floating=1 pinned=1 cpus=1", most=10)[1]
    assert [text.split()[0] for text in asked] == [
        "W1+W6", "W5+W2", "W1", "W6", "W5", "W2", "W6+W5+W2", "W1+W5+W2", "W1+W6+W2", "W1+W6+W5",
    ]  # fmt: skip
    assert asked[0].endswith(" hogs=1 floating=1 pinned=1 cpus=1") and asked[4] == "W5 seconds=0.1 cpus=1"
    assert asked[5] == "W2 seconds=0.1 hogs=1 cpus=1", "a size that two have goes with the last of them"


@pytest.mark.parametrize(
    ("seconds", "tried"),
    [("0.1", []), ("0.05", []), ("0.11", ["0.1"]), ("1", ["0.1", "0.3", "0.5", "0.7"]), ("30", ["0.1", "1.5", "7"])],
)
def test_time_is_halved_on_a_scale_of_round_numbers_down_to_a_tenth_of_a_second(seconds: str, tried: list[str]) -> None:
    assert search(f"W5 seconds={seconds} cpus=1", most=3 if seconds == "30" else 40)[1] == [
        f"W5 seconds={less} cpus=1" for less in tried
    ]


def test_eevdf_repeats_no_more_than_is_left() -> None:
    asked = search("W5 seconds=4 base_s=1.5 cpus=1")[1]
    assert asked[0] == "W5 seconds=0.1 base_s=0.1 cpus=1" and asked[-1] == "W5 seconds=3 base_s=1.5 cpus=1"


@pytest.mark.parametrize(
    ("words", "tried"),
    [("hogs=9", [1, 5, 7, 8]), ("hogs=2", [1]), ("hogs=1", []), ("hogs=0", []), ("hogs=3.9", [1, 2]), ("", [1])],
)
def test_tasks_are_one_or_as_few_as_a_bisection_finds(words: str, tried: list[int]) -> None:
    assert search(f"W1 seconds=0.1 {words} cpus=1")[1] == [f"W1 seconds=0.1 hogs={count} cpus=1" for count in tried]


def test_how_many_tasks_there_are_without_a_word_goes_by_the_cpus_or_not() -> None:
    def of(text: str, name: str) -> list[int]:
        asked = [word for case in search(f"{text} seconds=0.1")[1] for word in case.split() if word.startswith(name)]
        return [int(word.partition("=")[2]) for word in asked]

    assert of("W1+W11+W13 cpus=4", "hogs=") == [1, 4, 6, 7] and of("W11 cpus=4", "brief=") == []
    assert of("W3 cpus=4", "crowd=") == of("W3 cpus=1", "crowd=") == [1, 50, 75, 87, 93, 96, 98, 99]
    assert of("W4 cpus=4", "each=") == [1, 4, 6, 7] and of("W4 at=0 cpus=4", "each=") == [1]


def test_numbers_that_are_none_of_tasks_are_left_out_where_it_fails_without_them() -> None:
    def fails(case: Case) -> bool:
        return "nap_ms=7" in case.exercise.args

    text = "W7 seconds=0.1 wander_us=1 nap_ms=7 child_us=3 sleepers=1 cpus=1"
    least, asked, _ = search(text, fails)
    assert asked[0] == "W7 seconds=0.1 sleepers=1 cpus=1" and least == "W7 seconds=0.1 nap_ms=7 sleepers=1 cpus=1"
    assert search(text, lambda _: True)[0] == "W7 seconds=0.1 sleepers=1 cpus=1"
    one, _ = minimized(parsed("W4 seconds=0.1 at=0 cpus=1 each=1"), lambda _: True)
    assert one.exercise.name == "W4", "as the suite calls what is left"


def test_a_search_tries_no_more_than_forty_guests() -> None:
    text = "W1+W2+W3+W4+W6+W7+W8+W11+W13+W20+W23+W25 seconds=20 cpus=16 llcs=2 uptime_s=9"
    least, asked, _ = search(text)
    assert least == text and len(asked) == 40


def test_the_scale_of_seconds_has_numbers_that_are_told_in_short() -> None:
    told = "0.1 0.15 0.2 0.3 0.5 0.7 1 1.5 2 3 5 7 10 15 20"
    assert " ".join(f"{seconds:g}" for seconds in SECONDS) == told

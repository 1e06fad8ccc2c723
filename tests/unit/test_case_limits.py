# SPDX-License-Identifier: Apache-2.0
"""The limits of a written situation, and each step that makes one smaller; `make mutants` found what was not tested."""

from __future__ import annotations

import pytest

from policy_lake.errors import InputError
from policy_lake.topology import Topology
from verifier_vm.judge.case import MOST_GUESTS, Case, minimized, parse_case, smaller
from verifier_vm.judge.suite import Exercise


def parsed(text: str) -> Case:
    return parse_case(text, "x")


def steps(text: str) -> list[str]:
    """What is one step smaller, as it is written."""
    return [str(case) for case in smaller(parsed(text))]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("hogs=4294967295", "hogs=4294967296"), ("seconds=30", "seconds=30.1"), ("seconds=0.01", "seconds=0.0099"),
        ("seconds=2 base_s=2", "seconds=2 base_s=2.1"), ("seconds=2 base_s=0", "seconds=2 base_s=-1"),
        ("hogs=1234567890", "hogs=12345678901"), ("hogs=123456789.1", "hogs=123456789.12"),
        ("hogs=0000000001", "hogs=00000000001"),
    ],
)  # fmt: skip
def test_a_number_is_taken_up_to_its_limit(good: str, bad: str) -> None:
    assert parsed(f"W1 {good}").exercise.workloads == "W1"
    with pytest.raises(InputError):
        parsed(f"W1 {bad}")


def test_a_situation_has_nine_hundred_characters_at_most() -> None:
    text = "W1 hogs=4"
    assert parsed(text + " " * (900 - len(text))) == parsed(text)
    with pytest.raises(InputError):
        parsed(text + " " * (901 - len(text)))


def test_what_is_not_said_is_a_second_from_seed_0_in_a_young_guest_of_two_cpus() -> None:
    case = parsed("W1")
    assert (case.exercise.seconds, case.exercise.base_s) == (1.0, 0.0)
    assert case == Case(Exercise("W1", "W1", 1.0), Topology(2, 1, 1, 1), 0, 0) == Case(case.exercise, Topology(2))
    assert str(case) == "W1 seconds=1 cpus=2" and MOST_GUESTS == 40


def test_only_what_is_more_than_one_is_written_of_a_topology() -> None:
    assert str(parsed("W1 cpus=8 llcs=2 nodes=2 smt=1")) == "W1 seconds=1 cpus=8 llcs=2 nodes=2"


@pytest.mark.parametrize(("workloads", "offline"), [("W28", True), ("W1+W28", True), ("W1", False), ("W2+W8", False)])
def test_a_cpu_is_off_line_before_what_brings_it_back(workloads: str, offline: bool) -> None:
    part = parsed(f"{workloads} uptime_s=9").part
    assert part.offline is offline and part.uptime_s == 9 and part.topology == Topology(2)


CPUS = [
    ("cpus=1", []),
    ("cpus=2", ["cpus=1"]),
    ("cpus=2 smt=2", ["cpus=1", "cpus=2"]),
    ("cpus=3", ["cpus=1", "cpus=2"]),
]


@pytest.mark.parametrize(("words", "fewer"), CPUS)
def test_fewer_cpus_are_one_or_two_plain_ones(words: str, fewer: list[str]) -> None:
    made = steps(f"W5 seconds=0.1 {words}")
    assert made == [f"W5 seconds=0.1 {word}" for word in fewer]


def test_of_several_workloads_each_is_left_out_with_its_sizes() -> None:
    made = steps("W1+W6+W5 seconds=0.1 hogs=1 floating=1 narrow_ms=3 cpus=1")
    assert made == [
        "W6+W5 seconds=0.1 floating=1 narrow_ms=3 cpus=1", "W1+W5 seconds=0.1 hogs=1 narrow_ms=3 cpus=1",
        "W1+W6 seconds=0.1 hogs=1 floating=1 narrow_ms=3 cpus=1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "less"),
    [("4", ["1", "2"]), ("0.4", ["0.1", "0.2"]), ("0.39", ["0.2"]), ("0.2", ["0.1"]), ("0.19", []), ("0.21", ["0.1"]),
     ("1.234", ["0.31", "0.62"]), ("0.222", ["0.11"])],
)  # fmt: skip
def test_less_time_is_a_quarter_or_half_and_never_below_a_tenth_of_a_second(seconds: str, less: list[str]) -> None:
    assert steps(f"W5 seconds={seconds} cpus=1") == [f"W5 seconds={now} cpus=1" for now in less]


def test_eevdf_repeats_no_more_than_is_left() -> None:
    assert steps("W5 seconds=4 base_s=1.5 cpus=1") == ["W5 seconds=1 base_s=1 cpus=1", "W5 seconds=2 base_s=1.5 cpus=1"]


@pytest.mark.parametrize(
    ("words", "fewer"),
    [
        ("hogs=12", [1, 3, 6]), ("hogs=20", [1, 5, 10]), ("hogs=4", [1, 2]), ("hogs=2", [1]), ("hogs=1", []),
        ("hogs=0", []), ("hogs=3", [1]), ("cpus=1", [1]), ("hogs=9.9", [1, 2, 4]),
    ],
)  # fmt: skip
def test_fewer_tasks_are_one_a_quarter_or_half(words: str, fewer: list[int]) -> None:
    made = steps(f"W1 seconds=0.1 {words}{'' if 'cpus' in words else ' cpus=1'}")
    assert made == [f"W1 seconds=0.1 hogs={count} cpus=1" for count in fewer]


def test_how_many_tasks_there_are_without_a_word_goes_by_the_cpus_or_not() -> None:
    of = {case for case in steps("W1+W11+W13 seconds=0.1 cpus=4") if "=4" in case}
    assert {case for case in of if "hogs" in case} == {f"W1+W11+W13 seconds=0.1 hogs={n} cpus=4" for n in (1, 2, 4)}
    assert not any("brief" in case or "rt=" in case for case in of)
    crowd = [case for case in steps("W3 seconds=0.1 cpus=1") if "crowd=" in case]
    assert crowd == [f"W3 seconds=0.1 crowd={n} cpus=1" for n in (1, 25, 50)]


def test_another_number_of_a_situation_stays_as_it_was() -> None:
    assert "W3 seconds=0.1 crowd_hogs=8 crowd_ms=9 crowd=25 cpus=1" in steps(
        "W3 seconds=0.1 crowd=100 crowd_hogs=8 crowd_ms=9 cpus=1"
    )


def test_a_search_tries_forty_guests_and_no_more() -> None:
    large = parsed("W1+W2+W3+W4+W6+W7+W8+W11+W13+W20+W23+W25 seconds=20 cpus=16 llcs=2 uptime_s=9")
    asked: list[Case] = []
    assert minimized(large, lambda case: bool(asked.append(case))) == (large, len(asked))
    assert len(asked) == 40 < len(list(smaller(large)))

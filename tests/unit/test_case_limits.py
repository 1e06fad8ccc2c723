# SPDX-License-Identifier: Apache-2.0
"""The limits of a written situation; `make mutants` found what was not tested."""

from __future__ import annotations

import pytest

from policy_lake.errors import InputError
from policy_lake.topology import Topology
from verifier_vm.judge.case import Case, parse_case
from verifier_vm.judge.part import Exercise


def parsed(text: str) -> Case:
    return parse_case(text, "x")


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
    assert str(case) == "W1 seconds=1 cpus=2"


def test_only_what_is_more_than_one_is_written_of_a_topology() -> None:
    assert str(parsed("W1 cpus=8 llcs=2 nodes=2 smt=1")) == "W1 seconds=1 cpus=8 llcs=2 nodes=2"


@pytest.mark.parametrize(("workloads", "offline"), [("W28", True), ("W1+W28", True), ("W1", False), ("W2+W8", False)])
def test_a_cpu_is_off_line_before_what_brings_it_back(workloads: str, offline: bool) -> None:
    part = parsed(f"{workloads} uptime_s=9").part
    assert part.offline is offline and part.uptime_s == 9 and part.topology == Topology(2)

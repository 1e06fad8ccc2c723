# SPDX-License-Identifier: Apache-2.0
"""One situation by itself: it is written and read alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lake.errors import InputError
from policy_lake.topology import Topology
from verifier_vm.judge.case import NUMBERS, SIZES, Case, cases_of, parse_case
from verifier_vm.judge.part import Exercise
from verifier_vm.judge.suite import FULL, SHORT
from verifier_vm.situations import OF_WORKLOAD

GUEST = Path(__file__).parents[2] / "verifier_vm" / "guest"
SUITE = [case for part in (SHORT, *FULL) for case in cases_of(part, Topology(), 7)]


def same(one: Case, other: Case) -> bool:
    """Whether both do the same to a policy; only `mix` has a name that is not its workloads'."""

    def told(case: Case) -> tuple[object, ...]:
        on = case.exercise
        return (on.workloads, on.seconds, on.base_s, frozenset(on.args), case.topology, case.seed, case.uptime_s)

    return told(one) == told(other)


@pytest.mark.parametrize("case", SUITE, ids=str)
def test_every_situation_of_the_suite_can_be_written_and_read(case: Case) -> None:
    again = parse_case(str(case), "--only")
    assert same(case, again) and str(again) == str(case)
    assert case.exercise.name in (again.exercise.name, "mix", "W9")
    assert again.part.exercises == (again.exercise,) and not again.part.counts


@given(
    st.sampled_from(sorted(OF_WORKLOAD)), st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(0, 10**7),
    st.dictionaries(st.sampled_from(sorted(NUMBERS)), st.integers(0, 10**6), max_size=4),
)  # fmt: skip
def test_any_situation_can_be_written_and_read(
    workloads: str, tenths: int, seed: int, uptime_s: int, numbers: dict[str, int]
) -> None:
    args = tuple(f"{name}={value}" for name, value in numbers.items())
    case = Case(Exercise(workloads, workloads, tenths / 10, args), Topology(4, smt=2), seed, uptime_s)
    assert same(case, parse_case(str(case), "--only"))


@pytest.mark.parametrize(
    "text",
    ["", " ", "W99", "W1+", "W1 hogs", "W1 hogs=", "W1 hogs=-1", "W1 hogs=1 hogs=2", "W1 shell=1", "W1 seconds=0",
     "W1 seconds=31", "W1 seconds=1 base_s=2", "W1 cpus=65", "W1 cpus=1.5", "W1 cpus=3 smt=2", "W1 hogs=1e9",
     "W1 hogs=99999999999", "W1 hogs=4294967296", "W1 seconds=30.1", "W1 seconds=0.0099",
     "W1 seconds=1.2.3", "W1 hogs=٣", "W1 seed=4294967296", "W1 " + "x" * 400, "W1;reboot"],
)  # fmt: skip
def test_what_is_no_situation_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^--only: ") as caught:
        parse_case(text, "--only")
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_how_many_a_workload_makes_by_itself_is_what_its_program_says() -> None:
    told: set[tuple[str, int, bool]] = set()
    for path in GUEST.glob("*.c"):
        for name, default in re.findall(r'option\("(\w+)",([^;]*?)\)', path.read_text()):
            if count := re.search(r"(\d+)( \* cpus)?", default):
                told.add((name, int(count[1]), bool(count[2])))
    sizes = {size for sizes in SIZES.values() for size in sizes}
    assert sizes <= told and all(workload in OF_WORKLOAD for workload in SIZES)

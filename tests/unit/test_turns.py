# SPDX-License-Identifier: Apache-2.0
"""Policies whose turns ask for a situation: several looks in one dispatch, a clock of virtual time."""

from __future__ import annotations

import pytest
from object_cases import object_bytes

from policy_lake.topology import Topology
from verifier_vm.judge.aim import FOUR, FOUR_CPUS, HELD_S, aimed_parts, read_aims
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.fairness import compare
from verifier_vm.judge.gate import STALL_LIMITS_MS
from verifier_vm.judge.readings import Group, Reading
from verifier_vm.judge.suite import FULL, SHORT
from verifier_vm.situations import Situation, made_by

CLOCK, STEALS, PLAIN = "f18_clock_goes_back_fails", "percpu", "ljf"
HELD_MS, WATCHDOG = 1200, 1.5  # of W38 in guest/sides.c; the kernel looks twice in the time that it allows


def names(name: str, tier: str) -> list[list[str]]:
    return [[one.name for one in part.exercises] for part in aimed_parts(object_bytes(name), tier)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "again", "clock"), [
    (CLOCK, False, True), (STEALS, True, False), (PLAIN, False, False), ("f03_eight_cgroups_fails", True, False),
    ("vtime", False, False), ("plain_pid_queue", False, False),
])  # fmt: skip
def test_what_its_turns_are(name: str, again: bool, clock: bool) -> None:
    aims = read_aims(object_bytes(name), "short")
    assert (aims.looks_again, aims.keeps_clock) == (again, clock)


def test_a_clock_of_its_own_meets_a_cpu_that_was_held_wherever_there_is_another() -> None:
    assert ["W38" in part for part in names(CLOCK, "short")] == [True]
    cpus = [part.topology.cpus for part in FULL if part.topology]
    assert ["W38" in part for part in names(CLOCK, "full")][: len(cpus)] == [count > 1 for count in cpus]
    assert not any("W38" in part for name in (STEALS, PLAIN) for part in names(name, "short"))
    assert HELD_MS + WATCHDOG * STALL_LIMITS_MS[0] < HELD_S * 1000 and STALL_LIMITS_MS[0] > HELD_MS
    assert made_by("W38") == (Situation.HELD,)


def test_several_looks_in_one_dispatch_meet_four_cpus_once() -> None:
    assert FOUR in aimed_parts(object_bytes(STEALS), "short") and FOUR.topology == Topology(FOUR_CPUS)
    assert FOUR not in aimed_parts(object_bytes(PLAIN), "short")
    assert FOUR not in aimed_parts(object_bytes(STEALS), "full"), "the tier has such a guest"
    assert {"W34", "W37"} <= {one.name for part in FULL for one in part.exercises}


def test_a_bound_hog_beside_one_that_sleeps_is_in_every_guest_of_both_tiers() -> None:
    assert all("W37" in [one.name for one in part.compared] for part in (SHORT, *FULL))


def beside(idle: float) -> dict[str, Reading]:
    """What W37 tells of 1 s on two CPUs that idled for that share of the time."""
    hogs, brief = (Group(2, run, 1.0, 1.0, 1.0, run, 0.0, 0.0, 9) for run in (1900.0 - 2000.0 * idle, 100.0))
    return {"W37": Reading("W37", 2, 1000.0, {"W37-hog": hogs, "W37-brief": brief}, {}, {})}


@pytest.mark.parametrize(("idle", "base", "rejects"), [
    (0.0, 0.0, False), (0.029, 0.0, False), (0.031, 0.0, True), (0.049, 0.01, False), (0.051, 0.01, True),
    (0.33, 0.0, True),
])  # fmt: skip
def test_a_cpu_that_idles_beside_the_hog_bound_to_it_rejects(idle: float, base: float, rejects: bool) -> None:
    found = compare(beside(idle), beside(base), Facts(), cgroups=False)
    assert [(one.bug, one.level, one.place) for one in found] == [("F21", "reject", "W37")] * rejects

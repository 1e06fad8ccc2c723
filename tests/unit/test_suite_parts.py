# SPDX-License-Identifier: Apache-2.0
"""The suite's steps, written out for a part of two exercises, and what every exercise must be long enough for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy_lake.guest import GuestStep
from policy_lake.topology import Topology
from verifier_vm.judge.gate import STALL_LIMITS_MS
from verifier_vm.judge.part import STEP_LIMIT_S, Exercise, Part
from verifier_vm.judge.suite import FULL, SHORT, elsewhere, parts
from verifier_vm.situations import Situation, made_by

PART = Part("small", (Exercise("a", "W1", 2.0, ("x=1",), base_s=0.5), Exercise("b", "W2", 3.0)), reloads=2)


def test_a_part_s_steps_are_these_in_this_order() -> None:
    attach = ("policy.bpf.o", "k=1", "ops.timeout_ms=2000")
    turns = [
        step
        for turn in ("1", "2")
        for step in (
            GuestStep("attach", attach, f"attach-{turn}"),
            GuestStep("run", ("adversary", "W2", "seconds=0.2"), f"policy:W16-{turn}", timeout_s=40.0),
            GuestStep("detach", (), f"detach-{turn}", timeout_s=20),
        )
    ]
    assert PART.steps(("k=1",), 2000) == (
        GuestStep("attach", attach, "attach"),
        GuestStep("layout", label="layout"),
        GuestStep("run", ("adversary", "W1", "seconds=2", "limit_ms=2000", "x=1"), "policy:a", timeout_s=42.0),
        GuestStep("run", ("adversary", "W2", "seconds=3", "limit_ms=2000"), "policy:b", timeout_s=43.0),
        GuestStep("start", ("adversary", "W1", "hogs=4", "seconds=60"), "load"),
        GuestStep("detach", (), "detach", timeout_s=20),
        *turns,
        GuestStep("stop", (), "unload"),
        GuestStep("run", ("adversary", "W1", "seconds=0.5", "limit_ms=2000", "x=1"), "baseline:a", timeout_s=40.5),
    )
    assert PART.compared == PART.exercises[:1] and STEP_LIMIT_S == 40.0
    assert len(Part("none", PART.exercises).steps((), 2000)) == 8


def test_what_ends_the_policy_comes_after_all_else_each_with_an_attachment_of_its_own() -> None:
    attach = ("policy.bpf.o", "k=1", "ops.timeout_ms=2000")
    last = (Exercise("W28", "W28", 0.5), Exercise("c", "W9+W5", 3.0))
    part = replace(PART, last=last)
    steps = part.steps(("k=1",), 2000)
    assert steps[:-6] == PART.steps(("k=1",), 2000) and steps[-6:] == part.ending(("k=1",), 2000)
    assert steps[-6:] == (
        GuestStep("run", ("adversary", "offline"), "offline", timeout_s=40.0),
        GuestStep("attach", attach, "attach-W28"),
        GuestStep("run", ("adversary", "W28", "seconds=0.5", "limit_ms=2000"), "policy:W28", timeout_s=40.5),
        GuestStep("anew"),
        GuestStep("attach", attach, "attach-c"),
        GuestStep("run", ("adversary", "W9+W5", "seconds=3", "limit_ms=2000"), "policy:c", timeout_s=43.0),
    )


def test_before_a_policy_is_given_the_guest_rests_and_takes_a_cpu_off_line() -> None:
    rest = GuestStep("rest", ("4283",), "rest")
    offline = GuestStep("run", ("adversary", "offline"), "offline", timeout_s=40.0)
    both = replace(PART, uptime_s=4283, offline=True)
    assert both.before(virtual=True) == (rest, offline)
    assert both.before(virtual=False) == (offline,), "nobody waits for an hour of the host's own time"
    assert replace(both, offline=False).before(virtual=True) == (rest,)
    assert PART.before(virtual=True) == PART.before(virtual=False) == ()


@pytest.mark.parametrize("part", (SHORT, *FULL), ids=lambda part: part.name)
def test_what_a_hotplug_ends_meets_a_cpu_that_goes_and_one_that_comes_late_last(part: Part) -> None:
    assert part.for_policy(hotplug=True) is part and part.last == ()
    ended = part.for_policy(hotplug=False)
    hotplug = {Situation.HOTPLUG, Situation.LATE_CPU}
    assert not any(hotplug & set(made_by(one.workloads)) for one in ended.exercises) and not ended.offline
    late = [one for one in part.exercises if one.name == "W28"]
    assert [one.name for one in ended.last] == [*(one.name for one in late), "W9"]
    assert {one.name for one in part.exercises} == {one.name for one in (*ended.exercises, *ended.last)}
    assert [one.args for one in ended.last[:-1]] == [(*one.args, "late_ms=500") for one in late]
    assert all(one.seconds > 0.5 + 0.3 for one in late), "the CPU comes while it is watched"


def test_a_tier_is_its_parts() -> None:
    assert parts("short") == (SHORT,) and parts("full") == FULL
    assert (SHORT.topology, SHORT.reloads, SHORT.deadline_s) == (None, 0, 240.0)
    assert [part.topology for part in FULL] == [
        Topology(1), Topology(2), Topology(4, llcs=2, smt=2), Topology(8, llcs=2, nodes=2),
        Topology(16, llcs=4, smt=2, nodes=2),
    ]  # fmt: skip
    assert [part.reloads for part in FULL] == [2, 4, 2, 2, 2] and {part.deadline_s for part in FULL} == {900.0}
    crowds = [
        next(word for word in exercise.args if word.startswith("crowd="))
        for part in FULL for exercise in part.exercises if exercise.name == "W3"
    ]  # fmt: skip
    assert crowds == ["crowd=150"] * 3 + ["crowd=300"] * 2, "thousands of threads where there are nodes"


@pytest.mark.parametrize("part", (SHORT, *FULL), ids=lambda part: part.name)
def test_everything_at_once_lasts_longer_than_a_stall_takes_to_be_found(part: Part) -> None:
    """The kernel's watchdog looks every half limit: a stall is found within one and a half."""
    mix = part.exercises[part.offline]  # after what brings a CPU back, nothing is before it
    limit_ms = STALL_LIMITS_MS[0] if part is SHORT else STALL_LIMITS_MS[1]
    assert mix.name == "mix" and mix.seconds > 1.5 * limit_ms / 1000
    assert all(0 <= exercise.base_s <= exercise.seconds for exercise in part.exercises)


WRAPS_S = 2**32 / 1e6  # where a 32-bit number of microseconds overflows
COMES_S = 1.2  # after the rest the policy is attached


@pytest.mark.parametrize("part", [part for part in (SHORT, *FULL) if part.uptime_s], ids=lambda part: part.name)
def test_32_bits_of_microseconds_overflow_in_the_mix_with_time_left_to_find_a_stall(part: Part) -> None:
    late, mix = part.exercises[:2]
    limit_ms = STALL_LIMITS_MS[0] if part is SHORT else STALL_LIMITS_MS[1]
    begins = part.uptime_s + COMES_S + late.seconds
    assert begins < WRAPS_S and part.uptime_s > 3600
    assert begins + mix.seconds - WRAPS_S > 1.2 * limit_ms / 1000  # it is found from one to one and a half limits on


def test_without_an_exercise_a_part_is_the_same_and_a_cpu_comes_late_only_to_the_first() -> None:
    late = Exercise("W28", "W28", 0.9)
    part = replace(PART, exercises=(late, *PART.exercises), offline=True)
    assert part.without(late) == replace(PART, offline=False)
    for other in PART.exercises:
        kept = tuple(one for one in part.exercises if one != other)
        assert part.without(other) == replace(part, exercises=kept) and part.without(other).offline
    assert not PART.without(PART.exercises[1]).offline
    alone = replace(PART, exercises=(late,), offline=True)
    assert alone.without(late).exercises == () and not alone.without(late).offline
    assert replace(alone, exercises=(late, *PART.exercises[:1])).without(PART.exercises[0]).offline


def test_a_part_counts_as_a_try_of_its_topology_unless_it_says_not() -> None:
    assert PART.counts and all(part.counts for part in (SHORT, *FULL))


@pytest.mark.parametrize(("cpus", "late"), [(1, False), (2, True), (3, True)])
def test_elsewhere_a_cpu_comes_late_where_there_are_two(cpus: int, late: bool) -> None:
    part = elsewhere(Topology(cpus))
    names = [one.name for one in part.exercises]
    assert names == ["W28"] * late + ["mix", "W3", "W1", "W10", *["W34", "W35"] * (cpus > 2)] and part.offline is late
    assert (part.topology, part.counts, part.reloads) == (Topology(cpus), True, 0)

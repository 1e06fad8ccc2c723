# SPDX-License-Identifier: Apache-2.0
"""Openings at their edges: how strong each is, which slice and hints it sets, and which jobs it names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planner_cases import BATCH, COMM, CPU_NS, SLICE, command, context, policy

from policy_lake.model import Knob
from policy_lake.profile import CommandProfile
from tasks.planners import openings as module
from tasks.planners.openings import clamp, cut, jobs, openings, slice_knob
from tasks.planners.protocol import PlanContext
from tasks.planners.rules import Finding
from tasks.planners.rules_library import Kind

KNOBLESS = policy("bare")


def strengths(here: PlanContext) -> dict[str, float]:
    return {opening.policy.id: opening.strength for opening in openings(here)}


def test_an_opening_is_as_strong_as_its_rule_its_place_and_its_name_say() -> None:
    known = policy("fifo")
    unknown = [policy(f"odd{n}") for n in range(3)]
    assert strengths(context(policies=(known, *unknown))) == pytest.approx(
        {"fifo": 0.2 + 0.1, "odd0": 0.3 + 0.075, "odd1": 0.3 + 0.05, "odd2": 0.3 + 0.025}
    )
    named = replace(unknown[0], workloads=("batch", "other"))
    assert strengths(context(policies=(named, known))) == pytest.approx({"odd0": 0.45, "fifo": 0.25})
    assert strengths(context(policies=(replace(named, workloads=("other",)),)))["odd0"] == pytest.approx(0.4)
    assert "at place 2;" in openings(context(policies=(known, *unknown)))[0].reason
    assert openings(context(policies=())) == []


def test_a_place_counts_for_what_is_stronger_than_0_15(monkeypatch: pytest.MonkeyPatch) -> None:
    for strength, made in ((0.14, 0.14), (0.15, 0.15), (0.16, 0.26)):
        kind = Kind("x", (), lambda profile, traits, strength=strength: Finding(strength, ""))
        monkeypatch.setattr(module, "kind_of", lambda policy, kind=kind: kind)
        assert openings(context(policies=(KNOBLESS,)))[0].strength == pytest.approx(made)


def test_a_weak_rule_gets_nothing_for_its_place() -> None:
    calm = replace(BATCH, commands=(command("even", 9, 900.0, 100.0),))
    assert strengths(context(calm, policies=(policy("ljf"), KNOBLESS)))["ljf"] == 0.1


def test_only_the_simplest_policy_is_the_control() -> None:
    assert {o.policy.id for o in openings(context()) if o.is_control} == {"fifo"}
    assert not openings(context(policies=(KNOBLESS,)))[0].is_control


@pytest.mark.parametrize(
    ("name", "unit", "value"),
    [("slice_ns", "ns", 20_000_000), ("slice", "us", 20_000), ("slice_ms", "", 20), ("slice_us", "ticks", 20_000)],
)
def test_a_slice_is_set_in_the_knob_s_unit(name: str, unit: str, value: int) -> None:
    ljf = policy("ljf", Knob(name, "int", "1", "", 1, 10**9, unit))
    assert openings(context(policies=(ljf,)))[0].knob_values == {name: value}


def test_a_slice_of_unknown_unit_is_left_alone_and_the_range_is_kept() -> None:
    for name in ("slice_ticks", "slice"):
        unit = policy("ljf", Knob(name, "int", "1", "", 1, 10**9, "ticks"))
        assert openings(context(policies=(unit,)))[0].knob_values == {}
    for low, high, value in ((1, 1000, 1000), (10**8, 10**9, 10**8)):
        ljf = policy("ljf", replace(SLICE, low=low, high=high))
        assert openings(context(policies=(ljf,)))[0].knob_values == {"slice_ns": value}
    assert [clamp(replace(SLICE, low=2, high=4), n) for n in (1, 2, 3, 4, 5)] == [2, 2, 3, 4, 4]


def test_the_slice_knob_is_the_whole_number_with_the_shortest_name() -> None:
    longer, names = replace(SLICE, name="slice_ns_long"), replace(COMM, name="slice")
    assert slice_knob(policy("x", longer, names, SLICE, Knob("depth", "int", "1", ""))) is SLICE
    assert slice_knob(policy("x", names, Knob("depth", "int", "1", ""))) is None


def hints(*commands: CommandProfile, knobs: tuple[Knob, ...] = (COMM, CPU_NS)) -> dict[str, object]:
    profile = replace(BATCH, commands=commands)
    return dict(openings(context(profile, policies=(policy("ljf", *knobs),)))[0].knob_values)


def test_a_job_is_long_from_one_and_a_half_medians_on() -> None:
    at, below = command("at", 1, 150.0, 150.0), command("below", 1, 149.0, 149.0)
    rest = command("rest", 9, 900.0, 100.0)
    assert hints(at, below, rest, knobs=(COMM,)) == {"job_comm": "at"}
    assert hints(below, rest, knobs=(COMM,)) == hints(below, rest) == {}
    assert hints(command("tiny", 1, 0.9, 0.9), command("rest", 9, 0.9, 0.1), knobs=(COMM,)) == {"job_comm": "tiny"}
    assert hints(command("one", 3, 10.0, 10.0), knobs=(COMM,)) == {}, "of a median of nothing nothing is a multiple"
    assert hints(at, below, rest)["job_comm"] == "at,below,rest", "with times beside them all are named"
    assert hints(at, below, rest)["job_cpu_ns"] == "150000000,149000000,100000000"


def test_hints_go_to_the_knobs_for_names_and_times_alone() -> None:
    long, rest = command("long", 1, 500.0, 500.0), command("rest", 9, 900.0, 100.0)
    wrong = (Knob("comm", "int", "1", "", 0, 9), replace(COMM, name="colours"), replace(CPU_NS, name="weights"))
    assert hints(long, rest, knobs=wrong) == {}
    assert hints(long, rest, knobs=(CPU_NS,)) == {}
    assert hints(long, rest, knobs=(*wrong, COMM)) == {"job_comm": "long"}
    assert hints(long, rest, knobs=(COMM, replace(CPU_NS, kind="int", default="1"))) == {"job_comm": "long"}


def test_at_most_sixteen_jobs_are_named_and_no_more_than_either_knob_holds() -> None:
    many = tuple(command(f"j{n:02}", 1, 900.0 - n, 900.0 - n) for n in range(20))
    rest = command("rest", 40, 4000.0, 100.0)
    wide = replace(COMM, count=50), replace(CPU_NS, count=50)
    few = (COMM, replace(CPU_NS, count=3)), (replace(COMM, count=2),)
    for knobs, most in (((wide[0],), 16), (wide, 16), (few[0], 3), (few[1], 2)):
        assert str(hints(*many, rest, knobs=knobs)["job_comm"]).count(",") == most - 1


def test_jobs_have_one_entry_a_name_and_tasks_of_their_own() -> None:
    twins = command("a-name-of-15-byte-one", 1, 100.0, 100.0), command("a-name-of-15-byte-two", 1, 300.0, 300.0)
    none = command("none", 0, 200.0, 200.0)
    made = jobs(replace(BATCH, commands=(*twins, none, command("b", 1, 300.0, 300.0))))
    assert [job.comm for job in made] == ["a-name-of-15-byte-two", "b"]
    assert cut("a" * 16) == "a" * 15 and cut("a" * 14 + "é") == "a" * 14 and cut("a" * 15) == "a" * 15
    assert hints(command("no-task", 0, 500.0, 500.0), command("rest", 9, 900.0, 100.0)) == {}

# SPDX-License-Identifier: Apache-2.0
"""The rules at their thresholds: what a profile's numbers are, and how strongly each kind of policy suits them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planner_cases import BATCH, LATENCY, command, policy

from benchmarks.profile_jobs import name_key
from policy_lake.profile import JobProfile, WorkloadProfile
from tasks.planners.rules import control, fair, local, longest_first, short_slice
from tasks.planners.rules_library import kind_of
from tasks.planners.traits import (
    Traits,
    bound,
    competing,
    median_task_ms,
    others_ms,
    traits,
)

LONG = command("long", 1, 900.0, 900.0)
QUICK = command("quick", 8, 100.0, 20.0, burst_us_p50=400.0, wait_us_p99=700.0)
BUSY = Traits(cpus=2, runnable=8.0, crowd=8.0, waits=0.05, median_ms=100.0, longest=LONG, tail=9.0, bound=1.2,
              waker=QUICK, wakeups_per_cpu_s=10.0, switches_per_cpu_s=100.0, hog=LONG)  # fmt: skip


def profile(*commands: Any, **more: Any) -> WorkloadProfile:
    return replace(BATCH, commands=commands, **more)


def test_the_numbers_of_a_profile_are_those_worked_out_by_hand() -> None:
    worker = command("worker", 4, 600.0, 300.0, wait_ms=1000.0, wakeups=800, switches=300, burst_us_p50=500.0)
    hog = command("hog", 1, 397.0, 397.0, wait_ms=3000.0, wakeups=2, switches=50, burst_us_p50=9000.0)
    shell = command("sh", 90, 3.0, 0.1, wait_ms=0.0, wakeups=5000, switches=150, burst_us_p50=9500.0)
    batch = profile(worker, hog, shell, wall_s=2.0, cpu_s=0.5, parallelism=0.5, cpus=4)
    known = traits(batch)
    assert (known.cpus, known.runnable, known.longest, known.hog) == (4, 0.5 + 2.0, hog, shell)
    assert known.median_ms == 100.0 and known.tail == pytest.approx(3.97)
    assert known.waker is worker and known.wakeups_per_cpu_s == pytest.approx(802 / 2 / 4)
    assert known.switches_per_cpu_s == pytest.approx(1000.0)
    assert known.bound == pytest.approx(2.0 / 0.397)
    swift = traits(replace(batch, aim="latency"))
    assert swift.waker is shell and swift.wakeups_per_cpu_s == pytest.approx(5802 / 2 / 4), "for latency shells count"


def test_a_tail_of_one_task_counts_in_no_crowd() -> None:
    # 8 CPUs, 40 tasks for 1 s, then one alone for 3 s: on average 10.75 runnable, but it is 40 until the tail begins.
    long = command("long", 1, 4000.0, 4000.0, wait_ms=0.0)
    rest = command("rest", 39, 7000.0, 180.0, wait_ms=32_000.0)
    tail = profile(long, rest, wall_s=4.0, cpu_s=11.0, parallelism=11 / 4, cpus=8)
    assert traits(tail).runnable == pytest.approx(10.75) and traits(tail).crowd == pytest.approx(40.0)
    assert longest_first(tail, replace(traits(tail), runnable=7.0, bound=1.3)).strength > 0.7
    busy = replace(tail, cpu_s=32.0, parallelism=8.0)
    assert traits(busy).crowd == traits(busy).runnable, "no CPU was idle, so nobody was alone"
    one = replace(tail, cpus=1)
    assert traits(one).crowd == traits(one).runnable
    short = profile(replace(long, cpu_ms_max_task=500.0), rest, wall_s=4.0, cpu_s=11.0, parallelism=11 / 4, cpus=8)
    assert traits(short).crowd == pytest.approx((43.0 - 0.5) / 3.5), "nor longer than the longest task runs"
    sole = profile(replace(long, cpu_ms_max_task=9000.0), wall_s=4.0, cpu_s=4.0, parallelism=1.0, cpus=2)
    assert traits(sole).crowd == traits(sole).runnable == 1.0


def test_a_harness_that_waits_for_its_children_is_no_waker() -> None:
    harness = command("harness", 1, 50.0, 50.0, wakeups=5000)
    worker = command("worker", 4, 600.0, 300.0, wakeups=100)
    parent = JobProfile("parent", name_key("harness"), 4, 600.0, 300.0, 0.0)
    batch = profile(harness, worker, wall_s=1.0, cpu_s=0.65, cpus=1)
    assert traits(batch).waker is harness, "nothing says that it is one"
    told = replace(batch, jobs=(parent,))
    assert traits(told).waker is worker and traits(told).wakeups_per_cpu_s == pytest.approx(100)
    swift = replace(told, aim="latency")
    assert traits(swift).waker is worker, "whatever the goal"
    many = replace(told, commands=(replace(harness, tasks=2), worker))
    assert traits(many).waker.comm == "harness", "of two one may be a child"
    assert traits(replace(told, jobs=(replace(parent, by="name"),))).waker is harness


def test_a_short_slice_ends_no_batch_sooner() -> None:
    replies = replace(BATCH, aim="throughput")
    built = replace(BATCH, aim="makespan")
    for goal, strongest in ((BATCH, 0.36), (built, 0.36), (LATELY, 0.9), (replies, 0.9)):
        assert short_slice(goal, waking(wait_us_p99=10**6)).strength == pytest.approx(strongest)


def test_what_tells_long_jobs_from_short_ones_need_not_be_a_name() -> None:
    long = JobProfile("arguments", "7", 1, 900.0, 900.0, 0.0)
    rest = JobProfile("arguments", "8", 39, 390.0, 10.0, 0.0)
    unnamed = replace(BATCH, jobs=(long, rest))
    found = longest_first(unnamed, replace(BUSY, longest=SHARED))
    assert found.strength == pytest.approx(0.75) and "arguments explains 100 %" in found.evidence
    named = replace(BATCH, jobs=(replace(long, by="name"), replace(rest, by="name")))
    assert longest_first(named, replace(BUSY, longest=SHARED)).strength == pytest.approx(0.45)


def test_one_cpu_and_none_are_counted_as_one() -> None:
    worker = command("worker", 4, 600.0, 300.0, wakeups=100)
    one, none = (traits(profile(worker, wall_s=2.0, cpu_s=1.0, cpus=cpus)) for cpus in (1, 0))
    assert one.wakeups_per_cpu_s == none.wakeups_per_cpu_s == 50.0
    assert one.bound == none.bound == 2.0


def test_an_empty_profile_has_harmless_traits() -> None:
    empty = traits(WorkloadProfile("p", "w", 2, 0.0, 0.0, 0.0, 0.0, (), "", ""))
    assert (empty.runnable, empty.median_ms, empty.tail, empty.bound, empty.wakeups_per_cpu_s) == (0, 0, 0, 1.0, 0)
    assert (empty.longest.tasks, empty.longest.cpu_ms, empty.longest.wakeups) == (0, 0, 0)
    assert empty.switches_per_cpu_s == 0 == empty.hog.burst_us_p50 == empty.hog.burst_us_p99
    assert [empty.hog.cpu_ms_max_task, empty.hog.wait_ms, empty.hog.sleep_ms, empty.hog.switches] == [0, 0, 0, 0]
    assert (empty.hog.wait_us_p50, empty.hog.wait_us_p99) == (0, 0)


def test_a_command_competes_with_more_than_a_hundredth_of_the_cpu_time() -> None:
    above, at = command("above", 1, 10.5, 10.5), command("at", 1, 10.0, 10.0)
    assert [c.comm for c in competing(profile(command("most", 1, 979.5, 1.0), above, at))] == ["most", "above"]
    below = command("below", 1, 9.5, 9.5)
    assert [c.comm for c in competing(profile(command("most", 1, 990.5, 1.0), below))] == ["most"]


@pytest.mark.parametrize(
    ("wall_s", "cpu_s", "longest_ms", "ratio"),
    [(3.0, 2.0, 500.0, 3.0), (3.0, 2.0, 1500.0, 2.0), (0.5, 2.0, 500.0, 1.0), (3.0, 0.0, 0.0, 1.0),
     (3.0, 0.0, 500.0, 6.0)],
)  # fmt: skip
def test_the_bound_is_of_the_longest_task_or_of_all_cpus(
    wall_s: float, cpu_s: float, longest_ms: float, ratio: float
) -> None:
    assert bound(replace(BATCH, wall_s=wall_s, cpu_s=cpu_s, cpus=2), command("x", 1, 1.0, longest_ms)) == ratio


@pytest.mark.parametrize(
    ("tasks", "median"),
    [
        ([(1, 7.0, 7.0)], 7.0),
        ([(2, 10.0, 8.0)], 2.0),
        ([(3, 10.0, 4.0)], 3.0),
        ([(0, 1.0, 1.0), (1, 5.0, 5.0)], 5.0),
        ([(1, 1.0, 1.0), (1, 2.0, 2.0), (1, 9.0, 9.0)], 2.0),
        ([(2, 2.0, 5.0)], 0.0),
        ([(2, 10.0, 8.0), (1, 5.0, 5.0)], 5.0),
        ([], 0.0),
    ],
)
def test_the_median_task_is_that_of_all_tasks(tasks: list[tuple[int, float, float]], median: float) -> None:
    made = tuple(command(f"c{n}", count, cpu, most) for n, (count, cpu, most) in enumerate(tasks))
    assert median_task_ms(made) == median


@pytest.mark.parametrize(("count", "mean"), [(0, 0.0), (1, 0.0), (2, 4.0), (3, 2.0)])
def test_the_others_of_a_command_have_the_mean_of_what_the_largest_leaves(count: int, mean: float) -> None:
    assert others_ms(command("x", count, 10.0, 6.0)) == mean


LATELY = replace(BATCH, aim="latency")
SHARED = command("long", 2, 900.0 + 299.0, 900.0)
EVEN = command("long", 2, 900.0 + 300.0, 900.0)


@pytest.mark.parametrize(
    ("goal", "changes", "strength"),
    [
        (BATCH, {}, 0.75),
        (BATCH, {"bound": 1.01}, 0.1),
        (BATCH, {"bound": 1.02}, 0.48),
        (BATCH, {"bound": 1.6}, 1.0),
        (BATCH, {"bound": 1.29}, 0.885),
        (LATELY, {}, 0.1),
        (BATCH, {"tail": 2.9}, 0.1),
        (BATCH, {"tail": 3.0}, 0.75),
        (BATCH, {"crowd": 2.0}, 0.1),
        (BATCH, {"crowd": 2.0, "waits": 0.09}, 0.1),
        (BATCH, {"crowd": 2.0, "waits": 0.1}, 0.75),
        (BATCH, {"crowd": 2.1, "runnable": 1.1}, 0.75),
        (BATCH, {"wakeups_per_cpu_s": 50.0}, 0.75),
        (BATCH, {"wakeups_per_cpu_s": 51.0}, 0.525),
        (BATCH, {"longest": SHARED}, 0.45),
        (BATCH, {"longest": EVEN}, 0.75),
    ],
)
def test_longest_first_is_for_a_long_task_that_waits(
    goal: WorkloadProfile, changes: dict[str, Any], strength: float
) -> None:
    found = longest_first(goal, replace(BUSY, **changes))
    assert (found.strength, found.slice_us) == (pytest.approx(strength), 20_000)
    assert ("marks the long one poorly" in found.evidence) is (changes.get("longest") is SHARED)


def waking(**changes: Any) -> Traits:
    waker = replace(QUICK, **{name: changes.pop(name) for name in list(changes) if name.endswith(("p50", "p99"))})
    return replace(BUSY, **({"wakeups_per_cpu_s": 400.0, "waker": waker} | changes))


@pytest.mark.parametrize(
    ("goal", "changes", "strength", "slice_us"),
    [
        (BATCH, {}, 0.22, 600),
        (BATCH, {"wakeups_per_cpu_s": 50.0}, 0.22, 600),
        (BATCH, {"wakeups_per_cpu_s": 49.0}, 0.05, 600),
        (BATCH, {"wait_us_p99": 800.0}, 0.36, 600),
        (BATCH, {"wait_us_p99": 799.0}, 0.22, 600),
        (BATCH, {"burst_us_p50": 2000.0}, 0.22, 2000),
        (BATCH, {"burst_us_p50": 2001.0}, 0.08, 2000),
        (BATCH, {"burst_us_p50": 100.0}, 0.36, 200),
        (LATELY, {}, 0.7, 600),
        (LATELY, {"wait_us_p99": 800.0}, 0.9, 600),
    ],
)
def test_a_short_slice_is_for_short_wakeups_that_wait(
    goal: WorkloadProfile, changes: dict[str, Any], strength: float, slice_us: float
) -> None:
    found = short_slice(goal, waking(**changes))
    assert (found.strength, found.slice_us) == (pytest.approx(strength), pytest.approx(slice_us))


@pytest.mark.parametrize(
    ("changes", "hog_us", "strength", "slice_us"),
    [
        ({"wakeups_per_cpu_s": 49.0}, 5000.0, 0.4, 20_000),
        ({"wakeups_per_cpu_s": 50.0}, 5000.0, 0.75, 1000),
        ({"burst_us_p50": 1000.0}, 5000.0, 0.75, 2000),
        ({"burst_us_p50": 1000.0}, 4999.0, 0.4, 2000),
        ({"burst_us_p50": 9000.0}, 90_000.0, 0.75, 10_000),
    ],
)
def test_fair_shares_are_for_mixed_bursts(
    changes: dict[str, Any], hog_us: float, strength: float, slice_us: float
) -> None:
    found = fair(BATCH, waking(**changes, hog=replace(LONG, burst_us_p50=hog_us)))
    assert (found.strength, found.slice_us) == (strength, pytest.approx(slice_us))


@pytest.mark.parametrize(
    ("runnable", "switches", "strength"), [(3.0, 100.0, 0.6), (3.1, 499.0, 0.25), (3.1, 500.0, 0.5)]
)
def test_queues_per_cpu_are_for_the_idle_and_the_busily_switching(
    runnable: float, switches: float, strength: float
) -> None:
    found = local(BATCH, replace(BUSY, runnable=runnable, switches_per_cpu_s=switches))
    assert (found.strength, found.slice_us) == (strength, None)


def test_the_control_is_always_worth_a_cheap_try() -> None:
    assert control(BATCH, BUSY).strength == control(LATENCY, traits(LATENCY)).strength == 0.2


def test_times_are_told_in_the_unit_that_fits() -> None:
    assert "for 1.0 ms of work and waits 999 us" in short_slice(BATCH, waking(burst_us_p50=1000.0,
                                                                             wait_us_p99=999.0)).evidence  # fmt: skip


def test_a_kind_is_known_by_the_library_s_id_or_by_the_most_words() -> None:
    assert kind_of(policy("rr", good_for="a batch, a batch")).policy == "rr"
    assert kind_of(policy("mine", good_for="fair, with weight, and a batch")).policy == "vtime"
    assert kind_of(policy("mine", good_for="locality")).policy == "percpu"
    assert kind_of(policy("mine", good_for="anything")) is None

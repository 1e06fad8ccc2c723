# SPDX-License-Identifier: Apache-2.0
"""The rules of the library's own policies, at their thresholds."""

from __future__ import annotations

from dataclasses import replace

from planner_cases import BATCH, LATENCY, command

from bpf.library import policies
from policy_lake.profile import WorkloadProfile
from tasks.planners import rules
from tasks.planners.rules import longest_first
from tasks.planners.rules_library import OWN, kind_of
from tasks.planners.traits import traits


def test_every_policy_of_the_library_has_a_rule_of_its_own_that_says_by_which_numbers() -> None:
    for known in policies():
        kind = kind_of(known)
        assert kind is not None and kind.policy == known.id
        for of in (BATCH, LATENCY, WorkloadProfile("p", "w", 2, 0.0, 0.0, 0.0, 0.0, (), "", "")):
            found = kind.find(of, traits(of))
            assert 0 <= found.strength <= 1 and found.evidence
    assert set(OWN) < {known.id for known in policies()}


def test_who_is_begun_is_finished_where_answers_are_slow_and_cpus_are_crowded() -> None:
    of = traits(LATENCY)
    crowded = replace(of, runnable=2.0 * of.cpus)
    assert rules.finish_begun(LATENCY, crowded).strength == 0.85
    assert rules.finish_begun(LATENCY, replace(crowded, runnable=1.9 * of.cpus)).strength == 0.1
    assert rules.finish_begun(replace(LATENCY, aim="makespan"), crowded).strength == 0.1


def test_history_tells_where_bursts_are_mixed_and_tasks_wake() -> None:
    of = traits(LATENCY)
    mixed = replace(
        of, waker=command("w", 1, 1.0, 1.0, burst_us_p50=100.0), hog=command("h", 1, 1.0, 1.0, burst_us_p50=500.0)
    )
    assert rules.short_history(LATENCY, mixed).strength == 0.7 > rules.gives_up(LATENCY, mixed).strength
    near = replace(mixed, hog=command("h", 1, 1.0, 1.0, burst_us_p50=499.0))
    assert rules.short_history(LATENCY, near).strength == 0.25
    assert rules.short_history(LATENCY, replace(mixed, wakeups_per_cpu_s=49.0)).strength == 0.25
    assert rules.short_history(replace(LATENCY, aim="makespan"), mixed).strength == 0.1


def test_long_turns_chains_and_trees_by_their_numbers() -> None:
    calm, busy = replace(traits(BATCH), wakeups_per_cpu_s=49.0), replace(traits(BATCH), wakeups_per_cpu_s=500.0)
    assert rules.long_turns(BATCH, calm).strength > rules.long_turns(BATCH, busy).strength
    assert rules.long_turns(replace(BATCH, aim="latency"), calm).strength == 0.1
    short = replace(busy, waker=command("w", 1, 1.0, 1.0, burst_us_p50=2000.0))
    throughput = replace(BATCH, aim="throughput")
    assert rules.chained(throughput, short).strength == 0.45 > rules.chained(BATCH, short).strength == 0.2
    assert rules.chained(throughput, replace(short, wakeups_per_cpu_s=499.0)).strength == 0.15
    assert (
        rules.chained(throughput, replace(short, waker=command("w", 1, 1.0, 1.0, burst_us_p50=2001.0))).strength == 0.15
    )
    tree = replace(BATCH, commands=(command("cc", 100, 1.0, 1.0),))
    crowd = replace(traits(BATCH), crowd=3.0)
    assert rules.longest_chain(tree, crowd).strength == 0.6
    assert rules.longest_chain(replace(tree, commands=(command("cc", 99, 1.0, 1.0),)), crowd).strength == 0.15
    assert rules.longest_chain(tree, replace(crowd, crowd=2.0, waits=0.05)).strength == 0.15
    assert rules.longest_chain(replace(tree, aim="latency"), crowd).strength == 0.15


def test_where_tasks_run_may_matter_with_many_cpus_that_are_not_crowded() -> None:
    of = replace(traits(BATCH), cpus=8, runnable=15.0)
    assert rules.in_place(BATCH, of).strength == 0.3
    assert rules.in_place(BATCH, replace(of, cpus=7, runnable=7.0)).strength == 0.15
    assert rules.in_place(BATCH, replace(of, runnable=16.0)).strength == 0.15


def test_a_long_job_that_nothing_marks_is_found_by_what_it_used() -> None:
    of = traits(BATCH)
    assert 0 < rules.found_long(BATCH, of).strength < longest_first(BATCH, of).strength

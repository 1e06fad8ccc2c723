# SPDX-License-Identifier: Apache-2.0
"""The embedded planner: what it proposes first, and how it goes on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from planner_cases import BATCH, COMM, CPU_NS, LATENCY, LIBRARY, SLICE, command, context, policy, rejection, score

from policy_lake.knobs import knob_words
from policy_lake.model import Lesson, Policy, PolicyPlan
from tasks.planners.embedded import EmbeddedPlanner

PLANNER = EmbeddedPlanner()


def ids(plans: list[PolicyPlan]) -> list[str]:
    return [plan.policy for plan in plans]


def test_a_batch_with_one_long_job_gets_longest_job_first_with_its_name_and_time() -> None:
    first, *others = PLANNER.plan(context())
    assert first.policy == "ljf"
    assert first.knob_values == {"slice_ns": 20_000_000, "job_comm": "long,short", "job_cpu_ns": "980000000,49000000"}
    assert "'long' uses 980 ms of CPU per task, 20.0x the median" in first.reason
    assert "bound allows 1.32x" in first.reason
    assert len({first.policy, *ids(others)}) == 4, "the first plans are of different policies"
    assert others[-1].policy == "fifo", "a cheap control is among them"
    assert {plan.planner for plan in (first, *others)} == {"embedded"}


def test_the_control_keeps_its_place_when_few_plans_are_wanted() -> None:
    assert ids(PLANNER.plan(context(limit=2))) == ["ljf", "fifo"]
    assert ids(PLANNER.plan(context(limit=1))) == ["ljf"]
    assert PLANNER.plan(context(limit=0)) == []


def test_many_short_wakeups_with_long_waits_get_round_robin_with_a_short_slice() -> None:
    first = PLANNER.plan(context(LATENCY))[0]
    assert first.policy == "rr"
    assert 200_000 <= int(first.knob_values["slice_ns"]) <= 2_000_000
    assert "ljf" not in ids(PLANNER.plan(context(LATENCY, limit=9))), "long jobs first would cost latency"
    assert "150 us of work and waits 12.0 ms at p99" in first.reason


def test_wakeups_that_wait_long_get_round_robin_whatever_words_the_goal_is_told_in() -> None:
    assert PLANNER.plan(context(replace(LATENCY, aim="throughput")))[0].policy == "rr"


def test_mixed_bursts_get_fair_shares_with_a_slice_by_burst() -> None:
    hogs = replace(LATENCY.commands[1], burst_us_p50=20_000.0)
    workers = replace(LATENCY.commands[0], burst_us_p50=2500.0, wait_us_p99=3000.0)
    mixed = replace(LATENCY, aim="throughput", commands=(workers, hogs))
    first = PLANNER.plan(context(mixed))[0]
    assert (first.policy, first.knob_values) == ("vtime", {"slice_ns": 5_000_000})


def test_a_task_for_each_cpu_gets_queues_per_cpu() -> None:
    calm = (command("worker", 2, 3800.0, 1900.0),)
    alone = replace(BATCH, workload="other", wall_s=2.0, cpu_s=3.8, parallelism=1.9, commands=calm)
    assert PLANNER.plan(context(alone))[0].policy == "percpu"


def test_an_even_batch_is_not_sorted_by_length() -> None:
    even = replace(BATCH, commands=(command("short", 40, 40 * 49.0, 60.0, wait_ms=36_000.0),))
    assert "ljf" not in ids(PLANNER.plan(context(even, limit=5)))


def test_only_knobs_that_the_policy_has_are_set() -> None:
    bare = tuple(Policy(p.id, p.title, "", "", "", "source") for p in LIBRARY)
    assert [plan.knob_values for plan in PLANNER.plan(context(policies=bare))] == [{}] * 4


def test_names_are_cut_as_the_kernel_cuts_them_and_one_that_no_list_can_hold_is_left_out() -> None:
    nameless = [command(comm, 1, 980.0, 980.0) for comm in ("a,b", "", " outer", "tab\t")]
    jobs = (*BATCH.commands[:1], command("a-very-long-job-name", 1, 900.0, 900.0), *nameless)
    first = PLANNER.plan(context(replace(BATCH, commands=jobs)))[0]
    assert first.knob_values["job_comm"] == "a-very-long-job,short"
    assert first.knob_values["job_cpu_ns"] == "900000000,49000000"


def test_a_name_with_spaces_becomes_a_candidate_that_the_loader_takes() -> None:
    jobs = (*BATCH.commands[:1], command("Isolated Web Co", 1, 980.0, 980.0))
    first = PLANNER.plan(context(replace(BATCH, commands=jobs)))[0]
    assert first.knob_values["job_comm"] == "Isolated Web Co,short"
    ljf = next(each for each in LIBRARY if each.id == "ljf")
    assert "job_comm=Isolated Web Co,short" in knob_words(ljf, first.knob_values)


def test_no_more_jobs_are_named_than_the_policy_has_places_for() -> None:
    small = policy("ljf", SLICE, replace(COMM, count=2), replace(CPU_NS, count=2))
    jobs = tuple(command(f"job-{n}", 1, 900.0 - n, 900.0 - n) for n in range(9))
    first = PLANNER.plan(context(replace(BATCH, commands=(*BATCH.commands, *jobs)), policies=(small,)))[0]
    assert first.knob_values["job_comm"] == "long,job-0"
    assert first.knob_values["job_cpu_ns"] == "980000000,900000000"


def test_shells_and_parents_are_no_jobs() -> None:
    crowd = (*BATCH.commands, command("sh", 300, 9.0, 0.05))
    first = PLANNER.plan(context(replace(BATCH, commands=crowd)))[0]
    assert first.knob_values["job_comm"] == "long,short"
    assert "20.0x the median" in first.reason


def test_a_users_policy_is_judged_by_what_it_says_it_is_good_for() -> None:
    mine = policy("mine", SLICE, COMM, good_for="a batch with a heavy tail: the longest job goes first")
    first = PLANNER.plan(context(policies=(mine, LIBRARY[0], LIBRARY[4])))[0]
    assert (first.policy, first.knob_values["job_comm"]) == ("mine", "long")
    odd = policy("odd", good_for="frobnication")
    assert "frobnication" in next(p.reason for p in PLANNER.plan(context(policies=(odd,))) if p.policy == "odd")


def test_the_best_is_refined_and_the_rejected_is_left_out_in_its_own_words() -> None:
    best = score("ljf", 1.15, {"slice_ns": 20_000_000, "job_comm": "long"})
    history = context(
        scores=(best, score("fifo", 1.01)), rejections=(rejection("vtime", {"slice_ns": 20_000_000}),), iteration=2
    )
    plans = PLANNER.plan(history)
    assert [plan.knob_values.get("slice_ns") for plan in plans[:2]] == [40_000_000, 10_000_000]
    assert ids(plans[:2]) == ["ljf", "ljf"]
    assert all(plan.knob_values["job_comm"] == "long" for plan in plans[:2]), "what won is kept"
    assert "ljf leads with 1.15x" in plans[0].reason
    assert "vtime is left out: run rejected it (stalled for 5 s)" in plans[0].reason
    assert "vtime" not in ids(PLANNER.plan(replace(history, limit=50)))
    assert "percpu" in ids(plans), "a policy not yet tried gets a turn too"


def test_a_rejected_policy_whose_source_has_changed_gets_another_chance() -> None:
    history = context(rejections=(rejection("ljf", source="older source"),))
    assert PLANNER.plan(history)[0].policy == "ljf"
    assert "ljf" not in ids(PLANNER.plan(context(rejections=(rejection("ljf"),), limit=9)))


def test_steps_stop_at_the_ends_of_the_range() -> None:
    top = context(scores=(score("ljf", 1.2, {"slice_ns": 100_000_000}),), policies=LIBRARY[1:2])
    assert [plan.knob_values.get("slice_ns") for plan in PLANNER.plan(top)][:2] == [50_000_000, 71_428_571]
    odd = context(scores=(score("ljf", 1.2, {"slice_ns": 70_000_000}),), policies=LIBRARY[1:2])
    assert [plan.knob_values.get("slice_ns") for plan in PLANNER.plan(odd)][:2] == [100_000_000, 35_000_000]


def test_what_another_winner_does_differently_is_taken_over() -> None:
    history = context(scores=(score("ljf", 1.2, {"slice_ns": 20_000_000}), score("rr", 1.1, {"slice_ns": 3_000_000})))
    first = PLANNER.plan(history)[0]
    assert (first.policy, first.knob_values["slice_ns"]) == ("ljf", 3_000_000)
    assert "slice_ns=3000000 comes from rr, which reached 1.10x" in first.reason


def test_nothing_is_proposed_at_the_bound_or_when_all_is_tried() -> None:
    assert PLANNER.plan(context(scores=(score("ljf", 1.31),))) == []
    bare = (policy("fifo"),)
    assert PLANNER.plan(context(policies=bare, scores=(score("fifo", 1.1),))) == []
    assert PLANNER.plan(context(policies=())) == []


def test_while_nothing_wins_other_policies_come_before_other_slices() -> None:
    plans = PLANNER.plan(context(scores=(score("ljf", 0.9, {"slice_ns": 20_000_000}),), limit=9))
    assert ids(plans)[:3] == ["vtime", "percpu", "fifo"]
    assert set(ids(plans)[3:]) == {"ljf"}


def test_while_nothing_wins_the_policy_that_the_rules_prefer_is_refined_beside_the_best() -> None:
    scores = tuple(score(each.id, 0.95 if each.id == "percpu" else 0.9) for each in LIBRARY)
    first, *plans = PLANNER.plan(context(scores=scores, limit=5))
    assert first.policy == "ljf" and "own defaults" in first.reason, "with the hints, which the score had not"
    assert ids(plans) == ["percpu", "ljf"] * 2
    assert "percpu leads with 0.95x" in plans[0].reason
    assert "ljf reached 0.90x" in plans[1].reason


def test_the_winner_of_an_earlier_run_is_measured_again_once_in_each_run() -> None:
    old = score("ljf", 1.2, {"slice_ns": 5_000_000}, run="old")
    first = PLANNER.plan(context(scores=(old,), run_id="new"))[0]
    assert (first.policy, first.knob_values) == ("ljf", {"slice_ns": 5_000_000})
    assert "won 1.20x in run old" in first.reason
    new = score("ljf", 1.1, {"slice_ns": 5_000_000}, run="new")
    again = PLANNER.plan(context(scores=(old, new), run_id="new", limit=50))
    assert {"slice_ns": 5_000_000} not in [plan.knob_values for plan in again if plan.policy == "ljf"]
    assert "ljf leads with 1.10x" in again[0].reason, "this run's word counts"
    unnamed = PLANNER.plan(context(scores=(old,), limit=50))
    assert {"slice_ns": 5_000_000} not in [plan.knob_values for plan in unnamed if plan.policy == "ljf"]


def test_scores_from_other_machines_are_not_taken_for_this_one() -> None:
    history = context(scores=(score("ljf", 1.3, cpus=8), replace(score("rr", 1.3), workload="other")))
    assert PLANNER.plan(history) == PLANNER.plan(context())


def test_a_lesson_on_the_policy_is_quoted() -> None:
    lesson = Lesson("l", "r", "batch", "ljf", "names must match the process name")
    assert "Lesson: names must match the process name" in PLANNER.plan(context(lessons=(lesson,)))[0].reason


def test_planning_without_a_model_imports_neither_dspy_nor_pydantic() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from planner_cases import context\n"
        "from tasks.planners.choose import planner\n"
        "assert planner().plan(context())\n"
        "print([name for name in ('dspy', 'pydantic', 'lancedb', 'ray') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *sys.path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")

# SPDX-License-Identifier: Apache-2.0
"""What the planners decide at the edge: which plans go on, where an opening starts, how far a step goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planner_cases import BATCH, COMM, LIBRARY, SLICE, command, context, policy, rejection, score

from policy_lake.model import Knob, Lesson, Policy, PolicyPlan
from policy_lake.scores import Ratio, Score
from tasks.planners.embedded import EmbeddedPlanner, _worth, roundrobin
from tasks.planners.knobs import attempt
from tasks.planners.openings import openings
from tasks.planners.protocol import PlanContext
from tasks.planners.refine import at_bound, lenders, loans, neighbours, steps
from tasks.planners.selection import attempts, earlier_best, measured, select_plans, tried

PLANNER = EmbeddedPlanner()


def plan(id: str, **knob_values: object) -> PolicyPlan:
    return PolicyPlan(id, knob_values, "r", "p")  # type: ignore[arg-type]


def ids(plans: list[PolicyPlan]) -> list[str]:
    return [made.policy for made in plans]


def test_a_context_asks_for_four_first_plans() -> None:
    assert PlanContext(BATCH, LIBRARY) == PlanContext(BATCH, LIBRARY, (), (), (), 0, 4, "")


def test_what_may_not_go_on_does_not_hold_up_what_comes_behind_it() -> None:
    stated = [plan("nonesuch"), plan("vtime", warp=1), plan("fifo"), plan("rr"), plan("percpu"), plan("vtime")]
    here = context(scores=(score("fifo", 1.0),), limit=2)
    assert ids(select_plans(stated, here)) == ["rr", "percpu"]
    assert ids(select_plans(stated, here, taken=[plan("percpu")])) == ["rr"]
    assert ids(select_plans(stated, replace(here, limit=9), taken=[plan("percpu")])) == ["rr", "vtime"]
    assert select_plans(stated, here, taken=[plan("rr"), plan("percpu")]) == []
    assert ids(select_plans([plan("rr"), plan("rr", preempt="true"), plan("rr", preempt=False)], here)) == ["rr"] * 2


def test_a_score_speaks_where_it_was_attached_on_the_same_cpus_and_of_what_can_be_proposed() -> None:
    good = score("fifo", 1.0)
    others = (
        replace(good, attached=False), replace(good, cpus=4), replace(good, workload="web"),
        score("fifo", 1.0, {"warp": 1}), score("nonesuch", 1.0),
    )  # fmt: skip
    assert measured(context(scores=(good, *others))) == [good]
    assert tried(context(scores=others)) == set()


def test_this_run_s_word_counts_where_it_has_one() -> None:
    old, new = score("fifo", 1.3, run="old"), score("fifo", 1.1, run="new")
    other = score("rr", 1.2, run="old")
    assert measured(context(scores=(old, new, other), run_id="new")) == [new, other]
    assert measured(context(scores=(old, new, other))) == [old, new, other], "outside a run all count"
    assert measured(context(scores=(replace(old, run_id=""), new))) == [replace(old, run_id=""), new]


def test_a_winner_that_is_met_again_is_told_with_the_run_that_found_it() -> None:
    found = replace(score("fifo", 1.2, run="old"), id="found")
    confirming = replace(score("fifo", 1.3), id="again", confirms="found")
    for known, where in (
        ((found, confirming), "in run old"), ((confirming,), "outside a run"), ((found,), "in run old"),
        ((replace(found, run_id=""),), "outside a run"),
    ):  # fmt: skip
        plan = EmbeddedPlanner().plan(context(scores=known, run_id="new"))[0]
        assert where in plan.reason and plan.reason.endswith("since the kernel or the machine may be another"), known


def test_an_earlier_winner_is_met_again_until_this_run_has_met_it() -> None:
    old = score("fifo", 1.3, run="old")
    assert earlier_best(context(scores=(old,), run_id="new")) is old
    assert earlier_best(context(scores=(old,))) is None, "outside a run there is no earlier one"
    assert earlier_best(context(scores=(replace(old, run_id="new"),), run_id="new")) is None
    assert earlier_best(context(scores=(replace(old, outcome="inconclusive"),), run_id="new")) is None
    assert earlier_best(context(run_id="new")) is None
    met, why = rejection("fifo")
    here = context(scores=(old,), run_id="new", rejections=((replace(met, run_id="new"), why),))
    assert earlier_best(here) is None
    other = context(scores=(old,), run_id="new", rejections=((replace(met, run_id="older"), why),))
    assert earlier_best(other) is old
    assert tried(other) == set() and tried(here) == attempts(here, old)


def test_a_candidate_stands_for_its_attempt_while_its_source_is_the_policy_s() -> None:
    candidate, _ = rejection("fifo")
    here, own = context(), attempt(LIBRARY[-1], {})
    assert attempts(here, candidate) == attempts(here, replace(candidate, source="")) == {own}
    assert attempts(here, replace(candidate, source="older")) == set()
    assert attempts(here, plan("fifo")) == {own} and attempts(here, plan("fifo", warp=1)) == set()


def test_a_score_is_at_its_bound_from_97_percent_of_it_on() -> None:
    assert [at_bound(score("fifo", median, bound=2.0)) for median in (1.93, 1.94, 2.0)] == [False, True, True]
    assert not at_bound(score("fifo", 1.9, bound=None))


DEPTH = Knob("depth", "int", "4", "", 4, 400)


@pytest.mark.parametrize(
    ("knob", "value", "near"),
    [
        (DEPTH, 40, (80, 20)),
        (DEPTH, 300, (400, 150)),
        (DEPTH, 400, (200,)),
        (DEPTH, 5, (10, 4)),
        (DEPTH, 4, (8,)),
        (replace(DEPTH, low=-400), 0, (100, -100)),
        (replace(DEPTH, low=0), 0, (100,)),
        (replace(DEPTH, low=0), 1, (2, 0)),
        (replace(DEPTH, low=None, high=None), 0, ()),
        (Knob("on", "bool", "true", ""), True, (False,)),
        (Knob("on", "bool", "true", ""), "ONE", ()),
        (DEPTH, "EXPRESSION", ()),
        (COMM, "a,b", ()),
        (replace(COMM, kind="ints"), 4, ()),
    ],
)
def test_a_step_is_the_double_the_half_or_the_other_truth(knob: Knob, value: object, near: tuple[object, ...]) -> None:
    assert neighbours(knob, value) == near  # type: ignore[arg-type]


def test_steps_keep_what_led_and_begin_with_the_slice() -> None:
    knobs = policy("mine", Knob("preempt", "bool", "true", ""), SLICE)
    lead, here = score("mine", 1.2, {"preempt": False}), context(policies=(knobs,))
    made = list(steps(replace(here, scores=(lead,)), lead, knobs))
    coarse, fine = made[:3], made[3:]
    assert [values for values, _ in coarse] == [
        {"preempt": False, "slice_ns": 40_000_000}, {"preempt": False, "slice_ns": 10_000_000}, {"preempt": True},
    ]  # fmt: skip
    assert [values["slice_ns"] for values, _ in fine[:2]] == [28_000_000, 14_285_714] and len(fine) == 3
    assert all("mine leads with 1.20x" in why for _, why in made)
    rr = score("rr", 1.1, {"slice_ns": 3_000_000})
    first = next(steps(replace(here, policies=(knobs, LIBRARY[2]), scores=(lead, rr)), lead, knobs))
    assert first[0] == {"preempt": False, "slice_ns": 3_000_000} and "comes from rr" in first[1]
    better = score("mine", 1.25, {"preempt": True})
    assert "mine reached 1.20x" in list(steps(replace(here, scores=(lead, better)), lead, knobs))[-1][1]


def test_a_guard_s_edge_is_searched_between_who_breaks_it_and_who_keeps_it() -> None:
    hold = Knob("hold_ns", "int", "0", "", 0, 1000)
    ljf = policy("ljf", SLICE, hold)
    broken = replace(score("ljf", 1.3), over={"mean_end_ms": 1.4})

    def first(*known: Score) -> tuple[object, str]:
        made = next(steps(context(policies=(ljf,), scores=(broken, *known)), broken, ljf))
        return made[0].get("hold_ns", 0), made[1]

    assert first()[0] == 250, "what eases it is turned first"
    kept = score("ljf", 1.02, {"hold_ns": 800})
    assert first(kept) == (400, "ljf breaks a guard at hold_ns=0 and keeps all at 800: halfway")
    nearer = replace(score("ljf", 1.2, {"hold_ns": 400}), over={"mean_end_ms": 1.1})
    assert first(kept, nearer)[0] == 600, "from the nearest two, whoever leads"
    assert first(replace(kept, knob_values={"hold_ns": 450}), nearer)[0] != 425, "an eighth is near enough"
    otherwise = score("ljf", 1.02, {"hold_ns": 800, "slice_ns": 7_000_000})
    assert first(otherwise)[0] == 250, "apart by two numbers: no edge lies between"


def test_only_other_winners_lend_and_each_policy_s_best_alone() -> None:
    lead, worse = score("ljf", 1.3), score("ljf", 1.1, {"slice_ns": 7_000_000})
    rr, rr_worse = score("rr", 1.2, {"slice_ns": 3_000_000}), score("rr", 1.15, {"slice_ns": 2_000_000})
    lost = replace(score("vtime", 0.9, {"slice_ns": 1_000_000}), outcome="loss")
    here = context(scores=(worse, rr_worse, lead, rr, lost))
    assert lenders(here, lead) == [rr, worse]
    ljf = LIBRARY[1]
    assert [loan for loan, _ in loans(here, lead, ljf)] == [{"slice_ns": 3_000_000}, {"slice_ns": 7_000_000}]


def test_a_loan_is_of_a_knob_of_the_same_kind_within_the_borrower_s_range() -> None:
    lender = policy("rich", SLICE, Knob("depth", "int", "9", "", 0, 99), Knob("on", "bool", "true", ""))
    borrower = policy("poor", replace(SLICE, high=25_000_000), Knob("depth", "bool", "false", ""),
                      Knob("on", "bool", "true", ""), COMM)  # fmt: skip
    lead = score("poor", 1.3)
    values = {"slice_ns": 90_000_000, "depth": 5, "on": False}
    here = context(policies=(lender, borrower), scores=(lead, score("rich", 1.2, values)))
    assert [loan for loan, _ in loans(here, lead, borrower)] == [{"slice_ns": 25_000_000, "on": False}]
    same = context(policies=(lender, borrower), scores=(lead, score("rich", 1.2, {"slice_ns": 20_000_000, "on": True})))
    assert list(loans(same, lead, borrower)) == []


def test_a_control_takes_the_last_of_two_places_or_more_unless_it_is_there() -> None:
    worthy = tuple(policy(f"odd{n}") for n in range(4))
    for limit, expected in ((1, ["odd0"]), (2, ["odd0", "fifo"]), (4, ["odd0", "odd1", "odd2", "fifo"])):
        assert ids(PLANNER.plan(context(policies=(*worthy, policy("fifo")), limit=limit))) == expected
    assert ids(PLANNER.plan(context(policies=(*worthy[:1], policy("fifo")), limit=4))) == ["odd0", "fifo"]


def test_of_the_second_lead_its_best_score_is_refined() -> None:
    scores = (score("percpu", 0.97), score("ljf", 0.9), score("ljf", 0.95, {"slice_ns": 7_000_000}))
    reasons = [plan.reason for plan in PLANNER.plan(context(scores=scores, policies=LIBRARY[1:4:2], limit=9))]
    assert any("ljf reached 0.95x" in why for why in reasons) and not any("0.90x" in why for why in reasons)


def test_an_opening_is_worth_trying_from_a_fifth_on() -> None:
    made = openings(context())[0]
    assert [len(_worth([replace(made, strength=strength)])) for strength in (0.19, 0.2)] == [0, 1]
    calm = replace(BATCH, commands=(command("even", 9, 900.0, 100.0),))
    assert PLANNER.plan(context(calm, policies=(policy("ljf"),))) == []
    at = replace(BATCH, commands=BATCH.commands, parallelism=9.0)
    assert ids(PLANNER.plan(context(at, policies=(policy("fifo"),)))) == ["fifo"]


def test_after_a_win_two_steps_near_it_come_for_each_new_policy() -> None:
    won = score("ljf", 1.15, {"slice_ns": 20_000_000})
    two = (policy("ljf", SLICE, Knob("a", "int", "8", "", 1, 99), Knob("b", "int", "8", "", 1, 99)), *LIBRARY[2:])
    made = PLANNER.plan(context(scores=(won,), policies=two, limit=9))
    assert [made.policy == "ljf" for made in made] == [True, True, False, True, True, False, True, True, True]
    assert len({made.policy for made in made}) == 3, "a policy not worth a try does not get one"


def test_while_nothing_wins_the_two_best_take_turns_and_no_third() -> None:
    scores = tuple(score(each.id, 0.97 - 0.01 * n) for n, each in enumerate(LIBRARY[1:4]))
    made = PLANNER.plan(context(scores=scores, policies=LIBRARY[1:4], limit=9))
    assert {plan.policy for plan in made} == {"ljf", "percpu"}
    assert "own defaults" in made[0].reason, "but first what a policy is with this workload's hints"
    assert [plan.policy for plan in made][1:3] == ["ljf", "percpu"]


def test_a_rejection_spends_a_policy_until_some_of_its_settings_pass() -> None:
    rr = (policy("rr", SLICE),)
    assert PLANNER.plan(context(policies=rr, rejections=(rejection("rr"),))) == []
    passed = context(policies=rr, rejections=(rejection("rr"),), scores=(score("rr", 1.1, {"slice_ns": 5_000_000}),))
    assert [plan.knob_values for plan in PLANNER.plan(passed)][:1] == [{"slice_ns": 10_000_000}]
    assert "left out" not in PLANNER.plan(passed)[0].reason


def test_the_last_reason_is_quoted_in_one_line_of_bounded_length() -> None:
    reasons = (rejection("rr", reason="first"), rejection("rr", reason="x\n" * 200))
    first, *others = PLANNER.plan(context(rejections=reasons))
    assert "rr is left out: run rejected it (" + ("x " * 79 + "x" + "…") in first.reason and "first" not in first.reason
    assert all("left out" not in plan.reason for plan in others)
    for length, end in ((160, "y" * 160), (161, "y" * 159 + "…")):
        assert PLANNER.plan(context(rejections=(rejection("rr", reason="y" * length),)))[0].reason.endswith(f"({end})")


def test_the_last_lesson_on_the_policy_and_workload_is_quoted() -> None:
    lessons = tuple(Lesson(f"l{n}", "r", "batch", "ljf", text) for n, text in enumerate(("old", "new")))
    other = Lesson("o", "r", "web", "ljf", "elsewhere")
    assert PLANNER.plan(context(lessons=(*lessons, other)))[0].reason.endswith(". Lesson: new")


def test_round_robin_takes_one_from_each_until_all_are_used_up() -> None:
    a, b = [plan(f"a{n}") for n in range(3)], [plan("b0")]
    assert ids(list(roundrobin(iter(a), iter(b)))) == ["a0", "b0", "a1", "a2"]


def test_plans_of_the_best_and_of_equals_come_by_rank() -> None:
    sure = replace(score("fifo", 1.1), ratio=Ratio(1.1, (1.09, 1.11)), bound=None)
    loose = replace(score("rr", 1.2), ratio=Ratio(1.2, (1.01, 1.4)), bound=None)
    plans = PLANNER.plan(context(scores=(loose, sure), policies=(LIBRARY[2], policy("fifo", SLICE))))
    assert ids(plans)[0] == "fifo"


def own(knob: Knob, *, default: str) -> Policy:
    return policy("own", replace(knob, default=default))


def test_a_default_that_is_no_value_of_the_knob_still_is_one_value() -> None:
    assert attempt(own(SLICE, default="5 * 1000"), {})[1] == (("slice_ns", "5 * 1000"),)
    assert attempt(own(SLICE, default="1"), {}) != attempt(own(SLICE, default="2"), {})

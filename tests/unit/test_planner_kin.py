# SPDX-License-Identifier: Apache-2.0
"""What sibling workloads hand down, what a guard's rejection begins, and what a plan is expected to reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planner_cases import BATCH, LATENCY, LIBRARY, SLICE, command, context, policy, rejection, score

from policy_lake.model import Knob
from policy_lake.scores import Pair
from tasks.plan import FEWEST, MOST_SLOPE, slope_of
from tasks.planners.embedded import EmbeddedPlanner
from tasks.planners.features import KIN, OTHER_AIM, distance, features
from tasks.planners.kin import MOST_PLANS, handed_down, kin_of, lost_on_kin
from tasks.planners.openings import LOST, openings
from tasks.planners.protocol import Known
from tasks.planners.refine import inert
from tasks.planners.surrogate import knob_distance, predict
from tasks.planners.tpe import FEWEST as FEWEST_SCORES
from tasks.planners.tpe import proposals

PLANNER = EmbeddedPlanner()
MAKESPAN = replace(BATCH, aim="makespan")
JOBS = command("small", 39, 39 * 45.0, 45.0, wait_ms=36_300.0), command("big", 1, 960.0, 960.0, wait_ms=931.0)
SIBLING = replace(MAKESPAN, id="p-other", workload="other", commands=JOBS)


def of_other(id: str, ratio: float, knob_values: Any = None, **more: Any) -> Any:
    return replace(score(id, ratio, knob_values), workload="other", **more)


def test_workloads_of_one_kind_are_near_and_others_far() -> None:
    assert distance(MAKESPAN, MAKESPAN) == 0 < distance(MAKESPAN, SIBLING) < KIN
    assert distance(MAKESPAN, replace(MAKESPAN, aim="latency")) == OTHER_AIM
    assert distance(MAKESPAN, replace(LATENCY, aim="makespan")) > KIN
    assert all(0 <= getattr(features(LATENCY), name) <= 1 for name in features(LATENCY).__slots__)


def test_kin_are_near_by_the_same_clock_in_the_same_size_and_attached() -> None:
    won = of_other("ljf", 1.3)
    scores = {"other": [won, of_other("rr", 1.1, attached=False)], "batch": [score("rr", 1.2)]}
    (known,) = kin_of(MAKESPAN, [MAKESPAN, SIBLING], scores)
    assert known.score is won and known.distance == pytest.approx(distance(MAKESPAN, SIBLING))
    twice = [replace(SIBLING, commands=LATENCY.commands), SIBLING]
    assert kin_of(MAKESPAN, twice, scores) == (known,), "the nearest of its profiles counts"
    for change in ({"clock": "virtual"}, {"tier": "smoke"}, {"aim": "latency"}, {"commands": LATENCY.commands}):
        assert kin_of(MAKESPAN, [replace(SIBLING, **change)], scores) == (), change


def test_what_won_on_a_sibling_is_the_first_plan_with_this_workload_s_own_names() -> None:
    won = of_other("ljf", 1.3, {"slice_ns": 7_000_000, "job_comm": "big", "job_cpu_ns": "1"})
    here = context(MAKESPAN, kin=(Known(won, 0.05),))
    first = PLANNER.plan(here)[0]
    assert (first.policy, first.pathway, first.knob_values["slice_ns"]) == ("ljf", "reuse", 7_000_000)
    assert str(first.knob_values["job_comm"]).startswith("long") and won.id in first.reason
    assert PLANNER.plan(replace(here, rejections=(rejection("ljf", first.knob_values),)))[0].pathway != "reuse"


def test_of_siblings_those_count_that_won_most_of_what_was_to_be_won() -> None:
    known = (
        Known(of_other("rr", 1.5, bound=3.0), 0.01), Known(of_other("vtime", 1.3, bound=1.31), 0.1),
        Known(of_other("fifo", 1.3, over={"p99": 1.1}), 0.0), Known(of_other("percpu", 0.9, outcome="loss"), 0.0),
        Known(of_other("vtime", 1.1), 0.0), Known(of_other("nonesuch", 2.0), 0.0),
    )  # fmt: skip
    assert [handed.policy for handed in handed_down(context(MAKESPAN, kin=known))] == ["vtime", "rr"]
    many = tuple(Known(of_other(each.id, 1.2), 0.0) for each in LIBRARY)
    assert len(handed_down(context(MAKESPAN, kin=many))) == MOST_PLANS


def test_what_lost_on_a_sibling_and_won_on_none_comes_later() -> None:
    lost = Known(of_other("ljf", 0.8, outcome="loss"), 0.0)
    here = context(MAKESPAN, kin=(lost,))
    strength = {one.policy.id: one.strength for one in openings(context(MAKESPAN))}
    after = {one.policy.id: one for one in openings(here)}
    assert after["ljf"].strength == pytest.approx(LOST * strength["ljf"]) and lost.score.id in after["ljf"].reason
    assert after["rr"].strength == pytest.approx(strength["rr"])
    both = context(MAKESPAN, kin=(lost, Known(of_other("ljf", 1.2), 0.0)))
    assert lost_on_kin(here, "ljf") is lost.score and lost_on_kin(both, "ljf") is None


def test_what_breaks_a_guard_is_the_start_of_a_search_if_it_promises_more() -> None:
    fast = replace(score("ljf", 1.3, {"slice_ns": 20_000_000}), over={"mean_end_ms": 1.05})
    plans = PLANNER.plan(context(scores=(fast,), limit=9))
    near = [plan for plan in plans if plan.policy == "ljf" and "slice_ns" in plan.knob_values]
    assert near and all("mean_end_ms is 1.05 times its limit" in plan.reason for plan in near)
    kept = score("rr", 1.1, {"slice_ns": 2_000_000})
    both = [plan.policy for plan in PLANNER.plan(context(scores=(fast, kept), limit=6))]
    assert both.count("ljf") >= 2 and both.count("rr") >= 1
    better = [plan.policy for plan in PLANNER.plan(context(scores=(fast, score("rr", 1.305)), limit=4))]
    assert "ljf" not in better, "what breaks a guard and is no faster leads nowhere"


def test_a_policy_s_own_defaults_are_tried_beside_what_the_rules_make_of_it() -> None:
    plans = PLANNER.plan(context(LATENCY, policies=LIBRARY[2:3], limit=9))
    assert [plan.knob_values for plan in plans] == [{"slice_ns": 225_000}, {}]


def test_a_knob_that_changed_no_digit_is_left_alone() -> None:
    two = policy("mine", SLICE, Knob("on", "bool", "true", ""))

    def measured(ratio: float, *figures: float, **values: Any) -> Any:
        pairs = tuple(Pair(2.0, figure, seed) for seed, figure in enumerate(figures))
        return replace(score("mine", ratio, values), clock="virtual", pairs=pairs)

    same = [measured(1.1, 1.0, 1.1), measured(1.1, 1.0, 1.1, on=False)]
    assert inert(two, same) == {"on"}
    short = {"slice_ns": 5_000_000}
    tells = [measured(1.2, 1.0, 1.2, **short), measured(1.2, 1.0, 1.3, on=False, **short)]
    assert inert(two, [*same, *tells]) == set(), "it does something at another slice"
    assert inert(two, [replace(each, clock="wall") for each in same]) == set()
    assert inert(two, [same[0], measured(1.1, 1.0, 1.1, on=False, **short)]) == set(), "two at once tell nothing"
    values = [plan.knob_values for plan in PLANNER.plan(context(scores=tuple(same), policies=(two,), limit=20))]
    assert values and all(value.get("on", True) for value in values)


def test_a_prediction_is_the_score_itself_where_there_is_one_and_the_rules_guess_where_there_is_none() -> None:
    ljf = LIBRARY[1]
    near = Known(score("ljf", 1.3, {"slice_ns": 20_000_000}))
    assert predict(ljf, {}, [], guess=1.2) == pytest.approx(1.2)
    assert 1.2 < predict(ljf, {"slice_ns": 20_000_000}, [near], guess=1.0) < 1.3
    far = predict(ljf, {"slice_ns": 100_000}, [near], guess=1.0)
    assert far == pytest.approx(1.0, abs=0.01)
    assert predict(ljf, {}, [replace(near, distance=1.0)], guess=1.0) == pytest.approx(1.0, abs=0.01)
    assert predict(LIBRARY[2], {}, [near], guess=1.0) == pytest.approx(1.0), "another policy's says nothing"
    bare = {"slice_ns": 1, "job_comm": "", "job_cpu_ns": ""}
    assert knob_distance(ljf, bare, bare | {"job_comm": "a"}) > 0 == knob_distance(ljf, bare, bare)
    plans = PLANNER.plan(context(MAKESPAN))
    assert all(plan.predicted is not None and 1 <= plan.predicted <= 1.33 for plan in plans)
    assert PLANNER.plan(context(MAKESPAN, slope=0.0))[0].predicted == 1.0


def test_predictions_are_corrected_by_what_earlier_ones_came_to() -> None:
    def slope(said: float | None, came: float, count: int = FEWEST, **more: Any) -> float:
        return slope_of([replace(score("ljf", came), id=f"{n}", uncorrected=said, **more) for n in range(count)])

    assert slope(1.44, 1.2) == pytest.approx(0.5) and slope(1.44, 1.2, FEWEST - 1) == 1.0
    assert slope(1.2, 0.8) == 0.0 and slope(1.01, 2.0) == MOST_SLOPE and slope(1.0, 1.2) == 1.0
    assert slope(None, 1.2) == 1.0 == slope(1.44, 1.2, confirms="another")


def test_what_is_corrected_is_not_what_the_correction_is_made_from() -> None:
    half = PLANNER.plan(context(MAKESPAN, slope=0.5))[0]
    whole = PLANNER.plan(context(MAKESPAN))[0]
    assert half.uncorrected == whole.uncorrected == whole.predicted
    assert half.predicted == pytest.approx((whole.predicted or 0) ** 0.5, abs=1e-4)


def test_tpe_proposes_the_same_for_the_same_and_keeps_away_from_what_breaks_a_guard() -> None:
    mine = policy("mine", SLICE, Knob("on", "bool", "true", ""))
    good = [score("mine", 1.0 + 0.02 * n, {"slice_ns": 1_000_000 * 2**n}) for n in range(5)]
    made = list(proposals(mine, good, {}, fixed=frozenset({"on"}), seed=3))
    assert made == list(proposals(mine, good, {}, fixed=frozenset({"on"}), seed=3))
    assert all(100_000 <= int(values["slice_ns"]) <= 100_000_000 and "on" not in values for values in made)
    assert list(proposals(mine, good[: FEWEST_SCORES - 1], {}, fixed=frozenset(), seed=1)) == []
    assert list(proposals(mine, good, {}, fixed=frozenset({"on", "slice_ns"}), seed=1)) == []

    def middle(scores: Any) -> float:
        slices = sorted(int(v["slice_ns"]) for v in proposals(mine, scores, {}, fixed=frozenset({"on"}), seed=1))
        return slices[len(slices) // 2]

    bad = [replace(each, over={"g": 2.0}) if int(each.knob_values["slice_ns"]) > 4_000_000 else each for each in good]
    assert middle(bad) < middle(good)

# SPDX-License-Identifier: Apache-2.0
"""Planners side by side: what each comparator proposes, that budgets are equal and kept, and what the table says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from planner_cases import BATCH, LIBRARY, SLICE, context, policy, rejection, score

from control_plane.compare import table
from policy_lake.comparison import Comparison, Course, Point
from policy_lake.errors import InputError
from policy_lake.model import Knob, PolicyPlan
from policy_lake.scores import Pair
from tasks import compare as module
from tasks.compare import CompareRequest, _course, _Ground
from tasks.planners.comparators import BanditPlanner, KnobPlanner, RandomPlanner, StockPlanner, draw
from tasks.planners.makers import MAKERS
from tasks.planners.q_learning import QPlanner, learned

MINE = policy("mine", SLICE, Knob("on", "bool", "true", ""), Knob("depth", "int", "4", "", 0, 9))


@pytest.mark.parametrize("name", MAKERS)
def test_every_planner_proposes_new_legal_plans_the_same_for_the_same(name: str) -> None:
    planner = MAKERS[name](3)
    library = (*LIBRARY, policy("eevdf", SLICE))
    here = context(policies=library, limit=3)
    first = planner.plan(here)
    assert first and len(first) <= 3 and planner.plan(here) == first, "a function of seed and context"
    assert all(plan.planner == planner.name for plan in first)
    seen = tuple(score(plan.policy, 1.1, plan.knob_values) for plan in first)
    more = planner.plan(replace(here, scores=seen, iteration=1))
    tried = {(plan.policy, *sorted(plan.knob_values.items())) for plan in first}
    assert not tried & {(plan.policy, *sorted(plan.knob_values.items())) for plan in more}
    assert planner.plan(replace(here, policies=())) == []


def test_what_is_drawn_lies_within_the_range_and_names_nobody() -> None:
    import random

    drawn = [draw(policy("x", *MINE.knobs, LIBRARY[1].knobs[1]), random.Random(n)) for n in range(50)]
    slices = sorted(int(values["slice_ns"]) for values in drawn)
    assert slices[0] >= 100_000 and slices[-1] <= 100_000_000 and slices[25] < 20_000_000, "by its logarithm"
    assert {values["on"] for values in drawn} == {True, False} and all("job_comm" not in values for values in drawn)
    other = RandomPlanner(1).plan(context(limit=2))
    assert other != RandomPlanner(2).plan(context(limit=2))


def test_the_stock_is_each_policy_as_it_is_and_the_control_but_one() -> None:
    assert [plan.policy for plan in StockPlanner().plan(context(limit=9))] == [one.id for one in LIBRARY]
    assert [plan.policy for plan in StockPlanner("rr").plan(context(limit=9))] == ["rr"]
    assert StockPlanner("eevdf").plan(context(limit=9)) == []


def test_tpe_keeps_to_one_policy() -> None:
    plans = KnobPlanner(1).plan(context(policies=(policy("bare"), MINE), limit=3))
    assert {plan.policy for plan in plans} == {"mine"} and plans[0].knob_values == {}
    assert {plan.policy for plan in KnobPlanner(1, "rr").plan(context(limit=3))} == {"rr"}
    assert KnobPlanner(1).plan(context(policies=(policy("bare"),))) == []


def test_the_bandit_pulls_each_arm_once_and_then_what_paid() -> None:
    some = LIBRARY[:3]
    assert {plan.policy for plan in BanditPlanner(1).plan(context(policies=some, limit=3))} == {"vtime", "ljf", "rr"}
    paid = (score("vtime", 1.0), score("ljf", 1.9), score("rr", 0.9))
    assert BanditPlanner(1).plan(context(policies=some, scores=paid, limit=1))[0].policy == "ljf"
    tired = (*paid, *(score("ljf", 0.5, {"slice_ns": n}) for n in (200_000, 300_000, 400_000)))
    assert BanditPlanner(1).plan(context(policies=some, scores=tired, limit=1))[0].policy != "ljf"
    refused = context(policies=some[:2], scores=paid[:1], rejections=(rejection("ljf"),), limit=1)
    assert BanditPlanner(1).plan(refused)[0].policy == "vtime", "a rejection is as bad as half the speed"


def test_q_learning_goes_on_in_the_direction_that_paid() -> None:
    up = [score("mine", 1.0, {}), score("mine", 1.3, {"slice_ns": 40_000_000})]
    table = learned(MINE, up)
    assert table[("slice_ns", 2.0)] > 0 and learned(MINE, [up[1], up[0]])[("slice_ns", 0.5)] < 0
    plans = [QPlanner(seed).plan(context(policies=(MINE,), scores=tuple(up), limit=1))[0] for seed in range(20)]
    further = sum(plan.knob_values.get("slice_ns") == 80_000_000 for plan in plans)
    assert 10 <= further < 20, "mostly, and not always"


def ground(**request: Any) -> _Ground:
    asked = CompareRequest("batch", **request)
    given: Any = SimpleNamespace()
    return _Ground(asked, given, given, given, given, BATCH, LIBRARY, given)


def tried_with(monkeypatch: pytest.MonkeyPatch, ratios: Any) -> list[int]:
    """Every candidate has two pairs and the next ratio; the sizes of the rounds."""
    rounds: list[int] = []
    rest = iter(ratios)

    def tried(plans: list[PolicyPlan], *_: Any) -> Any:
        rounds.append(len(plans))
        for plan in plans:
            ratio = next(rest)
            over = {"p99": 1.2} if ratio < 0 else {}
            made = replace(score(plan.policy, abs(ratio), plan.knob_values), pairs=(Pair(2, 1), Pair(2, 1)), over=over)
            yield SimpleNamespace(score=made, verdict=SimpleNamespace(rejection=None), candidate=None)

    monkeypatch.setattr(module, "_tried", tried)
    return rounds


def test_a_planner_has_its_runs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = tried_with(monkeypatch, [1.0, -1.9, 1.2, 1.1, 1.3])
    course = _course("random", RandomPlanner(1), ground(max_runs=9, per_round=3))
    assert (course.runs, course.candidates, rounds, course.stopped) == (10, 5, [3, 1, 1], "runs")
    assert [point.ratio for point in course.points] == [1.0, 1.0, 1.2, 1.2, 1.3], "what breaks a guard is no best"
    assert course.first_win == 3 and course.best is not None and course.best.ratio.median == 1.3
    assert (course.runs_to(1.2), course.runs_to(1.25), course.runs_to(2.0)) == (6, 10, None)


def test_a_planner_that_has_no_more_to_say_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tried_with(monkeypatch, [0.8] * 9)
    course = _course("control", StockPlanner("rr"), ground(max_runs=50))
    assert (course.stopped, course.candidates, course.first_win) == ("nothing left", 1, None)
    assert course.points[-1] == Point(2, 1.0, 1.0, 1.0), "nobody has to load a policy that is worse than EEVDF"


def test_who_is_at_the_bound_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    tried_with(monkeypatch, [1.31] * 9)
    course = _course("embedded", MAKERS["embedded"](1), ground(max_runs=50, per_round=3))
    assert (course.stopped, course.candidates) == ("nothing left", 3), "a winner of this run is not met again"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"planners": ("magic",)}, "no planner 'magic'"), ({"planners": ("random", "random")}, "once"),
     ({"planners": ()}, "once"), ({"max_runs": 0}, "no budget"), ({"max_runs": -1}, "max runs"),
     ({"per_round": 0}, "per iteration"), ({"seed": -1}, "seed")],
)  # fmt: skip
def test_a_request_names_what_is_wrong_with_it(wrong: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        CompareRequest("batch", **wrong)


def test_the_table_tells_what_each_reached_and_how_soon() -> None:
    good = Course("embedded", score("ljf", 1.3), (Point(4, 1.2, 1.1, 1.3), Point(9, 1.3, 1.2, 1.4)), 2, 0, 9, 1.0, 2.0,
                  "bound", 1)  # fmt: skip
    none = Course("random", None, (Point(2, 1.0, 1.0, 1.0),), 1, 1, 2, 1.0, 2.0, "runs")
    head, first, second = table(Comparison("batch", "smoke", 2, 60, 1, 1.32, (good, none)))
    assert "bound 1.32x" in head and "1.30x" in first and "within 2 % by 9 runs" in first and "arithmetic" in first
    assert "nothing that may run" in second and "never within 2 %" in second and "first win none" in second

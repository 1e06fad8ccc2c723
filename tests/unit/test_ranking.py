# SPDX-License-Identifier: Apache-2.0
"""One order of scores, and that all who ask for the best get the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import cast

import pytest
import strategies
from planner_cases import context, policy
from trial_cases import BATCH

from bpf.library import policies
from policy_lake.lake import Lake
from policy_lake.ranking import best, bests
from policy_lake.scores import Ratio, Score
from tasks.planners.refine import best_score
from tasks.run.certainty import Tried
from tasks.run.report import best_of
from tasks.score import find_control


def score(id: str, median: float, low: float, outcome: str = "win", **fields: object) -> Score:
    made = cast(Score, strategies.score(id, outcome=outcome, policy=id, **fields))
    return replace(made, ratio=Ratio(median, (low, 2 * median - low)), knob_values={})


SURE = score("fifo", 1.2, 1.15)
LUCKY = score("rr", 1.5, 1.01)  # the higher median, of which less can be relied upon
UNSURE = score("vtime", 1.6, 1.3, "inconclusive")
LOST = score("percpu", 0.9, 0.85, "loss")
LOOSE = score("ljf", 3.0, 2.9, attached=False)
ALL = (SURE, LUCKY, UNSURE, LOST, LOOSE)


def test_a_win_comes_first_and_of_wins_the_one_whose_interval_starts_highest() -> None:
    for order in permutations(ALL):
        assert best(order) is SURE
    assert best([LUCKY, UNSURE]) is LUCKY
    assert best([UNSURE, LOST]) is UNSURE
    assert best([LOOSE]) is None and best([]) is None


def test_of_equals_the_median_and_then_the_id_decides_in_any_order() -> None:
    higher = replace(SURE, ratio=Ratio(1.3, SURE.ratio.ci95))
    assert best([SURE, higher]) is best([higher, SURE]) is higher
    twin = replace(SURE, id="zz")
    assert best([SURE, twin]) is best([twin, SURE]) is twin


@pytest.mark.parametrize("known", [ALL, ALL[1:], ALL[2:]], ids=["all", "no sure one", "no win"])
def test_lake_planner_report_and_control_agree(known: tuple[Score, ...], tmp_path: object) -> None:
    leader = best(known)
    assert leader is not None
    here = context(policies=tuple(policy(each.id) for each in policies()), scores=known)
    assert best_score(here) is leader
    assert best_of([Tried(strategies.candidate(each.id), each) for each in known]) is leader
    lake = FilledLake(known)
    control = find_control("best", BATCH, cast(Lake, lake))
    assert control is not None and control.policy == leader.policy
    assert Lake.best(cast(Lake, lake), "batch") == (leader if leader.outcome == "win" else None)


class FilledLake:
    """Scores as a lake gives them; what is asked of it is the lake's own code."""

    def __init__(self, known: tuple[Score, ...]) -> None:
        self.known = known

    def scores(self, workload: str) -> list[Score]:
        return [each for each in self.known if each.workload == workload]


def test_a_policy_s_record_is_its_best_on_each_workload_that_keeps_the_guards() -> None:
    low, high = score("rr", 1.1, 1.0), replace(score("rr", 1.3, 1.2), id="high")
    other = replace(score("rr", 1.2, 1.1), workload="web", id="web")
    wide = replace(score("rr", 1.4, 1.3), cpus=64, id="wide")
    none = [
        replace(score("rr", 2.0, 1.9), over={"p99": 1.1}, id="over"), replace(score("rr", 2.0, 1.9), attached=False),
        replace(score("eevdf", 1.0, 0.9), candidate=""),
    ]  # fmt: skip
    made = bests([replace(each, candidate=each.candidate or "c") for each in (low, high, other, wide)] + none)
    assert {policy: [one.id for one in own] for policy, own in made.items()} == {"rr": ["wide", "high", "web"]}
    assert bests([]) == {}

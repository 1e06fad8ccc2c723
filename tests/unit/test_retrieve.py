# SPDX-License-Identifier: Apache-2.0
"""Which policies a planner is given for a workload, in which order, and which are left out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from planner_cases import BATCH, LATENCY, LIBRARY, SLICE, policy, rejection, score

from policy_lake.model import Policy
from policy_lake.profile import WorkloadProfile
from policy_lake.records import RankedPolicy, Rejected
from policy_lake.topology import Topology
from tasks.planners import suits
from tasks.planners.features import KIN, distance
from tasks.planners.suits import FITS, has, strengths, won_near
from tasks.retrieve import RETRIEVED, RULES, TEXT, WON, Past, Place, can_run, fused, ranks, refused, retrieve

MAKESPAN = replace(BATCH, aim="makespan")
SIBLING = replace(MAKESPAN, id="p-other", workload="other")
HERE = Place("7.3.4", Topology(2))
CACHES = replace(policy("llc"), mechanisms=(("order", "vtime"), ("queues", "llc")))
CORES = replace(policy("smt"), mechanisms=(("place", "core"),))


class Searched:
    """A lake whose search answers with these policies, in this order."""

    def __init__(self, *found: Policy) -> None:
        self.found, self.asked = found, list[Any]()

    def search_policies(self, text: str, limit: int) -> list[RankedPolicy]:
        self.asked.append((text, limit))
        return [RankedPolicy(one, 1.0) for one in self.found]


def ids(wanted: WorkloadProfile | str, *found: Policy, **more: Any) -> list[str]:
    return [ranked.policy.id for ranked in retrieve(wanted, Searched(*found), **more)]  # type: ignore[arg-type]


def no(stage: str, *, kernel: str = "7.3.4", workload: str = "", **knob_values: Any) -> Rejected:
    candidate, why = rejection("rr", knob_values)
    return Rejected(candidate, replace(why, stage=stage), workload, kernel)


def test_a_text_alone_is_ranked_as_the_search_ranks_it() -> None:
    lake: Any = Searched(*LIBRARY)
    found = retrieve("many jobs", lake, limit=3)
    assert [ranked.policy for ranked in found] == list(LIBRARY[:3]) and lake.asked == [("many jobs", RETRIEVED)]
    assert [ranked.relevance for ranked in found] == [1.0, round(61 / 62, 4), round(61 / 63, 4)]


def test_a_profile_s_numbers_speak_louder_than_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, float] = {"vtime": 0.19, "ljf": 0.2, "rr": 0.1, "percpu": 0.9, "fifo": 0.2}
    monkeypatch.setattr("tasks.retrieve.strengths", lambda *_: given)
    lake: Any = Searched(*LIBRARY)
    found = retrieve(MAKESPAN, lake)
    assert lake.asked == [(MAKESPAN.text, RETRIEVED)]
    # What does not suit has no rank among the rules', and equals share one.
    worth = {"percpu": TEXT / 64 + RULES / 61, "ljf": TEXT / 62 + RULES / 62, "fifo": TEXT / 65 + RULES / 62,
             "vtime": TEXT / 61, "rr": TEXT / 63}  # fmt: skip
    most = (TEXT + RULES + WON) / 61
    assert {one.policy.id: one.relevance for one in found} == {id: round(sum_ / most, 4) for id, sum_ in worth.items()}
    assert [one.policy.id for one in found] == list(worth)


def test_what_won_on_a_sibling_comes_first_and_the_largest_gain_before_the_others() -> None:
    won = {"other": [replace(score("fifo", 1.1), workload="other"), replace(score("percpu", 1.2), workload="other")]}
    assert ids(MAKESPAN, *LIBRARY)[:2] != ["percpu", "fifo"]
    assert ids(MAKESPAN, *LIBRARY, past=Past([SIBLING], won))[:2] == ["percpu", "fifo"]
    assert ids("text", *LIBRARY, past=Past([SIBLING], won)) == [one.id for one in LIBRARY], "a text has no siblings"


def test_a_win_further_off_lifts_and_does_not_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suits, "distance", lambda *_: KIN)
    known = [one.id for one in LIBRARY]
    won = {"other": [replace(score("fifo", 1.3), workload="other")]}
    monkeypatch.setattr("tasks.retrieve.strengths", lambda *_: {"vtime": 0.9})
    assert ids(MAKESPAN, *LIBRARY) == known
    assert ids(MAKESPAN, *LIBRARY, past=Past([SIBLING], won)) == ["vtime", "fifo", *known[1:-1]]


def test_wins_count_by_how_near_their_workload_is(monkeypatch: pytest.MonkeyPatch) -> None:
    far = {"near": 0.0, "edge": KIN}
    monkeypatch.setattr(suits, "distance", lambda _, other: far[other.workload])
    profiles = [replace(SIBLING, workload=name) for name in far]
    scores = {
        "near": [score("rr", 0.9), score("rr", 1.1), score("ljf", 0.8), replace(score("odd", 1.4), attached=False)],
        "edge": [score("rr", 1.3), score("fifo", 1.2), replace(score("vtime", 1.5), over={"p99": 1.2})],
        "unseen": [score("percpu", 2.0)],
    }
    near = won_near(MAKESPAN, profiles, scores)
    assert near.gains == pytest.approx({"rr": math.log(1.1) + math.log(1.3) / math.e, "fifo": math.log(1.2) / math.e})
    assert near.hits == pytest.approx({"rr": math.log(1.1)})
    far["edge"] = KIN - 1e-9
    assert won_near(MAKESPAN, profiles, scores).hits == pytest.approx({"rr": math.log(1.3), "fifo": math.log(1.2)})
    far["edge"] = 2 * KIN
    assert won_near(MAKESPAN, profiles, scores).gains["fifo"] == pytest.approx(math.log(1.2) * math.exp(-4))
    far["edge"] = math.inf
    assert won_near(MAKESPAN, profiles, scores).gains == pytest.approx({"rr": math.log(1.1)})


def test_of_a_workload_s_profiles_the_nearest_counts_and_only_of_its_clock_and_size() -> None:
    scores = {"other": [score("rr", 1.2)]}
    twice = [SIBLING, replace(SIBLING, commands=LATENCY.commands)]
    for profiles in (twice, twice[::-1]):
        assert won_near(MAKESPAN, profiles, scores).hits == pytest.approx({"rr": math.log(1.2)})
    for change in ({"clock": "virtual"}, {"tier": "smoke"}):
        assert won_near(MAKESPAN, [replace(SIBLING, **change)], scores).gains == {}
    assert distance(MAKESPAN, SIBLING) == 0
    unsure = {"other": [replace(score("rr", 1.2), outcome="inconclusive")]}
    assert won_near(MAKESPAN, [SIBLING], unsure).hits == {}, "promising is not won"


def test_what_needs_caches_or_threads_that_the_guest_has_not_is_left_out() -> None:
    found = (CACHES, CORES, *LIBRARY)
    assert set(ids(MAKESPAN, *found)) == {one.id for one in found}, "where nobody knows the guest"
    for wanted in (MAKESPAN, "text"):
        assert {"llc", "smt"}.isdisjoint(ids(wanted, *found, place=HERE))
        assert {"llc", "smt"} & set(ids(wanted, *found, place=Place("", Topology(4, llcs=2)))) == {"llc"}
        assert {"llc", "smt"} & set(ids(wanted, *found, place=Place("", Topology(4, smt=2)))) == {"smt"}


def test_a_policy_for_what_the_guest_has_suits() -> None:
    both = Topology(8, llcs=2, smt=2)
    assert (has(CACHES, both), has(CORES, both), has(CACHES, None), has(LIBRARY[0], both)) == ([2], [2], [], [])
    plain = strengths(MAKESPAN, (CACHES, CORES, *LIBRARY))
    told = strengths(MAKESPAN, (CACHES, CORES, *LIBRARY), both)
    assert (told["llc"], told["smt"]) == (FITS, FITS) and plain["llc"] < FITS > plain["smt"]
    assert strengths(MAKESPAN, [CACHES], Topology(2))["llc"] == plain["llc"]
    assert {id: value for id, value in told.items() if id not in ("llc", "smt")} == {
        id: value for id, value in plain.items() if id not in ("llc", "smt")
    }
    assert strengths(MAKESPAN, [policy("odd")])["odd"] == 0.3, "no rule knows it"
    sure = replace(policy("ljf", SLICE), mechanisms=CACHES.mechanisms)
    assert strengths(MAKESPAN, [sure], both)["ljf"] > FITS


@pytest.mark.parametrize("stage", ["build", "object", "kernel", "survive", "fair"])
def test_a_source_that_was_rejected_on_that_kernel_is_left_out(stage: str) -> None:
    rr = next(one for one in LIBRARY if one.id == "rr")
    assert refused(rr, HERE, [no(stage)]) and not can_run(rr, HERE, [no(stage)])
    assert "rr" not in ids("text", *LIBRARY, place=HERE, past=Past(rejections=[no(stage)]))
    for kernel in ("7.3.5", ""):
        assert not refused(rr, HERE, [no(stage, kernel=kernel)])
    assert not refused(rr, Place(), [no(stage)]) and not refused(rr, Place(), [no(stage, kernel="")])
    assert not refused(replace(rr, source="mended"), HERE, [no(stage)])


def test_source_findings_hold_on_every_kernel_and_a_score_s_on_no_other_workload() -> None:
    rr = next(one for one in LIBRARY if one.id == "rr")
    assert refused(rr, Place(), [no("source", kernel="")]) and refused(rr, HERE, [no("source", kernel="7.3.5")])
    assert not refused(rr, HERE, [no("score")])


def test_other_knob_values_may_survive_where_these_did_not() -> None:
    rr = next(one for one in LIBRARY if one.id == "rr")
    assert refused(rr, HERE, [no("survive", slice_ns=20_000_000)]), "its default, spelled out"
    assert not refused(rr, HERE, [no("survive", slice_ns=5_000_000)])
    assert refused(rr, HERE, [no("kernel", slice_ns=5_000_000)]), "the kernel's verifier reads the same code"
    assert not refused(rr, HERE, [no("fair", gone=1)]), "a knob that it has no more"


def test_rejections_on_the_workload_itself_are_left_to_the_planner_who_tells_of_them() -> None:
    here = Past(rejections=[no("kernel", workload="batch")])
    assert "rr" in ids(MAKESPAN, *LIBRARY, place=HERE, past=here)
    assert "rr" not in ids(replace(MAKESPAN, workload="other"), *LIBRARY, place=HERE, past=here)


def test_ranks_and_their_sum() -> None:
    assert ranks({"a": 0.5, "b": 0.9, "c": 0.5, "d": 0.1}) == {"b": 1, "a": 2, "c": 2, "d": 4}
    assert fused("a", [(1.0, {"a": 1, "b": 2}), (2.0, {"a": 3}), (5.0, {"b": 1})]) == pytest.approx(1 / 61 + 2 / 63)

# SPDX-License-Identifier: Apache-2.0
"""Policies one choice away: what is composed of what leads, what an ablation takes away, and what both expect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planner_cases import BATCH, context, score

from bpf.library import policies, policy, read_policy
from bpf.variants import composition_of, variants, without
from policy_lake.model import Candidate
from tasks.ablate import MOST_VARIANTS, taken_back
from tasks.plan import composed_of
from tasks.planners.embedded import EmbeddedPlanner
from tasks.planners.openings import openings
from tasks.planners.protocol import Composed, Known
from tasks.planners.surrogate import OTHER, predict

PLANNER = EmbeddedPlanner()
VTIME, LLC, FIFO, LJF = (policy(id) for id in ("vtime", "llc", "fifo", "ljf"))
MADE = dict(variants(VTIME))


def test_a_variant_differs_in_the_choice_that_it_names_and_in_what_follows_from_it() -> None:
    assert len(MADE) >= 10 and len({made.id for made in MADE.values()}) == len(MADE)
    for what, made in MADE.items():
        name, _, value = what.partition("=")
        mine, theirs = dict(made.mechanisms), dict(VTIME.mechanisms)
        assert mine[name] == value != theirs[name]
        differing = {key for key in mine if mine[key] != theirs[key]}
        assert differing <= ({name, "steal", "place"} if name == "queues" else {name})
        assert made.origin == "composed" and made.title == f"vtime with {what}" and made.summary
    assert dict(variants(VTIME)) == MADE, "the same each time"


def test_what_was_composed_is_known_again_by_its_source_alone() -> None:
    made = MADE["queues=llc"]
    again, first = composition_of(read_policy(made.source, made.id, "composed")), composition_of(made)
    assert again is not None and first is not None and replace(again, essay=None) == replace(first, essay=None)
    assert len(list(variants(made))) >= 10
    assert composition_of(replace(made, source=made.source.replace("lag_ns", "gal_ns"))) is None
    assert composition_of(replace(VTIME, source=VTIME.source + "\n/* mine */")) is None
    assert composition_of(LJF) is None and list(variants(LJF)) == [] == list(without(LJF))


@pytest.mark.parametrize("id", [one.id for one in policies()])
def test_a_mechanism_is_taken_away_by_a_plainer_choice(id: str) -> None:
    for what, plain in without(policy(id)):
        name, _, had = what.partition("=")
        assert dict(policy(id).mechanisms)[name] == had != dict(plain.mechanisms)[name]


def test_the_library_s_mechanisms_are_what_is_taken_away() -> None:
    assert {what for what, _ in without(LLC)} == {"order=vtime", "queues=llc", "steal=imbalance"}
    assert list(without(FIFO)) == []


def test_the_leads_are_composed_anew_with_the_knob_values_that_they_share() -> None:
    won = score("vtime", 1.2, {"slice_ns": 3_000_000, "lag_ns": 1_000_000})
    made = composed_of([VTIME, LJF], [won])
    assert {one.base for one in made} == {"vtime"} and {one.what for one in made} == set(MADE)
    known = [VTIME, made[0].policy]
    assert made[0].policy.id not in {one.policy.id for one in composed_of(known, [won])}
    over = replace(score("fifo", 1.5), over={"p99": 1.1})
    assert {one.base for one in composed_of([VTIME, FIFO], [won, over])} == {"vtime", "fifo"}, "it promises more"
    assert {one.base for one in composed_of([VTIME, FIFO], [over])} == {"fifo"}
    assert composed_of([VTIME], []) == ()
    here = context(BATCH, policies=(VTIME,), scores=(won,), composed=made, limit=12)
    plans = [plan for plan in PLANNER.plan(here) if plan.pathway == "compose"]
    assert plans and "composed anew with" in plans[0].reason
    order = next(plan for plan in PLANNER.plan(replace(here, limit=99)) if plan.policy == MADE["order=fifo"].id)
    assert order.knob_values == {"slice_ns": 3_000_000}, "fifo has no lag"
    tried = score(plans[0].policy, 1.0, dict(plans[0].knob_values))
    more = PLANNER.plan(replace(here, scores=(won, tried), limit=99))
    assert plans[0].policy not in {plan.policy for plan in more if plan.pathway == "compose"}


def test_what_was_composed_elsewhere_opens_no_run() -> None:
    made = next(iter(MADE.values()))
    assert [one.policy.id for one in openings(context(policies=(VTIME, made)))] == ["vtime"]


def test_scores_of_policies_that_are_alike_say_something() -> None:
    near = MADE["place=core"]
    known = [Known(score("vtime", 1.5))]
    of = {"vtime": VTIME}.get
    expected = predict(near, {}, known, guess=1.0, of=of)
    assert 1 < expected < 1.5 and predict(near, {}, known, guess=1.0) == 1.0
    two = next(made for what, made in variants(near) if what == "guard=short")
    assert predict(two, {}, known, guess=1.0, of=of) < expected
    assert predict(policy("admission"), {}, known, guess=1.0, of=of) == 1.0, "another kind of policy"
    assert 0 < OTHER < 1


def test_an_ablation_takes_mechanisms_away_behind_the_knobs() -> None:
    winner = Candidate("c", "r", 1, "llc", LLC.source, {"slice_ns": 3_000_000}, "", "embedded")
    made = taken_back(winner)
    assert [what for what, _ in made] == ["slice_ns", "order=vtime", "queues=llc", "steal=imbalance"]
    plain = dict(made)["queues=llc"]
    assert plain.source != LLC.source and plain.knob_values == {"slice_ns": 3_000_000} and plain.policy != "llc"
    assert len(made) <= MOST_VARIANTS


def test_a_composed_plan_is_found_by_its_id() -> None:
    one = Composed("vtime", "queues=llc", MADE["queues=llc"])
    assert context(policies=(), composed=(one,)).policy(one.policy.id) is one.policy

# SPDX-License-Identifier: Apache-2.0
"""What the embedded planner never does, whatever it is told: illegal knob values, repetitions, whims."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from planner_cases import COMM, context, policy, rejection, score

from policy_lake.knobs import settle
from policy_lake.model import Knob, Policy
from policy_lake.profile import CommandProfile, WorkloadProfile
from tasks.planners.embedded import EmbeddedPlanner
from tasks.planners.knobs import attempt

PLANNER = EmbeddedPlanner()

amounts = st.floats(0, 1e7, allow_nan=False)
counts = st.integers(0, 10**6)
comms = st.text(st.characters(codec="utf-8"), max_size=20)
commands = st.builds(
    CommandProfile,
    comms,
    counts,
    amounts,
    amounts,
    amounts,
    amounts,
    counts,
    counts,
    amounts,
    amounts,
    amounts,
    amounts,
)
profiles = st.builds(
    WorkloadProfile,
    id=st.just("p"),
    workload=st.just("batch"),
    cpus=st.just(2),
    wall_s=amounts,
    cpu_s=amounts,
    parallelism=amounts,
    wakeups_per_s=amounts,
    commands=st.lists(commands, max_size=5).map(tuple),
    goal=st.sampled_from(["", "lower the latency"]),
    text=st.just(""),
)


@st.composite
def policy_sets(draw: st.DrawFn) -> tuple[Policy, ...]:
    low = draw(st.integers(0, 10**6))
    high = low + draw(st.integers(0, 10**9))
    knobs = (
        Knob("slice_ns", "int", str(draw(st.integers(low, high))), "", low, high, "ns"),
        Knob("depth", "int", "0", "", 0, draw(st.integers(0, 100))),
        Knob("eager", "bool", "false", ""),
        COMM,
        Knob("job_cpu_ns", "ints", "", "", low, high, "ns", 16),
    )
    return tuple(
        policy(id, *(knob for knob in knobs if draw(st.booleans())), good_for=draw(st.sampled_from(["", "latency"])))
        for id in draw(st.lists(st.sampled_from(["fifo", "vtime", "ljf", "rr", "percpu", "mine"]), unique=True))
    )


@settings(max_examples=80, deadline=None)
@given(profiles, policy_sets(), st.integers(0, 6), st.data())
def test_plans_are_always_legal_new_and_the_same_for_the_same_context(
    profile: WorkloadProfile, policies: tuple[Policy, ...], limit: int, data: st.DataObject
) -> None:
    known = {each.id: each for each in policies}
    now, met = context(profile, policies=policies, limit=limit), set()
    for iteration in range(4):
        plans = PLANNER.plan(now)
        assert plans == PLANNER.plan(now)
        assert len(plans) <= limit
        for plan in plans:
            assert settle(known[plan.policy], plan.knob_values) == plan.knob_values  # raises when out of range
            for knob in known[plan.policy].knobs:
                if knob.kind == "int" and knob.name in plan.knob_values:
                    assert knob.low <= plan.knob_values[knob.name] <= knob.high
            key = attempt(known[plan.policy], plan.knob_values)
            assert key not in met
            met.add(key)
            assert plan.reason
        for plan in plans:
            if data.draw(st.booleans()):
                ratio = data.draw(st.floats(0.5, 2.0))
                now = replace(now, scores=(*now.scores, score(plan.policy, ratio, plan.knob_values, bound=None)))
            else:
                now = replace(now, rejections=(*now.rejections, rejection(plan.policy, plan.knob_values)))
        now = replace(now, iteration=iteration + 1)

# SPDX-License-Identifier: Apache-2.0
"""What windows come to: every way in which a judgement can come out, and each in which it must not."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import pytest
from rollout_cases import OPS, P99, PLAN, RATE, FakeHost, changed, windows

from policy_lake.rollout import Attached, Decision, Metric, Step, Unfit, Why, Window
from tasks.rollout.judge import judge
from tasks.rollout.windows import arms, blocks, unfit

STEP = Step("all", "full", "all", blocks=20)


def judged(seen, metrics=PLAN.metrics, step=STEP, **options):
    return judge(seen, OPS, replace(PLAN, metrics=metrics), step, **options)


def test_a_policy_that_is_surely_better_is_promoted():
    said = judged(windows(FakeHost("a"), 8))
    assert (said.decision, said.why, said.metric) == (Decision.PROMOTE, Why.BETTER, "requests")
    p99, rate = said.readings
    assert p99.low < 0.8 < p99.high < 1 and rate.low < 1 / 1.3 < rate.high < 1
    assert (p99.blocks, p99.missing, said.unfit) == (8, 0, 0)


def test_nothing_is_sure_after_few_blocks():
    for count in range(4):
        said = judged(windows(FakeHost("a"), count))
        assert (said.decision, said.why) == (Decision.GO_ON, Why.MORE), count


def test_a_critical_metric_that_is_surely_worse_rolls_back_however_good_the_goal_is():
    said = judged(windows(FakeHost("a", p99=2.0, rate=3.0), 8))
    assert (said.decision, said.why, said.metric) == (Decision.ROLL_BACK, Why.HARM, "p99_us")


def test_a_critical_metric_is_looked_at_first_wherever_it_stands():
    plain = Metric("requests", "higher", worst=1.01)
    said = judged(windows(FakeHost("a", p99=2.0, rate=0.3), 8), (plain, P99))
    assert (said.decision, said.metric) == (Decision.ROLL_BACK, "p99_us")


def test_one_that_is_not_critical_and_surely_worse_is_asked_about():
    said = judged(windows(FakeHost("a", p99=2.0), 8), (replace(P99, critical=False), RATE))
    assert (said.decision, said.why, said.metric) == (Decision.INCONCLUSIVE, Why.BEYOND, "p99_us")


def test_worse_within_the_limit_is_no_harm_and_no_promotion_of_a_goal():
    said = judged(windows(FakeHost("a", rate=0.97, noise=0.005), 20))
    assert (said.decision, said.why, said.metric) == (Decision.INCONCLUSIVE, Why.WINDOWS, "requests")


def test_without_a_goal_it_is_enough_that_all_is_surely_within_its_limit():
    said = judged(windows(FakeHost("a", p99=1.0, rate=1.0), 12), (P99, replace(RATE, goal=False)))
    assert (said.decision, said.why) == (Decision.PROMOTE, Why.WITHIN)


def test_what_is_not_sure_after_all_windows_is_inconclusive():
    said = judged(windows(FakeHost("a", noise=1.0), 20))
    assert (said.decision, said.why) == (Decision.INCONCLUSIVE, Why.WINDOWS)


def test_a_metric_that_is_not_there_promotes_nothing_and_ends_as_silent():
    seen = [replace(window, values={"requests": window.values["requests"]}) for window in windows(FakeHost("a"), 20)]
    assert judged(seen[:16]).decision is Decision.GO_ON
    said = judged(seen)
    assert (said.decision, said.why, said.metric) == (Decision.INCONCLUSIVE, Why.SILENT, "p99_us")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_value_that_has_no_ratio_is_missing_from_its_block(value):
    seen = windows(FakeHost("a"), 8)
    said = judged(changed(seen, 0, values={**seen[0].values, "p99_us": value}))
    assert [(one.blocks, one.missing) for one in said.readings] == [(7, 1), (8, 0)]


def test_a_count_of_nothing_counts_as_the_least():
    errors = Metric("errors", worst=1.5, critical=True, least=1.0)
    seen = [replace(window, values={**window.values, "errors": 0.0}) for window in windows(FakeHost("a"), 8)]
    assert judged(seen, (errors, RATE)).decision is Decision.PROMOTE
    bad = [
        replace(one, values={**one.values, "errors": 40.0 + at}) if one.arm == "policy" else one
        for at, one in enumerate(seen)
    ]
    assert judged(bad, (errors, RATE)).decision is Decision.ROLL_BACK


def test_without_metrics_nothing_is_promoted():
    assert judged(windows(FakeHost("a"), 8), ()).decision is Decision.GO_ON
    assert judged(windows(FakeHost("a"), 20), ()).decision is Decision.INCONCLUSIVE


def test_what_a_control_shows_is_no_effect_of_the_policy():
    """Everything gets 5 % slower from one window to the next, the policy's always being the second of a block."""

    def late(host: FakeHost, beside: bool) -> list[Window]:
        return [
            host.window(arm, block, STEP, PLAN, beside=beside)
            for block in range(12) for arm in ("baseline", "policy")
        ]  # fmt: skip

    seen = late(FakeHost("a", p99=1.0, drift=0.3), False)
    assert judged(seen).decision is Decision.ROLL_BACK
    beside = late(FakeHost("b", drift=0.3), True)
    assert judged(seen, control=beside).decision is not Decision.ROLL_BACK


def test_a_control_that_had_something_attached_is_none():
    seen = windows(FakeHost("a"), 8)
    assert judged(seen, control=windows(FakeHost("b", p99=0.1), 8)).readings == judged(seen).readings


ON, OFF = Attached(True, OPS, 3), Attached(False, "", 3)


@pytest.mark.parametrize(
    ("arm", "begin", "end", "seconds", "want"),
    [
        ("policy", ON, ON, 18.0, None),
        ("baseline", OFF, OFF, 18.0, None),
        ("policy", OFF, OFF, 18.0, Unfit.ATTACHED),
        ("policy", ON, OFF, 18.0, Unfit.ATTACHED),
        ("policy", Attached(True, "another", 3), Attached(True, "another", 3), 18.0, Unfit.ATTACHED),
        ("policy", ON, replace(ON, enable_seq=5), 18.0, Unfit.REPLACED),
        ("baseline", ON, ON, 18.0, Unfit.ATTACHED),
        ("baseline", OFF, replace(OFF, enable_seq=4), 18.0, Unfit.REPLACED),
        ("policy", ON, ON, 10.0, Unfit.SHORT),
    ],
)
def test_a_window_counts_only_as_what_the_kernel_had_attached(arm, begin, end, seconds, want):
    assert unfit(Window("a", 0, arm, begin, end, seconds), OPS, PLAN) is want


def test_unfit_windows_are_counted_and_take_their_block_with_them():
    seen = windows(FakeHost("a"), 8)
    pairs, lost = blocks(changed(seen, 3, end=ON), OPS, PLAN)
    assert (len(pairs), lost) == (7, 1)
    assert judged(changed(seen, 3, end=ON)).unfit == 1


def test_blocks_of_several_hosts_are_not_mixed():
    a, b = FakeHost("a"), FakeHost("b", p99=0.5)
    pairs, _ = blocks([*windows(a, 3), *windows(b, 3)], OPS, PLAN)
    assert len(pairs) == 6 and all(pair.policy.host == pair.baseline.host for pair in pairs)


def test_either_arm_is_first_equally_often_and_chance_says_when():
    orders = list(islice(arms(7), 40))
    assert sum(order[0] == "policy" for order in orders) == 20
    assert orders == list(islice(arms(7), 40)) != list(islice(arms(8), 40))
    assert {orders[at][0] for at in range(0, 40, 2)} == {"policy", "baseline"}


def test_equal_arms_are_seldom_called_surely_different_in_all_looks_together():
    """600 rollouts of a policy that changes nothing, each looked at after every block: at most 5 % may be wrong."""
    wrong = 0
    for number in range(600):
        chance = random.Random(number)
        host = FakeHost(f"h{number}", p99=1.25, rate=1.0, noise=chance.uniform(0.02, 0.3))
        seen: list[Window] = []
        for block in range(12):
            seen += windows(host, 1, replace(PLAN, steps=(STEP,)))
            seen[-2:] = [replace(window, block=block) for window in seen[-2:]]
            if judged(seen, step=replace(STEP, blocks=12)).decision in (Decision.PROMOTE, Decision.ROLL_BACK):
                wrong += 1
                break
    assert wrong <= 0.05 * 600

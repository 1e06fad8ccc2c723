# SPDX-License-Identifier: Apache-2.0
"""What a rollout makes of an agent's samples: growth of counters, the host's own p99."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rollout_cases import PLAN

from policy_lake.p99 import p99_unit_s
from policy_lake.rollout import Metric
from tasks.rollout.samples import MOST_COUNTERS, counters_of, own_p99s_s, p99_of


def test_counters_are_told_by_how_much_they_grew_or_fell():
    counts = [{}, {"nr_a": 5, "nr_queued": 9}, {"nr_a": 7, "nr_queued": 4, "nr_late": 3}]
    assert counters_of([{"counters": one} for one in counts]) == {"nr_a": 2, "nr_queued": -5}


@pytest.mark.parametrize("count", [True, -1, 1 << 64, "5", 2.0, None])
def test_what_is_no_counter_is_left_out(count):
    assert counters_of([{"counters": {"nr_a": count, "nr_b": 1}}] * 2) == {"nr_b": 0}


def test_names_and_numbers_of_counters_are_bounded():
    hostile = {"x": 1, 'nr_"': 1, "nr_" + "a" * 60: 1, "nr_é": 1}
    assert counters_of([{"counters": hostile}, {"counters": hostile}, {"counters": [1]}, {}]) == {}
    many = {f"nr_{number}": number for number in range(200)}
    assert len(counters_of([{"counters": many}] * 2)) == MOST_COUNTERS


def test_a_name_says_whether_it_is_a_p99_and_in_which_unit():
    units = {"p99_s": 1.0, "p99_ms": 1e-3, "schedcp_workload_request_p99_us": 1e-6, "p99_ns": 1e-9}
    assert {name: p99_unit_s(name) for name in units} == units
    assert not any(map(p99_unit_s, ("p99", "p99_us_total", "p999_us", "xp99_us", "p99_h", "p95_us", "a b_p99_us", "")))


def test_a_critical_p99_is_taken_before_another():
    plan = replace(PLAN, metrics=(Metric("wakeup_p99_us"), Metric("rate"), Metric("request_p99_us", critical=True)))
    assert p99_of(plan) == "request_p99_us" and p99_of(replace(plan, metrics=plan.metrics[:2])) == "wakeup_p99_us"
    assert p99_of(replace(plan, metrics=(Metric("rate"),))) == ""


def test_the_own_p99_is_of_samples_without_a_policy_and_counts_what_changed():
    values = [("disabled", 3.0), ("disabled", 8.0), ("disabled", 8.0), ("enabled", 90.0), ("disabled", float("nan"))]
    samples = [{"state": state, "metrics": {"p99_ms": value}} for state, value in [*values, ("disabled", "9")]]
    assert own_p99s_s([*samples, {"state": "disabled", "metrics": None}], "p99_ms") == pytest.approx([3e-3, 8e-3])
    assert own_p99s_s(samples, "rate") == own_p99s_s([], "p99_ms") == []

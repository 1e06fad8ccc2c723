# SPDX-License-Identifier: Apache-2.0
"""Guard rails: a second metric may be worse by so much, and no more."""

import math
from dataclasses import replace

import pytest
from score_cases import provenance

from benchmarks.descriptor import Guard
from benchmarks.guards import guard_findings, worse_by
from benchmarks.workloads import workload
from policy_lake.scores import Pair, Ratio, Score

P99 = Guard("p99_us", "us", "lower", 1.5)
RPS = Guard("rps", "requests/s", "higher", 1.1)


def score(**also):
    pairs = (Pair(100.0, 80.0),) * 3
    return Score(
        "s", "batch", "ljf", "eevdf", {}, "makespan_ms", "ms", "virtual", 2, pairs, Ratio(1.25, (1.2, 1.3)), None, True,
        "win", also=also,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("guard", "baseline", "policy", "factor", "level"),
    [
        (P99, 100.0, 150.0, 1.5, "note"),
        (P99, 100.0, 151.0, 1.51, "reject"),
        (P99, 100.0, 50.0, 0.5, "note"),
        (RPS, 110.0, 100.0, 1.1, "note"),
        (RPS, 111.0, 100.0, 1.11, "reject"),
        (RPS, 100.0, 0.0, math.inf, "reject"),
        (P99, 0.0, 1.0, math.inf, "reject"),
        (P99, 0.5, 0.6, 1.2, "note"),
        (P99, 0.0, 0.0, 1.0, "note"),
    ],
)
def test_a_guard_rejects_what_is_worse_than_its_limit(guard, baseline, policy, factor, level):
    taken = score(**{f"baseline_{guard.metric}": baseline, f"policy_{guard.metric}": policy})
    assert worse_by(guard, taken.also) == pytest.approx(factor)
    (findings,) = guard_findings(replace(workload("batch"), guards=(guard,)), taken)
    assert (findings.bug, findings.level, findings.place) == ("guard", level, guard.metric)
    assert all(shown in findings.reason for shown in (f"{baseline:.4g}", f"{policy:.4g}", guard.unit))
    assert bool(findings.advice) == (level == "reject")


def test_every_guard_has_its_say():
    taken = score(baseline_p99_us=1.0, policy_p99_us=9.0, baseline_rps=5.0, policy_rps=5.0)
    findings = guard_findings(replace(workload("batch"), guards=(P99, RPS)), taken)
    assert [(finding.place, finding.level) for finding in findings] == [("p99_us", "reject"), ("rps", "note")]


@pytest.mark.parametrize(("policy", "named"), [(100.0, False), (900.0, True)])
def test_a_guard_that_rejects_names_the_machine_on_which_it_was_measured(policy, named):
    taken = replace(
        score(baseline_p99_us=100.0, policy_p99_us=policy), provenance=provenance(machine="desktop, 8 of 16")
    )
    (finding,) = guard_findings(replace(workload("batch"), guards=(P99,)), taken)
    assert ("(machine: desktop, 8 of 16)" in finding.reason) is named

# SPDX-License-Identifier: Apache-2.0
"""Guard rails: what a score must not be bought with."""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchmarks.statistics import four_digits
from benchmarks.workloads import Guard, Workload
from policy_lake.codes import Code
from policy_lake.model import Finding
from policy_lake.scores import Score


def guard_findings(workload: Workload, score: Score) -> tuple[Finding, ...]:
    """One finding a guard: a rejection where the policy's median is worse than the baseline's beyond the limit."""
    return tuple(_finding(guard, score) for guard in workload.guards)


def over_by(workload: Workload, score: Score) -> dict[str, float]:
    """The guards that the score breaks: how many times its limit each one reached, above 1."""
    reached = {guard.metric: worse_by(guard, score.also) / guard.limit for guard in workload.guards}
    return {metric: times for metric, times in reached.items() if times > 1}


def worse_by(guard: Guard, medians: Mapping[str, float]) -> float:
    """How many times worse the guard's metric is under the policy than under the baseline; below 1 it is better.

    `medians` has both as `baseline_METRIC` and `policy_METRIC`, as `Score.also` does.
    """
    baseline, policy = medians[f"baseline_{guard.metric}"], medians[f"policy_{guard.metric}"]
    more, less = (policy, baseline) if guard.direction == "lower" else (baseline, policy)
    if less > 0:
        return more / less
    return math.inf if more > 0 else 1.0


def _finding(guard: Guard, score: Score) -> Finding:
    factor = worse_by(guard, score.also)
    baseline, policy = score.also[f"baseline_{guard.metric}"], score.also[f"policy_{guard.metric}"]
    own, others = four_digits(policy), four_digits(baseline)
    figures = f"{guard.metric} {others} {guard.unit} under {score.baseline}, {own} under {score.policy}"
    if factor <= guard.limit:
        return Finding("guard", "note", f"{figures}: within its limit ({guard.limit:g} times worse)", guard.metric,
                       code=Code.GUARD)  # fmt: skip
    of = score.provenance
    figures += f" (machine: {of.machine})" if of and of.machine else ""
    reason = f"{figures}: {factor:.2f} times worse, and {guard.limit:g} is the limit that the workload sets"
    advice = f"keep {guard.metric} near what it is under {score.baseline}; the workload's file says why it is guarded"
    return Finding("guard", "reject", reason, guard.metric, advice, Code.GUARD)

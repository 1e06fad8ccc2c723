# SPDX-License-Identifier: Apache-2.0
"""What the windows so far say: promote, roll back, ask a person, or go on measuring.

It may be asked after every block, for its intervals hold at every look (benchmarks/sequential.py), and the chance to be
wrong is shared among the metrics. Nothing is promoted for want of evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.sequential import look
from policy_lake.rollout import Decision, Judgement, Metric, Reading, RolloutPlan, Step, Why, Window
from tasks.rollout.windows import Block, blocks

LEAST_LOOKS = 2  # blocks of which an interval can be told at all
LEAST_SEEN = 0.5  # of the blocks: a metric that is missing from more is silent


def judge(
    windows: Sequence[Window], ops: str, plan: RolloutPlan, step: Step, *, control: Sequence[Window] = ()
) -> Judgement:
    """The judgement of one step on one host or several, `ops` being the policy's name as the kernel has it.

    All hosts together decide whether it is better; harm on one of them is enough. `control` are windows of a host
    without the policy (agent installed, nothing attached), in the same blocks: what changed there between the two
    halves of a block is taken off.
    """
    pairs, lost = blocks(windows, ops, plan)
    drifts = _drifts(plan.metrics, control)
    hosts = sorted({pair.policy.host for pair in pairs})
    groups = {"": pairs}
    if len(hosts) > 1:
        groups |= {host: tuple(pair for pair in pairs if pair.policy.host == host) for host in hosts}
    alpha = plan.alpha / max(1, len(plan.metrics) * len(groups))
    readings = tuple(
        _reading(metric, host, of, drifts, alpha) for metric in plan.metrics for host, of in groups.items()
    )
    taken = len({window.block for window in windows})
    decision, why, decides = _decided(plan.metrics, readings, taken, len(pairs), step.blocks)
    return Judgement(decision, why, *decides, readings, lost)


def _decided(
    metrics: Sequence[Metric], readings: Sequence[Reading], taken: int, fit: int, most: int
) -> tuple[Decision, Why, tuple[str, str]]:
    """The decision, and the metric and the host by which it came out so."""
    by_name = {metric.name: metric for metric in metrics}
    worse = [one for one in readings if one.low > by_name[one.metric].worst]
    for one in sorted(worse, key=lambda one: not by_name[one.metric].critical):
        is_critical = by_name[one.metric].critical
        decision, why = (Decision.ROLL_BACK, Why.HARM) if is_critical else (Decision.INCONCLUSIVE, Why.BEYOND)
        return decision, why, (one.metric, one.host)
    together = [one for one in readings if not one.host]
    if taken >= most and (silent := next((one for one in together if one.blocks < LEAST_SEEN * max(fit, 1)), None)):
        return Decision.INCONCLUSIVE, Why.SILENT, (silent.metric, "")
    doubtful = next((one.metric for one in together if not _settled(by_name[one.metric], one)), "")
    if together and not doubtful:
        goal = next((metric.name for metric in metrics if metric.goal), "")
        return Decision.PROMOTE, Why.BETTER if goal else Why.WITHIN, (goal, "")
    if taken >= most:
        return Decision.INCONCLUSIVE, Why.WINDOWS, (doubtful, "")
    return Decision.GO_ON, Why.MORE, (doubtful, "")


def _settled(metric: Metric, seen: Reading) -> bool:
    """Whether nothing stands against promoting it: surely better where that is the goal, else surely within limits."""
    return seen.high is not None and seen.high < (1.0 if metric.goal else metric.worst)


def _reading(
    metric: Metric, host: str, pairs: Sequence[Block], drifts: Mapping[tuple[str, int], float], alpha: float
) -> Reading:
    logs = []
    for pair in pairs:
        factor = _factor(metric, pair.policy, pair.baseline)
        if factor is not None:
            logs.append(factor - drifts.get((metric.name, pair.number), 0.0))
    missing = len(pairs) - len(logs)
    if len(logs) < LEAST_LOOKS:
        return Reading(metric.name, len(logs), missing, 1.0, 0.0, None, host)
    interval, mean = look(logs, alpha), math.fsum(logs) / len(logs)
    high = interval.high if math.isfinite(interval.high) else None
    return Reading(metric.name, len(logs), missing, math.exp(mean), interval.low, high, host)


def _factor(metric: Metric, policy: Window, baseline: Window) -> float | None:
    """The logarithm of how much worse the policy's window is; None where one of the two has no such value."""
    values = [window.values.get(metric.name) for window in (policy, baseline)]
    usable = [max(value, metric.least) for value in values if value is not None and math.isfinite(value)]
    if len(usable) < 2 or min(usable) <= 0:
        return None
    log = math.log(usable[0]) - math.log(usable[1])
    return log if metric.better == "lower" else -log


def _drifts(metrics: Sequence[Metric], control: Sequence[Window]) -> dict[tuple[str, int], float]:
    """By metric and block: the logarithm of what changed without the policy, the mean of all hosts that have it."""
    halves: dict[tuple[str, int], dict[str, Window]] = {}
    for window in control:
        if not window.begin.enabled and not window.end.enabled:
            halves.setdefault((window.host, window.block), {})[window.arm] = window
    seen: dict[tuple[str, int], list[float]] = {}
    for (_, number), pair in halves.items():
        for metric in metrics if len(pair) == 2 else ():
            if (log := _factor(metric, pair["policy"], pair["baseline"])) is not None:
                seen.setdefault((metric.name, number), []).append(log)
    return {key: math.fsum(logs) / len(logs) for key, logs in seen.items()}

# SPDX-License-Identifier: Apache-2.0
"""What an agent's samples and its status come to. Anybody may have written them: what is no number is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy_lake.p99 import p99_unit_s
from policy_lake.rollout import Attached, RolloutPlan

MOST_METRICS, MOST_COUNTERS = 1000, 32
_COUNTER = re.compile(r"nr_[a-z0-9_]{0,45}", re.ASCII)


def attached_in(sample: Mapping[str, Any]) -> Attached:
    """What the kernel had attached as the sample was taken."""
    seq = sample.get("enable_seq")
    return Attached(sample.get("state") == "enabled", str(sample.get("ops", "")), seq if isinstance(seq, int) else -1)


def ended_of(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why the agent took off what it had attached last, by its word and its reason; None while it has not said."""
    ended = status.get("ended")
    if not isinstance(ended, dict) or not ended.get("why"):
        return None
    return str(ended["why"]), str(ended.get("reason"))


def means_of(samples: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each of the workload's metrics over the samples that have it."""
    seen: dict[str, list[float]] = {}
    for sample in samples:
        metrics = sample.get("metrics")
        for name, value in metrics.items() if isinstance(metrics, dict) else ():
            if _is_number(value) and (name in seen or len(seen) < MOST_METRICS):
                seen.setdefault(str(name), []).append(float(value))
    return {name: math.fsum(values) / len(values) for name, values in seen.items()}


def counters_of(samples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """By how much each of the policy's own counters grew from the first sample that has it to the last.

    Below 0 for what a policy counts down. A counter that one sample alone has says nothing.
    """
    first: dict[str, int] = {}
    grown: dict[str, int] = {}
    for sample in samples:
        for name, count in _counts(sample):
            if name in first:
                grown[name] = count - first[name]
            elif len(first) < MOST_COUNTERS:
                first[name] = count
    return grown


def p99_of(plan: RolloutPlan) -> str:
    """The plan's metric that is a p99 by its name (policy_lake/p99.py), a critical one first; empty for none."""
    found = [metric for metric in plan.metrics if p99_unit_s(metric.name) is not None]
    return min(found, key=lambda metric: not metric.critical).name if found else ""


def own_p99s_s(samples: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The values of that metric, in s, in samples with no policy attached; one that did not change counts once."""
    unit = p99_unit_s(name) or 0.0
    own = [sample.get("metrics") for sample in samples if sample.get("state") != "enabled"]
    values = [float(one[name]) * unit for one in own if isinstance(one, dict) and _is_number(one.get(name))]
    return [value for at, value in enumerate(values) if at == 0 or value != values[at - 1]]


def _counts(sample: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    counters = sample.get("counters")
    for name, count in counters.items() if isinstance(counters, dict) else ():
        if type(count) is int and 0 <= count < 1 << 64 and isinstance(name, str) and _COUNTER.fullmatch(name):
            yield name, count


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)

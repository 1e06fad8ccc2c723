# SPDX-License-Identifier: Apache-2.0
"""One reading of all that a policy is judged by on this host, and what of it the circuit breaker is told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from host_agent import breaker_events as ev
from host_agent.config import Source


@dataclass(frozen=True, slots=True)
class Sample:
    """`data` is JSON-ready, times in s; `metrics` are the workload's by name. `complete`: none was silent."""

    data: dict[str, Any] = field(default_factory=dict)
    memory_percent: float = 0.0
    task_wait_s: float = 0.0
    idle_beside_s: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    complete: bool = True

    def events(self, limits: Mapping[str, float], age_s: float = 0.0) -> Iterator[ev.Event]:
        """The breaker's events, worst first; `limits` are more of them, by the names of metrics, all critical.

        `age_s`: for how long the sample was taken.
        """
        for source in self.sources:
            if source.name in self.metrics and math.isfinite(source.limit):
                yield ev.Metric(source.name, self.metrics[source.name], source.limit, source.critical)
        for name, limit in limits.items():
            if name in self.metrics:
                yield ev.Metric(name, self.metrics[name], limit)
        yield ev.Memory(self.memory_percent)
        yield ev.TaskWaits(self.task_wait_s)
        yield ev.IdleCpu(self.idle_beside_s)
        if self.complete and all(name in self.metrics for name in limits):
            yield ev.MetricsSeen(age_s)

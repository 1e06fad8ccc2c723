# SPDX-License-Identifier: Apache-2.0
"""A timeline for Perfetto: the Trace Event Format, JSON, which ui.perfetto.dev and chrome://tracing open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.timeline import Timeline


def trace_events(timelines: Mapping[str, Timeline]) -> dict[str, Any]:
    """One process a run (its name the key), one track a CPU, one slice a span; times in us from each run's start."""
    events: list[dict[str, Any]] = []
    for process, (name, timeline) in enumerate(timelines.items(), 1):
        events.append({"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}})
        events += [
            {"ph": "M", "name": "thread_name", "pid": process, "tid": cpu, "args": {"name": f"CPU {cpu}"}}
            for cpu in range(timeline.cpus)
        ]
        events += [
            {
                "ph": "X", "name": span.comm, "cat": "sched", "pid": process, "tid": span.cpu, "ts": span.start_us,
                "dur": span.end_us - span.start_us, "args": {"task": span.pid},
            }
            for span in timeline.spans
        ]  # fmt: skip
    return {"traceEvents": events, "displayTimeUnit": "ms"}

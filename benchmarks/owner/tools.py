# SPDX-License-Identifier: Apache-2.0
"""Load generators by name, each with the function that reads what it prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.owner.http import AB, WRK
from benchmarks.owner.metric import OwnerMetric, shown
from benchmarks.owner.programs import HACKBENCH, fio, hyperfine, schbench
from benchmarks.owner.stores import pgbench, redis_benchmark
from benchmarks.owner.text import read_text
from policy_lake.errors import InputError

TOOLS: Mapping[str, Callable[[str], tuple[OwnerMetric, ...]]] = {
    "ab": partial(read_text, AB),
    "fio": fio,
    "hackbench": partial(read_text, HACKBENCH),
    "hyperfine": hyperfine,
    "pgbench": pgbench,
    "redis-benchmark": redis_benchmark,
    "schbench": schbench,
    "wrk": partial(read_text, WRK),
}


def metrics_of(tool: str, text: str) -> tuple[OwnerMetric, ...]:
    """What the load generator of that name printed, as metrics of the owner's.

    InputError for a tool that is not known, and, naming the tool and the line, for text that is none of it.
    """
    read = TOOLS.get(tool)
    if read is None:
        raise InputError(f"'{shown(tool)}' is no load generator that is known: {', '.join(TOOLS)}")
    return read(text)

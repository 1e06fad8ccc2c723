# SPDX-License-Identifier: Apache-2.0
"""What a recording is of, told by what its tasks do."""

from __future__ import annotations

from pathlib import Path

import pytest
from trace_cases import trace

from benchmarks.trace.file import read_trace
from benchmarks.trace.kinds import PROCESSES, TURNS_PER_S, kind_of
from benchmarks.trace.tasks import Trace

TRACES = Path(__file__).parents[2] / "benchmarks/traces"


def made(processes: int, cpu_us: int, *, own_us: int = 0, op: str = "fork") -> Trace:
    """A command that makes processes one after another, each of so much CPU time."""
    rows = [(0, op, 10, cpu_us, 1 + number) for number in range(processes)]
    rows += [(0, "exit", own_us, cpu_us, 0), *((1 + number, "exit", cpu_us, 0, 0) for number in range(processes))]
    return trace(rows)


def answering(turns: int, cpu_us: int) -> Trace:
    """One task that is woken so often, for turns of so much CPU time."""
    return trace([*((0, "sleep", cpu_us, 0, 5000) for _ in range(turns)), (0, "exit", 0, 0, 0)])


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (made(PROCESSES, 10_000), "build"),
        (made(PROCESSES - 1, 10_000), "batch"),
        (made(PROCESSES, 10_000, own_us=79_000), "build"),
        (made(PROCESSES, 10_000, own_us=82_000), "batch"),
        (made(PROCESSES, 10_000, op="thread"), "batch"),
        (answering(100, int(1e6 / TURNS_PER_S)), "service"),
        (answering(100, int(1e6 / TURNS_PER_S) + 1), "batch"),
        (trace([(0, "exit", 0, 0, 0)]), "batch"),
    ],
)
def test_the_kind_is_told_by_what_the_tasks_do(given: Trace, kind: str) -> None:
    assert kind_of(given)[0] == kind


def test_a_kernel_build_is_a_build_and_says_why() -> None:
    kind, told = kind_of(read_trace(TRACES / "kernel-build-j2.parquet"))
    assert kind == "build" and told.startswith("4354 processes are made, and 100% of the CPU time")

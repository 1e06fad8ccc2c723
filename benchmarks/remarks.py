# SPDX-License-Identifier: Apache-2.0
"""What is to be known of a workload before any policy is tried on it: a replay that is unlike, nothing to win."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.descriptor import Workload, numbers_of
from benchmarks.replay_fidelity import MAKESPAN_LIMIT, others_share
from benchmarks.statistics import four_digits
from benchmarks.trace.cut import cut
from benchmarks.trace.file import read_trace
from benchmarks.trace.polls import without_looks
from policy_lake.profile import Reached, WorkloadProfile

UNLIKE = 0.10  # a piece's makespan, of one run under the probe, is not compared as closely as `fidelity` does
NOTHING = 0.03  # of the bound: less than a policy could win and be told from chance


def recorded_ms(workload: Workload) -> tuple[float, float] | None:
    """Between which times the piece of the recording that is replayed took by itself; None of what is no recording.

    Both are equal where nobody else had the CPUs to speak of. The lower one is 0 where it is not known what they took.
    """
    if not workload.trace:
        return None
    trace, _ = without_looks(read_trace(Path(workload.trace)))
    info = trace.info
    busy = others_share(trace) + info.stolen_share > MAKESPAN_LIMIT
    numbers = numbers_of(workload, "tcg", workload.tier)
    piece = cut(trace, numbers.get("skip_permille", 0), numbers["cpu_ms"]) if "cpu_ms" in numbers else trace
    took_ms = piece.info.wall_us / 1e3
    return (took_ms * info.quiet_us / info.wall_us if busy else took_ms), took_ms


def remarks(profile: WorkloadProfile) -> tuple[str, ...]:
    """In one sentence each, worst first; none where there is nothing to say, or an older schedcp observed it."""
    return () if profile.reached is None else tuple(_remarks(profile.reached))


def _remarks(reached: Reached) -> Iterator[str]:
    if reached.recorded_ms and reached.replayed_ms:
        low_ms, high_ms = reached.recorded_ms
        took = f"its replay takes {four_digits(reached.replayed_ms)} ms"
        if reached.replayed_ms > high_ms * (1 + UNLIKE) or reached.replayed_ms < low_ms * (1 - UNLIKE):
            original = f"and what was recorded took {_span(low_ms, high_ms)}"
            yield f"this replay is not like its original: {took}, {original}. Trust no score of it (`schedcp fidelity`)"
        elif reached.replayed_ms > low_ms * (1 + UNLIKE):
            yield (
                f"others had the CPUs while this was recorded, so it took {_span(low_ms, high_ms)} by itself: {took}, "
                "and nobody knows whether that is right"
            )
    if reached.bound and reached.value <= reached.bound * (1 + NOTHING):
        figures = f"{reached.metric} is {four_digits(reached.value)} {reached.unit} under EEVDF"
        yield f"nothing to win here: {figures}, and arithmetic allows no less than {four_digits(reached.bound)}"


def _span(low_ms: float, high_ms: float) -> str:
    most = f"{four_digits(high_ms)} ms"
    if low_ms == high_ms:
        return most
    return f"between {four_digits(low_ms)} and {most}" if low_ms else f"up to {most}"

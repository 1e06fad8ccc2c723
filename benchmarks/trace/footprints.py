# SPDX-License-Identifier: Apache-2.0
"""The working set of each command of a recorded trace, and who says so: the user, the recording, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.descriptor import Footprint, FootprintSource
from benchmarks.trace.file import read_trace
from benchmarks.trace.tasks import cpu_by_name

SOURCES: dict[FootprintSource, str] = {
    "user": "as asked for", "peak_rss": "its processes' peak resident memory, the median",
    "default": "not known: footprint_kib",
}  # fmt: skip


def footprints_of(trace: Path, asked_kib: Mapping[str, int], default_kib: int) -> tuple[Footprint, ...]:
    """Every command of the trace, that with the most CPU time first; InputError where the file is no trace."""
    read = read_trace(trace)
    used_ms, known = cpu_by_name(read), read.info.footprints_kib
    by_use = sorted(used_ms, key=lambda name: (-used_ms[name], name))
    return tuple(_footprint(name, asked_kib, known, default_kib) for name in by_use)


def _footprint(name: str, asked: Mapping[str, int], known: Mapping[str, int], default_kib: int) -> Footprint:
    if name in asked:
        return Footprint(name, asked[name], "user")
    return Footprint(name, known[name], "peak_rss") if name in known else Footprint(name, default_kib, "default")

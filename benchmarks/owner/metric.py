# SPDX-License-Identifier: Apache-2.0
"""A metric of the owner's: one number with its unit, which way is better, and who said it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from benchmarks.descriptor import Direction
from policy_lake.errors import InputError
from policy_lake.limits import LONGEST_NAME
from policy_lake.show import for_terminal, shortened

NAME = re.compile(rf"[A-Za-z_][\w.-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)
US = {"ns": 1e-3, "us": 1.0, "usec": 1.0, "ms": 1e3, "msec": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}
# What the end of a name says, longest first: its unit and which way is better.
_ENDS: tuple[tuple[str, str, Direction], ...] = (
    ("_per_s", "1/s", "higher"), ("rps", "requests/s", "higher"), ("_ns", "ns", "lower"), ("_us", "us", "lower"),
    ("_ms", "ms", "lower"), ("_s", "s", "lower"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OwnerMetric:
    """`value` in `unit`; `source` names the tool, field, pattern or series that it is from."""

    name: str
    value: float
    unit: str
    better: Direction
    source: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(f"{self.source}: '{shown(self.name)}' is no name of a metric")
        if not math.isfinite(self.value) or self.value < 0:
            raise InputError(f"{self.source}: '{self.name}' is {self.value:g}, and not a finite number of at least 0")


def shown(text: object) -> str:
    """Text from outside, for one line of an error."""
    return for_terminal(shortened(text, 60))


def told_by_name(name: str, source: str) -> tuple[str, Direction]:
    """The unit and the better way that a name's end says (`p99_us`, `jobs_per_s`); InputError where it says neither."""
    for end, unit, better in _ENDS:
        if name.endswith(end):
            return unit, better
    ends = ", ".join(end for end, _, _ in _ENDS)
    raise InputError(f"{source}: '{shown(name)}' does not end in {ends}: its unit and which way is better must be said")


def named(name: str, value: float, source: str, *, unit: str = "", better: Direction | None = None) -> OwnerMetric:
    """A metric whose unit and better way are given or, both left out, told by its name."""
    if unit and better:
        return OwnerMetric(name, value, unit, better, source)
    if unit or better:
        raise InputError(f"{source}: '{shown(name)}' has a unit and no better way, or the other way round: give both")
    return OwnerMetric(name, value, *told_by_name(name, source), source)


def requests(value: float, source: str, *, of: str = "") -> OwnerMetric:
    """A rate of requests."""
    return OwnerMetric(f"{of}requests_per_s", value, "requests/s", "higher", source)


def latency(which: str, value_us: float, source: str, *, of: str = "") -> OwnerMetric:
    """A latency in us: `which` is `p99`, `mean` and the like."""
    return OwnerMetric(f"{of}latency_{which}_us", value_us, "us", "lower", source)


def failures(count: float, source: str) -> OwnerMetric:
    """How many requests failed: with any, the other figures are of less than was asked for."""
    return OwnerMetric("failed_requests", count, "requests", "lower", source)

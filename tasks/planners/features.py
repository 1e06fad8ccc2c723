# SPDX-License-Identifier: Apache-2.0
"""What kind of workload a profile is of: a few numbers of about equal weight, and how far two workloads are apart."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

from policy_lake.profile import WorkloadProfile
from tasks.planners.traits import traits

KIN = 0.12  # workloads nearer than this are siblings: a size, a seed or a kind of program apart
OTHER_AIM = 1.0  # further than any two workloads of one aim


@dataclass(frozen=True, slots=True)
class Features:
    """Each from about 0 to 1: logarithms of a profile's traits, over the span in which schedulers tell them apart."""

    load: float  # runnable tasks a CPU, 1/4 to 64
    tail: float  # largest task over the median one, 1 to 256
    wakeups: float  # a CPU and second, 1 to 10,000
    burst: float  # of who wakes most, 1 us to 1 s
    wait: float  # its p99, 1 us to 10 s
    mixture: float  # longest median burst over the shortest, 1 to 1000
    room: float  # what arithmetic allows, 1 to 4


def features(profile: WorkloadProfile) -> Features:
    """The features of a profile."""
    of = traits(profile)
    return Features(
        load=_scaled(of.runnable / max(1, of.cpus), 0.25, 64),
        tail=_scaled(of.tail, 1, 256),
        wakeups=_scaled(of.wakeups_per_cpu_s, 1, 10_000),
        burst=_scaled(of.waker.burst_us_p50, 1, 1e6),
        wait=_scaled(of.waker.wait_us_p99, 1, 1e7),
        mixture=_scaled(of.hog.burst_us_p50 / max(1.0, of.waker.burst_us_p50), 1, 1000),
        room=_scaled(of.bound, 1, 4),
    )


def distance(one: WorkloadProfile, other: WorkloadProfile) -> float:
    """The root mean square of what their features differ by; OTHER_AIM more where their metrics ask for other things.

    How many CPUs there are counts through the load on each alone.
    """
    pairs = zip(astuple(features(one)), astuple(features(other)), strict=True)
    squares = [(a - b) ** 2 for a, b in pairs]
    return math.sqrt(sum(squares) / len(squares)) + OTHER_AIM * (one.aim != other.aim)


def _scaled(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, math.log(max(value, 1e-9) / low) / math.log(high / low)))

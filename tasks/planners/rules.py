# SPDX-License-Identifier: Apache-2.0
"""The rules: for each kind of policy, how well it suits a workload, by which numbers, and with which slice.

The thresholds are starting points, chosen so that the workloads in benchmarks/ fall where their literature puts them;
measurement has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from policy_lake.model import Policy, WorkloadProfile
from tasks.planners.kinds import kinds
from tasks.planners.traits import Traits, others_ms, wants_latency, wants_makespan

HEAVY_TAIL = 3.0  # largest task over median task
MANY_WAKEUPS_PER_CPU_S = 50.0
SHORT_BURST_US = 2000.0
LONG_WAITS = 2.0  # p99 wait over median burst
MIXED_BURSTS = 5.0  # longest median burst over shortest
ALMOST_IDLE = 1.5  # runnable tasks per CPU
BUSY_SWITCHING_PER_CPU_S = 500.0
ENDS_NO_SOONER = 0.4  # of a short slice's strength where the goal is an end: work that is let in sooner is no less


@dataclass(frozen=True, slots=True)
class Finding:
    """How well a kind of policy suits (0 to 1), the sentence that says why, and the slice it suggests."""

    strength: float
    evidence: str
    slice_us: float | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of policy: the library policy that stands for it, the words that betray another one, and its rule."""

    policy: str
    words: tuple[str, ...]
    find: Callable[[WorkloadProfile, Traits], Finding]


def longest_first(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits a batch whose makespan one task decides."""
    longest = traits.longest
    size = f"'{longest.comm}' uses {longest.cpu_ms_max_task:.0f} ms of CPU per task, {traits.tail:.1f}x the median"
    if wants_latency(profile):
        return Finding(0.1, f"{size}, but the goal is latency, which long jobs first make worse", 20_000)
    if traits.tail < HEAVY_TAIL:
        return Finding(0.1, f"{size}: no task is long enough to put first", 20_000)
    if traits.crowd <= traits.cpus:
        return Finding(0.1, f"{size}, but {_wanting(traits)}: nothing has to wait", 20_000)
    strength = min(1.0, 0.1 + 3 * (traits.bound - 1))
    if traits.wakeups_per_cpu_s > MANY_WAKEUPS_PER_CPU_S:
        strength *= 0.7
    evidence = f"{size}, and {_wanting(traits)}; fair sharing leaves its tail alone: bound allows {traits.bound:.2f}x"
    told = kinds(profile)
    if told is not None and told.by != "name":
        evidence += f"; {told.by} explains {100 * told.share:.0f} % of how jobs differ, and a name alone does not"
    elif others_ms(longest) * HEAVY_TAIL < longest.cpu_ms_max_task and longest.tasks > 1:
        strength *= 0.6
        evidence += f"; {longest.tasks} tasks share that name, so it marks the long one poorly"
    return Finding(strength, evidence, 20_000)


def short_slice(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits many short wake-ups that wait behind others' slices."""
    waker = traits.waker
    slice_us = _within(1.5 * waker.burst_us_p50, 200, 2000)
    if traits.wakeups_per_cpu_s < MANY_WAKEUPS_PER_CPU_S:
        return Finding(0.05, f"only {traits.wakeups_per_cpu_s:.0f} wake-ups per CPU and second", slice_us)
    short = waker.burst_us_p50 <= SHORT_BURST_US
    waits = waker.wait_us_p99 >= LONG_WAITS * waker.burst_us_p50
    strength = 0.2 + 0.35 * short + 0.35 * waits
    if wants_latency(profile):
        strength = max(strength, 0.7)
    elif wants_makespan(profile):
        strength *= ENDS_NO_SOONER
    return Finding(
        strength,
        f"'{waker.comm}' wakes {traits.wakeups_per_cpu_s:.0f} times per CPU and second for "
        f"{_time(waker.burst_us_p50)} of work and waits {_time(waker.wait_us_p99)} at p99; "
        "short turns let it in sooner",
        slice_us,
    )


def fair(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits mixtures of short and long bursts, and is never far off."""
    waker, hog = traits.waker, traits.hog
    if traits.wakeups_per_cpu_s < MANY_WAKEUPS_PER_CPU_S:
        text = f"{traits.wakeups_per_cpu_s:.0f} wake-ups per CPU and second ask for no quick preemption"
        return Finding(0.4, f"{text}; fair shares with long slices switch less", 20_000)
    slice_us = _within(2 * waker.burst_us_p50, 1000, 10_000)
    if hog.burst_us_p50 < MIXED_BURSTS * waker.burst_us_p50:
        text = f"'{waker.comm}' runs for {_time(waker.burst_us_p50)} at a time"
        return Finding(0.4, f"{text}; a slice about twice that lets most bursts end unbroken", slice_us)
    return Finding(
        0.75,
        f"bursts are mixed, {_time(waker.burst_us_p50)} for '{waker.comm}' and {_time(hog.burst_us_p50)} for "
        f"'{hog.comm}'; fair shares with slices between the two keep the long from holding up the short",
        slice_us,
    )


def local(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits work that has a CPU of its own, or that loses its caches by moving."""
    if traits.runnable <= ALMOST_IDLE * traits.cpus:
        return Finding(0.6, f"{_wanting(traits)}: each task can keep its CPU and its cache")
    if traits.switches_per_cpu_s >= BUSY_SWITCHING_PER_CPU_S:
        return Finding(0.5, f"{traits.switches_per_cpu_s:.0f} switches per CPU second: staying put saves cold caches")
    return Finding(0.25, f"{_wanting(traits)}, so caches matter less than order")


def control(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Always worth one cheap try: what the simplest policy reaches is what a cleverer one must beat."""
    return Finding(0.2, "cheap control: one queue, no bookkeeping; a cleverer policy must beat it")


KINDS = (
    Kind("ljf", ("longest", "long job", "heavy tail", "heavy-tail", "makespan", "batch"), longest_first),
    Kind("rr", ("latency", "wake-up", "wakeup", "interactive", "short slice", "round robin"), short_slice),
    Kind("vtime", ("fair", "vtime", "mixed", "weight"), fair),
    Kind("percpu", ("cache", "locality", "per-cpu", "affin", "numa", "stealing"), local),
    Kind("fifo", ("fifo", "first come", "simplest", "control"), control),
)


def kind_of(policy: Policy) -> Kind | None:
    """The kind of a policy: by its id if it is the library's own, else by the most words of its description."""
    own = next((kind for kind in KINDS if kind.policy == policy.id), None)
    text = f"{policy.title} {policy.summary} {policy.good_for}".lower()
    hits = {kind.policy: sum(text.count(word) for word in kind.words) for kind in KINDS}
    likely = max(KINDS, key=lambda kind: hits[kind.policy])
    return own or (likely if hits[likely.policy] else None)


def _wanting(traits: Traits) -> str:
    return f"on average {traits.runnable:.1f} tasks want {traits.cpus} CPU{'s' * (traits.cpus != 1)}"


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _time(us: float) -> str:
    return f"{us / 1000:.1f} ms" if us >= 1000 else f"{us:.0f} us"

# SPDX-License-Identifier: Apache-2.0
"""The rules: how well a kind of policy suits a workload, by which numbers, and with which slice.

The thresholds are starting points, chosen so that the workloads in benchmarks/ fall where their literature puts them;
measurement has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.statistics import MIN_EFFECT
from policy_lake.profile import WorkloadProfile
from tasks.planners.job_keys import kinds
from tasks.planners.traits import Traits, others_ms

HEAVY_TAIL = 3.0  # largest task over median task
MANY_WAKEUPS_PER_CPU_S = 50.0
SHORT_BURST_US = 2000.0
LONG_WAITS = 2.0  # p99 wait over median burst
MIXED_BURSTS = 5.0  # longest median burst over shortest
CROWDED = 2.0  # runnable tasks per CPU
MANY_TASKS = 100
MANY_CPUS = 8
WAITS = 0.1  # time in wait over time on a CPU: below it another order of those who wait changes little
ALMOST_IDLE = 1.5  # runnable tasks per CPU
BUSY_SWITCHING_PER_CPU_S = 500.0
LEAST_GAIN = 1 + MIN_EFFECT  # a bound below leaves no win; above, nothing else reaches it, however little it is
ENDS_NO_SOONER = 0.4  # of a short slice's strength where the goal is an end: work that is let in sooner is no less


@dataclass(frozen=True, slots=True)
class Finding:
    """How well a kind of policy suits (0 to 1), the sentence that says why, and the slice it suggests."""

    strength: float
    evidence: str
    slice_us: float | None = None


def longest_first(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits a batch whose makespan one task decides."""
    longest = traits.longest
    size = f"'{longest.comm}' uses {longest.cpu_ms_max_task:.0f} ms of CPU per task, {traits.tail:.1f}x the median"
    if profile.aim == "latency":
        return Finding(0.1, f"{size}, but the goal is latency, which long jobs first make worse", 20_000)
    if traits.tail < HEAVY_TAIL:
        return Finding(0.1, f"{size}: no task is long enough to put first", 20_000)
    if nobody_waits(traits):
        return Finding(0.1, f"{size}, but {wanting(traits)}: nothing has to wait", 20_000)
    strength = min(1.0, 0.45 + 1.5 * (traits.bound - 1)) if traits.bound >= LEAST_GAIN else 0.1
    if traits.wakeups_per_cpu_s > MANY_WAKEUPS_PER_CPU_S:
        strength *= 0.7
    evidence = f"{size}, and {wanting(traits)}; fair sharing leaves its tail alone: bound allows {traits.bound:.2f}x"
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
    if profile.aim == "latency":
        strength = max(strength, 0.7)
    elif profile.aim == "makespan":
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
        return Finding(0.6, f"{wanting(traits)}: each task can keep its CPU and its cache")
    if traits.switches_per_cpu_s >= BUSY_SWITCHING_PER_CPU_S:
        return Finding(0.5, f"{traits.switches_per_cpu_s:.0f} switches per CPU second: staying put saves cold caches")
    return Finding(0.25, f"{wanting(traits)}, so caches matter less than order")


def finish_begun(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits slow answers of an oversubscribed server: what is begun is finished before more is let in."""
    crowd = traits.runnable / max(1, traits.cpus)
    if profile.aim != "latency" or crowd < CROWDED:
        return Finding(0.1, f"{wanting(traits)}: nobody has to be kept out")
    return Finding(
        0.85, f"{wanting(traits)}, {crowd:.1f} a CPU: the slowest wait in the middle of their work for others"
    )


def short_history(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits short requests beside long ones, told by each task's own history."""
    mixture = _mixture(traits)
    if profile.aim == "makespan":
        return Finding(0.1, "short ones first makes the last job later")
    if mixture < MIXED_BURSTS or traits.wakeups_per_cpu_s < MANY_WAKEUPS_PER_CPU_S:
        return Finding(0.25, f"the longest median burst is {mixture:.1f}x the shortest: history tells little")
    return Finding(0.7, f"the longest median burst is {mixture:.1f}x the shortest: who was short will be short again")


def gives_up(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits tasks that sleep of themselves beside tasks that never do."""
    found = short_history(profile, traits)
    why = "who sleeps of itself goes before who must be made to"
    return Finding(0.8 * found.strength, f"{found.evidence}; {why}", found.slice_us)


def found_long(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits the batch of longest_first where nothing tells long jobs before they run."""
    known = longest_first(profile, traits)
    told = kinds(profile)
    share = 0.6 if told is not None else 0.9
    return Finding(share * known.strength, f"{known.evidence}; who has used most goes on, whatever its name", 20_000)


def long_turns(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits work that computes and is not waited for."""
    if profile.aim == "latency" or traits.wakeups_per_cpu_s >= MANY_WAKEUPS_PER_CPU_S:
        return Finding(0.1, f"{traits.wakeups_per_cpu_s:.0f} wake-ups per CPU and second would wait for long turns")
    return Finding(0.3, f"{traits.wakeups_per_cpu_s:.0f} wake-ups per CPU and second: long turns keep caches warm")


def chained(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits tasks that wake each other for short work."""
    waker = traits.waker
    if traits.wakeups_per_cpu_s < BUSY_SWITCHING_PER_CPU_S or waker.burst_us_p50 > SHORT_BURST_US:
        return Finding(0.15, f"{traits.wakeups_per_cpu_s:.0f} wake-ups per CPU and second make no chains")
    return Finding(
        0.45 if profile.aim != "makespan" else 0.2,
        f"'{waker.comm}' is woken for {_time(waker.burst_us_p50)}: what it is woken for may be warm beside its waker",
    )


def longest_chain(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits builds: trees of many processes whose longest chain decides."""
    tasks = sum(command.tasks for command in profile.commands)
    if profile.aim != "makespan" or tasks < MANY_TASKS or nobody_waits(traits):
        return Finding(0.15, f"{tasks} tasks, {wanting(traits)}: no tree whose longest chain would have to wait")
    return Finding(0.6, f"{tasks} processes of {len(profile.commands)} commands, {wanting(traits)}: a chain decides")


def by_priority(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits tasks that somebody has told apart: by nice level, cgroup or rules, which no profile shows."""
    return Finding(0.15, "no profile shows nice levels, cgroups or rules: worth a try where they differ")


def in_place(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Suits what is decided by where a task runs: only a machine with such costs or queues shows it."""
    crowd = traits.runnable / max(1, traits.cpus)
    strength = 0.3 if traits.cpus >= MANY_CPUS and crowd < CROWDED else 0.15
    return Finding(strength, f"{traits.cpus} CPUs, {crowd:.1f} runnable tasks on each: where they run may matter")


def control(profile: WorkloadProfile, traits: Traits) -> Finding:
    """Always worth one cheap try: what the simplest policy reaches is what a cleverer one must beat."""
    return Finding(0.2, "cheap control: one queue, no bookkeeping; a cleverer policy must beat it")


def nobody_waits(traits: Traits) -> bool:
    """Whether CPUs are enough for all. An average over a run that begins alone may hide a crowd, waits do not."""
    return traits.crowd <= traits.cpus and traits.waits < WAITS


def wanting(traits: Traits) -> str:
    """How many tasks want CPUs, in words."""
    return f"on average {traits.runnable:.1f} tasks want {traits.cpus} CPU{'s' * (traits.cpus != 1)}"


def _mixture(traits: Traits) -> float:
    return traits.hog.burst_us_p50 / max(1.0, traits.waker.burst_us_p50)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _time(us: float) -> str:
    return f"{us / 1000:.1f} ms" if us >= 1000 else f"{us:.0f} us"

# SPDX-License-Identifier: Apache-2.0
"""What a workload profile says to a scheduler, in the few numbers the rules reason from."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.profile import CommandProfile, WorkloadProfile
from tasks.planners.job_keys import parents

JOB_SHARE = 0.01  # of all CPU time


@dataclass(frozen=True, slots=True)
class Traits:
    """The numbers behind the rules.

    `runnable` is the average number of tasks that run or wait for a CPU, `crowd` the same without the time in which one
    task is left alone, `waits` the time that tasks wait for a CPU over the time that they use it. `tail` is how many
    times the median task's CPU time the largest task uses. `bound` is the wall time over the least that any schedule
    needs. `waker` is nobody's parent.
    """

    cpus: int
    runnable: float
    crowd: float
    waits: float
    median_ms: float
    longest: CommandProfile
    tail: float
    bound: float
    waker: CommandProfile
    wakeups_per_cpu_s: float
    switches_per_cpu_s: float
    hog: CommandProfile


NOBODY = CommandProfile("nothing", 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0, 0.0)


def traits(profile: WorkloadProfile) -> Traits:
    """The traits of a profile; those of an empty one are harmless zeros."""
    commands, rivals = profile.commands or (NOBODY,), competing(profile) or (NOBODY,)
    wall_s, cpu_s = max(profile.wall_s, 1e-6), max(profile.cpu_s, 1e-6)
    longest = max(rivals, key=lambda command: (command.cpu_ms_max_task, command.comm))
    median_ms = median_task_ms(rivals)
    # Shells wake often, and matter only where latency is the goal; a harness wakes whenever a job ends, and never does.
    harness = parents(profile)
    of_goal = commands if profile.aim == "latency" else rivals
    wakers = tuple(command for command in of_goal if command.comm not in harness) or (NOBODY,)
    waiting = sum(command.wait_ms for command in commands) / 1000 / wall_s
    return Traits(
        cpus=profile.cpus,
        runnable=profile.parallelism + waiting,
        crowd=_crowd(profile, profile.parallelism + waiting, longest),
        waits=waiting * wall_s / cpu_s,
        median_ms=median_ms,
        longest=longest,
        tail=longest.cpu_ms_max_task / max(median_ms, 0.01),
        bound=bound(profile, longest),
        waker=max(wakers, key=lambda command: (command.wakeups, command.comm)),
        wakeups_per_cpu_s=sum(command.wakeups for command in wakers) / wall_s / max(profile.cpus, 1),
        switches_per_cpu_s=sum(command.switches for command in commands) / cpu_s,
        hog=max(commands, key=lambda command: (command.burst_us_p50, command.comm)),
    )


def _crowd(profile: WorkloadProfile, runnable: float, longest: CommandProfile) -> float:
    """How many tasks want a CPU on average until the longest is alone: that idles all other CPUs, and ends the run."""
    wall_s = max(profile.wall_s, 1e-6)
    idle_s = max(wall_s * profile.cpus - profile.cpu_s, 0.0)
    alone_s = min(idle_s / (profile.cpus - 1), longest.cpu_ms_max_task / 1000) if profile.cpus > 1 else 0.0
    return (runnable * wall_s - alone_s) / (wall_s - alone_s) if alone_s < wall_s else runnable


def competing(profile: WorkloadProfile) -> tuple[CommandProfile, ...]:
    """The commands that compete for CPUs; the others are shells and parents, however many."""
    least_ms = JOB_SHARE * sum(command.cpu_ms for command in profile.commands)
    return tuple(command for command in profile.commands if command.cpu_ms > least_ms)


def bound(profile: WorkloadProfile, longest: CommandProfile) -> float:
    """Wall time over max(longest task, CPU time / CPUs): the best ratio that arithmetic leaves; at least 1."""
    least_s = max(longest.cpu_ms_max_task / 1000, profile.cpu_s / max(profile.cpus, 1))
    return max(1.0, profile.wall_s / least_s) if least_s > 0 else 1.0


def room(profile: WorkloadProfile) -> float:
    """The ratio that may at best be won: what arithmetic allows of a makespan; of others nobody knows, so twice."""
    return bound(profile, traits(profile).longest) if profile.aim == "makespan" else 2.0


def median_task_ms(commands: tuple[CommandProfile, ...]) -> float:
    """The median task's CPU time; a command's tasks count as one largest and the rest at their mean."""
    sized: list[tuple[float, int]] = []
    for command in commands:
        if command.tasks > 0:
            sized.append((command.cpu_ms_max_task, 1))
        if command.tasks > 1:
            sized.append((others_ms(command), command.tasks - 1))
    half, below = sum(count for _, count in sized) / 2, 0
    for size_ms, count in sorted(sized):
        below += count
        if below >= half:
            return size_ms
    return 0.0


def others_ms(command: CommandProfile) -> float:
    """The mean CPU time of a command's tasks without its largest one."""
    return max(command.cpu_ms - command.cpu_ms_max_task, 0.0) / (command.tasks - 1) if command.tasks > 1 else 0.0

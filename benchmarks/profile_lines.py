# SPDX-License-Identifier: Apache-2.0
"""A workload profile in five short lines, for people; `profile_text.py` tells a planner the same in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.profile_text import COMPETES, in_ms, in_us
from policy_lake.profile import CommandProfile, WorkloadProfile

SHOWN = 2  # commands a line: with more it would not be one line
NAMES = ("load", "CPU time", "longest task", "waits", "wake-ups")


def profile_lines(profile: WorkloadProfile) -> list[tuple[str, str]]:
    """What each of NAMES comes to; the commands with most CPU time stand for all, and how many more there are is said.

    Waits are from runnable to running. The longest task is compared with the mean of all tasks.
    """
    rivals = _rivals(profile)
    tasks = sum(command.tasks for command in rivals)
    busy = 100 * profile.cpu_s / profile.wall_s / profile.cpus if profile.wall_s and profile.cpus else 0.0
    longest = max(rivals, key=lambda command: command.cpu_ms_max_task, default=None)
    mean_ms = sum(command.cpu_ms for command in rivals) / tasks if tasks else 0.0
    values = (
        f"{tasks} task{'' if tasks == 1 else 's'}, {profile.cpus} CPU{'' if profile.cpus == 1 else 's'}, "
        f"{busy:.0f} % busy for {in_ms(profile.wall_s * 1e3)}",
        _each(rivals, lambda command: f"{command.tasks} x {in_ms(command.cpu_ms / max(command.tasks, 1))}"),
        _longest(longest, mean_ms) if longest else "none",
        "p50/p99 of " + _each(rivals, lambda command: f"{in_us(command.wait_us_p50)}/{in_us(command.wait_us_p99)}"),
        f"{profile.wakeups_per_s:.0f} a second; runs, p50/p99 of "
        + _each(rivals, lambda command: f"{in_us(command.burst_us_p50)}/{in_us(command.burst_us_p99)}"),
    )
    return list(zip(NAMES, values, strict=True))


def _rivals(profile: WorkloadProfile) -> list[CommandProfile]:
    total_ms = sum(command.cpu_ms for command in profile.commands)
    rivals = [command for command in profile.commands if command.cpu_ms >= COMPETES * total_ms]
    return sorted(rivals, key=lambda command: -command.cpu_ms)


def _longest(command: CommandProfile, mean_ms: float) -> str:
    times = f", {command.cpu_ms_max_task / mean_ms:.3g} times the mean" if mean_ms else ""
    return f"{command.comm} {in_ms(command.cpu_ms_max_task)}{times}"


def _each(commands: Sequence[CommandProfile], say: Callable[[CommandProfile], str]) -> str:
    said = [f"{command.comm} {say(command)}" for command in commands[:SHOWN]]
    more = len(commands) - len(said)
    return "; ".join([*said, *([f"{more} more"] if more > 0 else [])]) or "none"

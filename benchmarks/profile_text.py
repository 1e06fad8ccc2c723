# SPDX-License-Identifier: Apache-2.0
"""A workload profile in plain words: who competes for how many CPUs, how each kind of task behaves, and the goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.statistics import four_digits
from benchmarks.workloads import Workload
from policy_lake.errors import InputError
from policy_lake.printed import number
from policy_lake.profile import CommandProfile

# A command with less of the CPU time than this competes for nothing: a shell, the parent of a batch.
COMPETES = 0.01
_MOST_COMMANDS = 6


def describe(
    workload: Workload, commands: Sequence[CommandProfile], *, cpus: int, wall_s: float, result: Mapping[str, Any]
) -> str:
    """One paragraph for a planner, or a person, who knows schedulers but not this workload.

    `commands` by falling CPU time; `result` is what the workload's program printed about its own run: InputError names
    the workload and the field if its metric is missing.
    """
    total_ms = sum(command.cpu_ms for command in commands)
    rivals = [command for command in commands if command.cpu_ms >= COMPETES * total_ms]
    rivals = rivals or list(commands)  # of hundreds of commands none may have a hundredth
    tasks = sum(command.tasks for command in rivals)
    contention = f"compete for {_count(cpus, 'CPU')}" if tasks > cpus else f"have {_count(cpus, 'CPU')} to themselves"
    sentences = [
        f"{workload.title}. {_count(tasks, 'task')} {contention}, which were {total_ms / wall_s / cpus / 10:.0f} % busy"
        f" for {wall_s:.2f} s ({total_ms / 1e3:.2f} s of CPU time) under the default scheduler, EEVDF."
    ]
    sentences += [_command(command, rivals, wall_s) for command in rivals[:_MOST_COMMANDS]]
    sentences += _tail(rivals, cpus, wall_s)
    return " ".join([*sentences, *_goal(workload, result)])


def _command(command: CommandProfile, rivals: Sequence[CommandProfile], wall_s: float) -> str:
    others = sum(rival.tasks for rival in rivals) - command.tasks
    others_ms = sum(rival.cpu_ms for rival in rivals if rival is not command) / others if others else 0.0
    each_ms = command.cpu_ms / max(command.tasks, 1)
    subject = f"One '{command.comm}' uses" if command.tasks == 1 else f"{command.tasks} '{command.comm}' use"
    words = f"{subject} {in_ms(each_ms)} of CPU{' each' if command.tasks > 1 else ''}"
    if others_ms and each_ms >= 1.5 * others_ms:
        words += f", {each_ms / others_ms:.3g}x the mean of the others"
    rate = command.wakeups / max(command.tasks, 1) / wall_s
    waits = f"{in_us(command.wait_us_p50)} in the middle, {in_us(command.wait_us_p99)} at the 99th percentile"
    waited = f"wait{'s' if command.tasks == 1 else ''} for a CPU {waits}"
    if rate < 5:
        return f"{words}, computing with hardly a sleep (CPU-bound), and {waited}."
    return (
        f"{words}, waking {rate:.0f} times a second{' each' if command.tasks > 1 else ''} for runs of"
        f" {in_us(command.burst_us_p50)} (it is wake-up latency that such tasks feel), and {waited}."
    )


def _tail(rivals: Sequence[CommandProfile], cpus: int, wall_s: float) -> list[str]:
    """Says so when one task is so long that it ends alone unless it runs from the start."""
    longest = max(rivals, key=lambda command: command.cpu_ms_max_task)
    fair_ms = sum(command.cpu_ms for command in rivals) / cpus
    mean_ms = fair_ms * cpus / max(sum(command.tasks for command in rivals), 1)
    if cpus < 2 or longest.cpu_ms_max_task < max(3 * mean_ms, 0.2 * fair_ms):
        return []
    return [
        f"The longest task, a '{longest.comm}', needs {in_ms(longest.cpu_ms_max_task)} of the {in_ms(wall_s * 1e3)}: if"
        " it does not run from the start, it runs alone at the end while other CPUs idle."
    ]


def _goal(workload: Workload, result: Mapping[str, Any]) -> list[str]:
    where = f"workload '{workload.id}', output of {workload.program}"
    value = number(result, workload.metric, where=where, error=InputError)
    words = [f"Goal: {workload.goal}"]
    measured = f"{four_digits(value)} {workload.unit} in this run"
    words.append(f"Measured as {workload.metric} ({workload.direction} is better), {measured}")
    if workload.bound:
        bound = number(result, workload.bound, where=where, error=InputError)
        words[-1] += f" against an arithmetic bound of {four_digits(bound)} {workload.unit}"
    words[-1] += "."
    if workload.guards:
        kept = ", ".join(
            f"{guard.metric} ({guard.direction} is better, at most {guard.limit:g}x worse)" for guard in workload.guards
        )
        words.append(f"Not to be paid with {kept}.")
    return words


def _count(many: int, noun: str) -> str:
    return f"{many} {noun}{'' if many == 1 else 's'}"


def in_ms(value: float) -> str:
    """Milliseconds with three digits, as seconds from 1000 on."""
    return f"{value / 1e3:.3g} s" if value >= 1000 else f"{value:.3g} ms"


def in_us(value: float) -> str:
    """Whole microseconds, as milliseconds from 1000 on."""
    return in_ms(value / 1e3) if value >= 1000 else f"{value:.0f} us"

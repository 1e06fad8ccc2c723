# SPDX-License-Identifier: Apache-2.0
"""The shortest witness of a task that was not run, in lines for people: times, CPUs, who ran, who waited and where.

Times are in s before the kernel noticed, which is 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from verifier_vm.judge.dump import ENDLESS_SLICE, Cpu, Dump, Task, parse_dumps
from verifier_vm.judge.readings import Reading
from verifier_vm.judge.task_words import place_in_words

LINES = 12
COMM = 15  # characters of a thread's name that the kernel keeps
MOST_CPUS, MOST_GROUPS = 4, 3
OTHERS = LINES - MOST_CPUS - 4  # the stuck one, a line for the rest of each kind, who had the CPU time


def from_dump(dump: Dump, stuck: Task | None, reading: Reading | None) -> tuple[str, ...]:
    """What a dump shows, the earliest first, and who had the CPU time in the run until then, where that is known."""
    return tuple([*_waiting(dump, stuck), *_running(dump), *(from_reading(reading) if reading else ())][:LINES])


def from_watcher(text: str, group: str, reading: Reading) -> tuple[str, ...]:
    """What the kernel wrote down when the guest's watcher found a thread of that group stuck, as from_dump; who had the
    CPU time alone where none of the dumps has such a thread waiting."""
    for dump in parse_dumps(text):
        if stuck := next((task for task in dump.waiting if task.comm == group[:COMM]), None):
            return from_dump(dump, stuck, reading)
    return from_reading(reading)


def from_reading(reading: Reading) -> tuple[str, ...]:
    """Who had the CPU time of a run: of each kind of threads the sum, the greatest first."""
    groups = sorted(reading.groups.items(), key=lambda item: -item[1].run_ms)
    parts = [
        f"{group.n} {name} {group.run_ms / 1000:.1f} s (longest wait {group.gap_ms / 1000:.1f} s)"
        for name, group in groups[:MOST_GROUPS]
    ]
    more = f", {len(groups) - MOST_GROUPS} kinds more" if len(groups) > MOST_GROUPS else ""
    return (f"CPU time in {reading.wall_ms / 1000:.1f} s on {reading.cpus} CPUs: {', '.join(parts)}{more}",)


def _waiting(dump: Dump, stuck: Task | None) -> Iterator[str]:
    others = [task for task in dump.waiting if task is not stuck]
    # Besides the longest, those that waited least: they had their turn while the others had none.
    shown = others if len(others) <= OTHERS else [*others[: OTHERS - 1], others[-1]]
    picked = sorted(([stuck] if stuck else []) + shown, key=lambda task: -task.waited_ms)
    for task in picked:
        mark = "  <- stuck" if task is stuck else ""
        at = f"{-task.waited_ms / 1000:7.3f}  CPU {task.cpu:<3}"
        yield f"{at} {task.name} waits {place_in_words(task)}{_may(task)}{mark}"
    if hidden := len(others) - len(shown):
        yield f"{'':7}  and {hidden} more wait"


def _running(dump: Dump) -> Iterator[str]:
    for cpu in dump.cpus[:MOST_CPUS]:
        yield f"{0:7.3f}  CPU {cpu.number:<3} {_runs(cpu, dump)}"
    if len(dump.cpus) > MOST_CPUS:
        yield f"{'':7}  and {len(dump.cpus) - MOST_CPUS} CPUs more"


def _runs(cpu: Cpu, dump: Dump) -> str:
    if cpu.kind == "idle_sched_class":
        return "idles"
    task = cpu.current
    if task is None:
        return f"runs {cpu.comm}[{cpu.pid}] ({cpu.kind or 'class unknown'})"
    if dump.is_free(cpu):
        return f"runs {task.name}, the kernel's watchdog"
    left = "no end" if task.slice_ns == ENDLESS_SLICE else f"{task.slice_ns / 1e6:.1f} ms left"
    return f"runs {task.name}{_may(task)}, its slice has {left}"


def _may(task: Task) -> str:
    return f" (bound to CPU {task.cpus.bit_length() - 1})" if task.bound else ""

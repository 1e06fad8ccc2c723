# SPDX-License-Identifier: Apache-2.0
"""A guest's job with the host's time of each step: its wall seconds, and the CPU seconds of its QEMU."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.output import last_line
from policy_lake.errors import InfraError
from policy_lake.events import Attached, Detached, Event, NotDone, ProgramEvent, StepEvent
from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.model import Clock
from policy_lake.printed import last_object
from policy_lake.topology import Topology
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import load_settings
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.vm import run

DEADLINE_S = 600.0
STEP_S = 900.0  # in the guest's time, of which an idle guest has much in little of ours


@dataclass(frozen=True, slots=True)
class Timed:
    """A report, and by label of its steps the wall seconds each took and the CPU seconds that QEMU spent on it."""

    report: GuestReport
    wall_s: dict[str, float]
    cpu_s: dict[str, float]

    def out(self, label: str) -> dict[str, Any]:
        """What the program of that step printed last, parsed."""
        return last_object(self.report.ran(label).out, where=f"step '{label}'")


def guest_of(clock: Clock = "virtual", *, cpus: int = 2, llcs: int = 1, cold: bool = False) -> Guest:
    """A guest of that clock and topology; InfraError when there is no virtual clock here."""
    guest = prepare_guest(load_settings(), Shape(Topology(cpus, llcs), clock=clock, cold=cold))
    if guest.machine.clock_name != clock:
        raise InfraError(guest.warning)
    return guest


def step(label: str, *args: str) -> GuestStep:
    """Run a program of the guest."""
    return GuestStep("run", args, label=label, timeout_s=STEP_S)


def timed_run(job: GuestJob, machine: Machine) -> Timed:
    """Do `job`, every step of which must succeed (InfraError), and take the time of each."""
    wall_s: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    since: list[tuple[float, float]] = []
    pids: list[int] = []

    def on_event(event: Event) -> None:
        pids[:] = pids or [_guest_pid()]
        now = time.monotonic(), process_cpu_s(pids[0])
        if isinstance(event, StepEvent):
            wall_s[event.label] = now[0] - since[-1][0]
            cpu_s[event.label] = now[1] - since[-1][1]
        since.append(now)

    report = run(job, machine, deadline_s=DEADLINE_S, on_event=on_event)
    check_all(job.steps, report)
    return Timed(report, wall_s, cpu_s)


def check_all(steps: Sequence[GuestStep], report: GuestReport) -> None:
    """InfraError naming the first step that failed."""
    for event in report.events:
        if not event.ok:
            raise InfraError(f"step '{event.label}' failed: {last_line(_complaints(event))}")
    if len(report.events) != len(steps):
        raise InfraError(f"{len(report.events)} of {len(steps)} steps were done")


def _complaints(event: StepEvent) -> str:
    if isinstance(event, ProgramEvent | NotDone):
        return event.err
    return event.log if isinstance(event, Attached | Detached) else ""


def process_cpu_s(pid: int) -> float:
    """CPU seconds of a process with all its threads: its clock's number is what clock_getcpuclockid(3) makes of it."""
    return time.clock_gettime((~pid << 3) | 2)


def _guest_pid() -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"qemu-system" in (process / "cmdline").read_bytes():
                return int(process.name)
        except OSError:
            continue
    raise InfraError("the guest's process is not to be found")

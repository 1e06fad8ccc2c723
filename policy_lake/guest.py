# SPDX-License-Identifier: Apache-2.0
"""What a guest is given and what comes back: a leaf, like model.py and events.py, that every package may import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lake.coverage import Executed
from policy_lake.errors import InfraError
from policy_lake.events import Ran, StepEvent, Verb
from policy_lake.machine_model import NOTHING, Paid
from policy_lake.model import Clock


@dataclass(frozen=True, slots=True)
class GuestStep:
    """One step of a guest job: `attach OBJECT KNOB=VALUE…`, `detach`, or `run PROGRAM ARG…`, ended at `timeout_s`.

    `start PROGRAM ARG…` and `stop` run a program beside the steps between them. `layout` tells where the code of what
    is attached lies: a job that has it is watched for what it executes of that. `anew` takes off what is attached, and
    what stands before it may fail: the job goes on there all the same.
    """

    verb: Verb | Literal["anew"]
    args: tuple[str, ...] = ()
    label: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class GuestJob:
    """What a guest does: files it is given, then steps in order, up to the first that fails.

    `seed` goes into its random numbers and its timer's phase: another seed is another, equally valid run. With `stays`
    the guest does not power off afterwards and takes another job: a warm-up, from which a snapshot is taken.
    """

    files: dict[str, bytes]
    steps: tuple[GuestStep, ...]
    seed: int = 0
    stays: bool = False


@dataclass(frozen=True, slots=True)
class ClockCounts:
    """What the clock counted in one run of QEMU.

    `fallbacks` are waits that it gave up: such a run is not a function of the guest alone. `fingerprint` covers every
    slot of every vCPU with its virtual time, `switches` and `switch_hash` every context switch with its own (none where
    the guest was not started from a snapshot, for nobody knows then where its kernel does that). `paid` is what the
    machine cost that its CPUs are taken for.
    """

    fallbacks: int
    virtual_s: float
    fingerprint: str
    slots: int
    switches: int
    switch_hash: str
    host_moves: int
    paid: Paid = NOTHING


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What came back: one event per step that was started, the kernel's release, and the console as evidence.

    `executed` is what ran of BPF programs, where the job asked for it and the clock is virtual.
    """

    events: tuple[StepEvent, ...]
    kernel: str
    accel: str
    seconds: float
    console: str
    clock: Clock = "wall"
    counts: ClockCounts | None = None
    executed: Executed | None = None

    def ran(self, label: str) -> Ran:
        """The run of that label; InfraError if the guest did not report one."""
        event = next((event for event in self.events if event.label == label), None)
        if not isinstance(event, Ran):
            raise InfraError(f"step '{label}': the guest did not report a run but {event!r:.200}")
        return event

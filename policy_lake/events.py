# SPDX-License-Identifier: Apache-2.0
"""What a guest says, as records: a leaf beside guest.py. verifier_vm/machine/wire.py makes them, at the wire.

Times are in s. Every field was checked there: who holds a record need not ask whether it makes sense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from policy_lake.coverage import ProgramLayout
from policy_lake.exit_record import ExitRecord

Role = Literal["policy", "baseline", "control"]
Phase = Literal["open", "load", "attach", "attached", "crash"]  # how far the loader came
Verb = Literal["attach", "layout", "detach", "run", "start", "stop", "rest"]


def exercise_label(role: Role, exercise: str) -> str:
    """The label of a step in which the suite's `exercise` runs."""
    return f"{role}:{exercise}"


def run_label(role: Role, pair: int) -> str:
    """The label of a measured run."""
    return f"{role}-{pair}"


def role_of(label: str) -> Role | None:
    """Under what the run of that label is; None for labels of neither kind."""
    for role in get_args(Role):
        if label.startswith((f"{role}:", f"{role}-")):
            return role  # type: ignore[no-any-return]
    return None


@dataclass(frozen=True, slots=True)
class SchedState:
    """One reading of /sys/kernel/sched_ext; `ops` is empty where nothing is attached."""

    state: str
    ops: str
    enable_seq: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Which scheduler a run was under: at both ends, and how many of the samples between were as at the start."""

    before: SchedState
    after: SchedState
    samples: int
    attached: int

    @property
    def steady(self) -> bool:
        """Whether it was the same one all through."""
        return self.before == self.after and self.samples == self.attached


@dataclass(frozen=True, slots=True)
class Counters:
    """sched_ext's event counters (SCX_EV_…) that were not 0, before and after a run; empty with no policy on."""

    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a guest says of itself."""

    kernel: str
    cpus: int
    switch_address: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Greeting):
    """It can take a job: a snapshot is taken here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Greeting):
    """It has taken its job."""


@dataclass(frozen=True, slots=True)
class Done:
    """It has no more to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """What all steps have. `seconds` are the guest's own, `wall_s` the host's since the event before, `kmsg` the lines
    that the kernel logged meanwhile and that matter.
    """

    label: str
    ok: bool
    seconds: float
    wall_s: float = field(default=0.0, compare=False)  # the host's load has no part in what a run is
    kmsg: tuple[str, ...] = ()

    @property
    def role(self) -> Role | None:
        """Under what it ran, where the label says so."""
        return role_of(self.label)

    @property
    def exercise(self) -> str:
        """The suite's exercise that it was, or empty."""
        role, colon, exercise = self.label.partition(":")
        return exercise if colon and role in get_args(Role) else ""


@dataclass(frozen=True, slots=True)
class Declared:
    """What an object's table has: its callbacks, ring buffers to a program beside it, and the flags of its ops."""

    callbacks: frozenset[str] = frozenset()
    outlets: tuple[str, ...] = ()
    flags: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached(StepEvent):
    """An object was given to the kernel, with success if `ok`; `log` is libbpf's and the BPF verifier's.

    Where it failed, `exit_record` is that of a policy that was attached and ended at once and `dump` what the kernel
    wrote down then, `timed_out` and `loader_signal` say how the loader ended. `declared` is what the loader saw in the
    object; nothing where it did not come that far.
    """

    phase: Phase
    ops: str
    enable_seq: int
    sched: SchedState
    log: str = ""
    exit_record: ExitRecord = field(default_factory=ExitRecord)
    dump: str = ""
    timed_out: bool = False
    loader_signal: int = 0
    declared: Declared = Declared()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidOut(StepEvent):
    """Where the code of the attached policy lies; `unknown` says why that is not known, else it is empty."""

    programs: tuple[ProgramLayout, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached(StepEvent):
    """A policy was taken off. One that a failed step left on is taken off under an empty label.

    `dump` is what the kernel wrote down of all CPUs and runnable tasks, without backtraces, if it ended in error.
    """

    sched: SchedState
    exit_record: ExitRecord = field(default_factory=ExitRecord)
    dump: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramEvent(StepEvent):
    """A program ran to its end or was ended.

    `exit` is its status (-1: none), `signal` what ended it (0: none), `ended` whether nothing of it was left.
    """

    exit: int
    signal: int
    timed_out: bool
    ended: bool
    out: str
    err: str
    dropped: int
    sched: Watch
    counters: Counters = Counters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran(ProgramEvent):
    """A step that was one program, begun and ended in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rested(StepEvent):
    """The guest was idle for as long as it was told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(StepEvent):
    """A program runs beside the steps that follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(ProgramEvent):
    """The program beside was ended; its status says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone(StepEvent):
    """A step that the guest could not begin: no process for it, or nothing to detach or to stop."""

    verb: Verb
    err: str = ""


Event = Ready | Hello | StepEvent | Done

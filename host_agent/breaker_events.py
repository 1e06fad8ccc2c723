# SPDX-License-Identifier: Apache-2.0
"""What the circuit breaker is told, and what it answers: typed events and effects. Times are in s."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from policy_lake.exit_record import ExitRecord


class Trip(StrEnum):
    """Why a breaker opened."""

    METRIC = "metric"  # one that is critical, beyond its limit
    EJECTED = "ejected"  # the kernel took the policy off, or it ended itself
    METRICS_SILENT = "metrics_silent"
    CONTROL_LOST = "control_lost"
    MEMORY = "memory"
    TASK_WAITS = "task_waits"  # a runnable task, for longer than its limit
    AGENT_LATE = "agent_late"  # it let its lease of the policy's holder end
    IDLE_CPU = "idle_cpu"  # beside waiting tasks
    HOLDER_LOST = "holder_lost"  # the process that held the link is gone, and said nothing
    NOT_RECORDED = "not_recorded"  # what is done here can no longer be written down


@dataclass(frozen=True, slots=True)
class AskAttach:
    """Somebody wants to attach the policy."""


@dataclass(frozen=True, slots=True)
class Attached:
    """The kernel says that it is attached."""


@dataclass(frozen=True, slots=True)
class NotAttached:
    """The attempt failed before the kernel had the policy: no fault of its behaviour."""


@dataclass(frozen=True, slots=True)
class TakenOff:
    """We took it off as planned: a request, a window's end, the kill switch, an administrator who stepped in."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The policy ended and nobody here had asked for it."""

    record: ExitRecord


@dataclass(frozen=True, slots=True)
class HolderLost:
    """The process that held the link ended without a word."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric was read; beyond its limit and critical it trips."""

    name: str
    value: float
    limit: float
    critical: bool = True


@dataclass(frozen=True, slots=True)
class MetricsSeen:
    """All metrics that are asked for answered; they were asked so long ago."""

    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ControlSeen:
    """The control plane spoke to us."""


@dataclass(frozen=True, slots=True)
class Memory:
    """PSI's full avg10 for memory, in percent."""

    percent: float


@dataclass(frozen=True, slots=True)
class TaskWaits:
    """The longest that a runnable task has waited until now."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AgentLate:
    """The holder took the policy off, since the agent had not renewed its lease for so long: it has no wait to tell."""

    lease_s: float


@dataclass(frozen=True, slots=True)
class IdleCpu:
    """For how long a CPU has idled while tasks waited."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """Journal or audit log can no longer be written."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Release:
    """A person releases the policy from quarantine."""


Event = (
    AskAttach | Attached | NotAttached | TakenOff | Ended | HolderLost | Metric | MetricsSeen | ControlSeen | Memory
    | TaskWaits | AgentLate | IdleCpu | NotRecorded | Tick | Release
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Allow:
    """It may be attached; `trial` in half_open."""

    trial: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """It may not be attached; `wait_s` until it may be asked again, None for not without a person."""

    reason: str
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Detach:
    """It is to be taken off, now."""

    trip: Trip
    reason: str


@dataclass(frozen=True, slots=True)
class KeepRecord:
    """The exit record is to be kept as evidence."""

    record: ExitRecord


@dataclass(frozen=True, slots=True)
class Opened:
    """The breaker tripped; for how long it is open."""

    trip: Trip
    reason: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class Quarantine:
    """It tripped too often on this host class."""

    host_class: str
    trips: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A trial was outlived, or a person released the policy."""


Effect = Allow | Refuse | Detach | KeepRecord | Opened | Quarantine | Closed

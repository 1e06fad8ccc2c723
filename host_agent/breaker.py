# SPDX-License-Identifier: Apache-2.0
"""The circuit breaker of one policy on one host: a pure state machine. Times are arguments, in s, of one clock.

closed: nothing speaks against the policy. open: it was taken off, and nothing of it is attached before `until`.
half_open: the time is over, and one attachment is on trial; `probation_s` without a trip closes the breaker again.
quarantined: it tripped too often for this host class, and only a person releases it. No state and no event makes an
effect that attaches: what attaches is a request with a token, and the breaker can only refuse it. So there is no loop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from host_agent.breaker_events import (
    AgentLate,
    Allow,
    AskAttach,
    Attached,
    Closed,
    ControlSeen,
    Detach,
    Effect,
    Ended,
    Event,
    HolderLost,
    IdleCpu,
    KeepRecord,
    Memory,
    Metric,
    MetricsSeen,
    NotAttached,
    NotRecorded,
    Opened,
    Quarantine,
    Refuse,
    Release,
    TakenOff,
    TaskWaits,
    Trip,
)
from policy_lake.exit_record import ExitKind, ExitRecord

State = Literal["closed", "open", "half_open", "quarantined"]
HOTPLUG_CODE = 1 << 32  # SCX_ECODE_RSN_HOTPLUG in the code of an exit of kind UNREG_KERN


@dataclass(frozen=True, slots=True)
class Limits:
    """When it trips; times in s, `memory_percent` of PSI's full avg10. 0 switches a silence's limit off."""

    metrics_silence_s: float = 10.0
    control_silence_s: float = 30.0
    memory_percent: float = 20.0
    task_wait_s: float = 5.0
    idle_beside_waiting_s: float = 2.0
    first_pause_s: float = 60.0
    longest_pause_s: float = 3600.0
    probation_s: float = 300.0
    quarantine_after: int = 3  # trips, of which none was outlived by a probation


DEFAULTS = Limits()


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where one policy's breaker stands. `seen` is the latest time it was told; time never runs backwards for it."""

    host_class: str = ""
    state: State = "closed"
    attached: bool = False
    since: float = 0.0
    until: float = 0.0
    trips: int = 0
    seen: float = 0.0
    metrics_at: float = 0.0
    control_at: float = 0.0
    last: Trip | None = None


Step = tuple[Breaker, tuple[Effect, ...]]


def step(breaker: Breaker, event: Event, at: float, limits: Limits = DEFAULTS) -> Step:
    """The breaker after `event` at time `at`, and what is to be done, in order."""
    now = replace(breaker, seen=max(at, breaker.seen))
    done: Step | None = None
    match event:
        case AskAttach():
            done = _asked(now)
        case Attached():
            done = _attached(now)
        case NotAttached() | TakenOff():
            done = replace(now, attached=False), ()
        case Ended(record):
            done = _ended(now, record, limits)
        case Release() if now.state == "quarantined":
            done = replace(now, state="closed", trips=0, until=0.0), (Closed(),)
        case MetricsSeen(age_s):  # a silence begins when they were asked, not when a busy host was through with it
            now = replace(now, metrics_at=max(now.metrics_at, now.seen - max(age_s, 0.0)))
        case ControlSeen():
            now = replace(now, control_at=now.seen)
        case _:
            pass
    return done or _watched(now, event, limits)


def ends_by_hotplug(record: ExitRecord) -> bool:
    """Whether the kernel took the policy off since a CPU went or came, which it does to any that has no callback."""
    return record.kind == ExitKind.UNREG_KERN and bool(record.code & HOTPLUG_CODE)


def revived(breaker: Breaker, at: float, limits: Limits = DEFAULTS) -> Breaker:
    """A breaker read from the disk by a new process: nothing is attached, and a pause starts anew.

    The clock may be another one (after a boot), so that only what does not shorten a pause is kept.
    """
    until = at + pause_s(breaker.trips, limits) if breaker.state in ("open", "half_open") else 0.0
    state: State = "open" if breaker.state == "half_open" else breaker.state
    return replace(breaker, state=state, attached=False, since=at, until=until, seen=at, metrics_at=at, control_at=at)


def pause_s(trips: int, limits: Limits) -> float:
    """How long it stays open after so many trips: twice as long each time."""
    return float(min(limits.first_pause_s * 2 ** min(max(trips, 1) - 1, 32), limits.longest_pause_s))


def _asked(now: Breaker) -> Step:
    if now.attached:
        return now, (Refuse("it is attached already"),)
    if now.state == "quarantined":
        where = f" for the host class {now.host_class}" if now.host_class else ""
        return now, (Refuse(f"it is in quarantine{where} after {now.trips} trips: a person must release it"),)
    if now.state == "open" and now.seen < now.until:
        left = now.until - now.seen
        why = f" ({now.last.value})" if now.last else ""
        return now, (Refuse(f"the circuit breaker is open{why} for another {left:.0f} s", left),)
    if now.state == "closed":
        return now, (Allow(),)
    return replace(now, state="half_open"), (Allow(trial=True),)


def _attached(now: Breaker) -> Step:
    if now.state in ("open", "quarantined"):  # whoever attached it did not ask
        refused = Detach(now.last or Trip.EJECTED, f"the circuit breaker is {now.state}")
        return replace(now, attached=True), (refused,)
    return replace(now, attached=True, since=now.seen, metrics_at=now.seen, control_at=now.seen), ()


def _ended(now: Breaker, record: ExitRecord, limits: Limits) -> Step:
    if not now.attached:
        return now, ()
    if ends_by_hotplug(record) or record.kind in (ExitKind.UNREG, ExitKind.SYSRQ):
        return replace(now, attached=False), (KeepRecord(record),)
    after, effects = _trip(now, Trip.EJECTED, record.words or "it ended, and left no record", limits)
    return after, (KeepRecord(record), *effects)


def _watched(now: Breaker, event: Event, limits: Limits) -> Step:
    found = (_fault(event, limits) or _silence(now, limits)) if now.attached else None
    if found:
        return _trip(now, *found, limits)
    if now.attached and now.state == "half_open" and now.seen - now.since >= limits.probation_s:
        return replace(now, state="closed", trips=0, last=None), (Closed(),)
    return now, ()


def _fault(event: Event, limits: Limits) -> tuple[Trip, str] | None:
    """Why it trips, if it does. A number that is no number (NaN) counts as beyond its limit."""
    found: tuple[Trip, str] | None = None
    match event:
        case Metric(name, value, limit, True) if not value <= limit:
            found = Trip.METRIC, f"{name} is {value:g}, above {limit:g}"
        case Memory(percent) if not percent <= limits.memory_percent:
            found = Trip.MEMORY, f"memory pressure is {percent:g} %, above {limits.memory_percent:g} %"
        case TaskWaits(seconds) if not seconds <= limits.task_wait_s:
            found = Trip.TASK_WAITS, f"a task has waited for {seconds:.2f} s, more than {limits.task_wait_s:g} s"
        case AgentLate(lease_s):
            found = Trip.AGENT_LATE, f"the agent, a real-time task, did not renew its lease for {lease_s:g} s"
        case IdleCpu(seconds) if not seconds <= limits.idle_beside_waiting_s:
            found = Trip.IDLE_CPU, f"a CPU idled beside waiting tasks for {seconds:.2f} s"
        case HolderLost():
            found = Trip.HOLDER_LOST, "the process that held the policy is gone"
        case NotRecorded():
            found = Trip.NOT_RECORDED, "journal or audit log cannot be written"
        case _:
            pass
    return found


def _silence(now: Breaker, limits: Limits) -> tuple[Trip, str] | None:
    if limits.metrics_silence_s and now.seen - now.metrics_at > limits.metrics_silence_s:
        return Trip.METRICS_SILENT, f"no metrics for {now.seen - now.metrics_at:.1f} s"
    if limits.control_silence_s and now.seen - now.control_at > limits.control_silence_s:
        return Trip.CONTROL_LOST, f"nothing from the control plane for {now.seen - now.control_at:.1f} s"
    return None


def _trip(now: Breaker, trip: Trip, reason: str, limits: Limits) -> Step:
    trips = now.trips + 1
    off = replace(now, attached=False, trips=trips, last=trip)
    detach = Detach(trip, reason)
    if trips >= limits.quarantine_after:
        return replace(off, state="quarantined", until=0.0), (detach, Quarantine(now.host_class, trips))
    pause = pause_s(trips, limits)
    return replace(off, state="open", until=now.seen + pause), (detach, Opened(trip, reason, pause))

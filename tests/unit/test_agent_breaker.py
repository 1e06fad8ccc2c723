# SPDX-License-Identifier: Apache-2.0
"""The circuit breaker: each way to trip, what is no trip, and that no order of events makes it loop."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from host_agent import breaker_events as ev
from host_agent.breaker import Breaker, Limits, pause_s, revived, step
from host_agent.breaker_events import Trip
from policy_lake.exit_record import ExitKind, ExitRecord

LIMITS = Limits(
    metrics_silence_s=10, control_silence_s=30, memory_percent=20, task_wait_s=5, idle_beside_waiting_s=2,
    first_pause_s=60, longest_pause_s=200, probation_s=300, quarantine_after=3,
)  # fmt: skip
STALLED = ExitRecord(ExitKind.ERROR_STALL, 0, "runnable task stall", "task[1] failed to run for 5.0s")
HOTPLUG = ExitRecord(ExitKind.UNREG_KERN, 1 << 32 | 1 << 48, "hotplug", "cpu 1 going offline")


FRESH = Breaker(host_class="laptop")


def on(breaker: Breaker = FRESH, at: float = 0.0) -> Breaker:
    """A breaker whose policy is attached."""
    breaker, (allowed,) = step(breaker, ev.AskAttach(), at, LIMITS)
    assert isinstance(allowed, ev.Allow)
    return step(breaker, ev.Attached(), at, LIMITS)[0]


def tripped(times: int) -> tuple[Breaker, float]:
    """One that has tripped so often, and the time at which it last did."""
    breaker, at = Breaker(host_class="laptop"), 0.0
    for _ in range(times):
        at = max(at, breaker.until)
        breaker, _ = step(on(breaker, at), ev.HolderLost(), at, LIMITS)
    return breaker, at


@pytest.mark.parametrize(
    ("event", "at", "trip"),
    [
        (ev.Metric("p99_s", 1.5, 1.0), 1, Trip.METRIC),
        (ev.Metric("p99_s", math.nan, 1.0), 1, Trip.METRIC),
        (ev.Memory(20.5), 1, Trip.MEMORY),
        (ev.Memory(math.nan), 1, Trip.MEMORY),
        (ev.TaskWaits(5.1), 1, Trip.TASK_WAITS),
        (ev.AgentLate(1.0), 1, Trip.AGENT_LATE),
        (ev.IdleCpu(2.1), 1, Trip.IDLE_CPU),
        (ev.HolderLost(), 1, Trip.HOLDER_LOST),
        (ev.NotRecorded(), 1, Trip.NOT_RECORDED),
        (ev.Ended(STALLED), 1, Trip.EJECTED),
        (ev.Ended(ExitRecord()), 1, Trip.EJECTED),
        (ev.Ended(ExitRecord(ExitKind.UNREG_BPF)), 1, Trip.EJECTED),
        (ev.Ended(ExitRecord(ExitKind.UNREG_KERN)), 1, Trip.EJECTED),
        (ev.Tick(), 10.1, Trip.METRICS_SILENT),
    ],
)
def test_each_of_these_takes_the_policy_off_and_opens(event: ev.Event, at: float, trip: Trip) -> None:
    after, effects = step(on(), event, at, LIMITS)
    assert after.state == "open" and not after.attached and after.last is trip and after.until == at + 60
    detach, opened = [effect for effect in effects if not isinstance(effect, ev.KeepRecord)]
    assert isinstance(detach, ev.Detach) and detach.trip is trip and detach.reason
    assert isinstance(opened, ev.Opened) and opened.pause_s == 60


@pytest.mark.parametrize(
    "event",
    [ev.Metric("p99_s", 1.0, 1.0), ev.Metric("p50_s", 9.0, 1.0, critical=False), ev.Memory(20), ev.TaskWaits(5),
     ev.IdleCpu(2), ev.MetricsSeen(), ev.ControlSeen(), ev.Tick(), ev.Release()],
    ids=lambda event: type(event).__name__,
)  # fmt: skip
def test_at_its_limit_nothing_trips(event: ev.Event) -> None:
    after, effects = step(on(), event, 9.9, LIMITS)
    assert (after.state, after.attached, effects) == ("closed", True, ())


def test_metrics_that_come_and_a_control_plane_that_does_not() -> None:
    breaker = on()
    for at in range(1, 31):
        breaker, effects = step(breaker, ev.MetricsSeen(), at, LIMITS)
        assert not effects
    _, (detach, _) = step(breaker, ev.MetricsSeen(), 30.5, LIMITS)
    assert isinstance(detach, ev.Detach) and detach.trip is Trip.CONTROL_LOST
    assert not step(breaker, ev.MetricsSeen(), 30.5, replace(LIMITS, control_silence_s=0))[1]
    assert not step(step(breaker, ev.ControlSeen(), 30, LIMITS)[0], ev.MetricsSeen(), 39, LIMITS)[1]


def test_metrics_are_silent_from_when_they_were_asked_not_from_when_they_were_told() -> None:
    limits = replace(LIMITS, control_silence_s=0, metrics_silence_s=3)
    breaker, _ = step(Breaker(), ev.Attached(), 0, limits)
    told, _ = step(breaker, ev.MetricsSeen(age_s=1.5), 2.0, limits)
    assert told.metrics_at == 0.5 and not step(told, ev.Tick(), 3.4, limits)[1]
    assert step(told, ev.Tick(), 3.6, limits)[1]
    assert step(told, ev.MetricsSeen(age_s=9.0), 2.5, limits)[0].metrics_at == 0.5  # never earlier than it was


def test_the_kernels_exit_record_is_kept() -> None:
    _, effects = step(on(), ev.Ended(STALLED), 1, LIMITS)
    assert effects[0] == ev.KeepRecord(STALLED)
    assert isinstance(effects[1], ev.Detach) and "runnable task stall" in effects[1].reason


@pytest.mark.parametrize(
    "event", [ev.Ended(HOTPLUG), ev.TakenOff(), ev.NotAttached(), ev.Ended(ExitRecord(ExitKind.SYSRQ))], ids=str
)
def test_a_hotplug_end_a_planned_detach_and_an_administrators_are_no_trips(event: ev.Event) -> None:
    after, effects = step(on(), event, 1, LIMITS)
    assert (after.state, after.attached, after.trips) == ("closed", False, 0)
    assert not [effect for effect in effects if isinstance(effect, ev.Detach | ev.Opened | ev.Quarantine)]
    assert on(after, 1).attached


def test_hotplug_without_its_code_is_a_trip() -> None:
    assert step(on(), ev.Ended(replace(HOTPLUG, code=0)), 1, LIMITS)[0].state == "open"


def test_an_open_breaker_refuses_until_its_pause_is_over_then_tries_once() -> None:
    breaker, at = tripped(1)
    _, (refused,) = step(breaker, ev.AskAttach(), at + 59, LIMITS)
    assert isinstance(refused, ev.Refuse) and refused.wait_s == 1
    asked, effects = step(breaker, ev.AskAttach(), at + 60, LIMITS)
    assert asked.state == "half_open" and effects == (ev.Allow(trial=True),)


def test_a_trial_that_is_outlived_closes_and_forgets() -> None:
    breaker, at = tripped(1)
    trial = on(breaker, at + 60)
    for second in range(300):
        trial, effects = step(trial, ev.MetricsSeen(), at + 60 + second, replace(LIMITS, control_silence_s=0))
        assert not effects and trial.state == "half_open"
    trial, effects = step(trial, ev.Tick(), at + 360, replace(LIMITS, control_silence_s=0))
    assert (trial.state, trial.trips, effects) == ("closed", 0, (ev.Closed(),))


def test_pauses_double_up_to_the_longest() -> None:
    assert [pause_s(trips, LIMITS) for trips in (0, 1, 2, 3, 400)] == [60, 60, 120, 200, 200]
    breaker, at = tripped(2)
    assert breaker.until == at + 120


def test_repeated_trips_end_in_quarantine_which_time_does_not_end() -> None:
    breaker, at = tripped(2)
    breaker, effects = step(on(breaker, breaker.until), ev.Ended(STALLED), at + 200, LIMITS)
    assert breaker.state == "quarantined" and effects[-1] == ev.Quarantine("laptop", 3)
    _, (refused,) = step(breaker, ev.AskAttach(), at + 10**9, LIMITS)
    assert isinstance(refused, ev.Refuse) and refused.wait_s is None and "laptop" in refused.reason
    freed, effects = step(breaker, ev.Release(), at + 10**9, LIMITS)
    assert freed.state == "closed" and freed.trips == 0 and effects == (ev.Closed(),)


def test_who_attaches_without_asking_is_taken_off() -> None:
    for times in (1, 3):
        breaker, at = tripped(times)
        _, (detach,) = step(breaker, ev.Attached(), at + 1, LIMITS)
        assert isinstance(detach, ev.Detach)


def test_what_is_attached_is_not_attached_again() -> None:
    _, (refused,) = step(on(), ev.AskAttach(), 1, LIMITS)
    assert isinstance(refused, ev.Refuse)


def test_a_new_process_starts_the_pause_anew_and_keeps_the_quarantine() -> None:
    breaker, at = tripped(1)
    again = revived(breaker, 5.0, LIMITS)
    assert again.until == 65 and again.state == "open" and again.trips == 1 and at == 0
    trial = on(breaker, 60)
    assert revived(trial, 5.0, LIMITS).state == "open" and not revived(trial, 5.0, LIMITS).attached
    assert revived(tripped(3)[0], 5.0, LIMITS).state == "quarantined"
    assert revived(on(), 5.0, LIMITS).state == "closed"


EVENTS = st.one_of(
    st.builds(ev.Metric, st.just("m"), st.floats(), st.just(1.0), st.booleans()),
    st.builds(ev.Memory, st.floats()),
    st.builds(ev.TaskWaits, st.floats()),
    st.builds(ev.AgentLate, st.floats()),
    st.builds(ev.IdleCpu, st.floats()),
    st.builds(
        ev.Ended, st.builds(ExitRecord, st.sampled_from([-1, 0, 1, 64, 65, 66, 67, 1024, 1026, 9999]), st.integers())
    ),
    st.sampled_from([ev.HolderLost(), ev.MetricsSeen(), ev.ControlSeen(), ev.NotRecorded(), ev.Tick(), ev.TakenOff()]),
)


class Machine(RuleBasedStateMachine):
    """An attacker who chooses events, times (backwards, too) and when to ask, but whom the breaker must allow."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.at = Breaker(host_class="x"), 0.0
        self.attached_at: list[float] = []
        self.trips_in_a_row = 0

    def do(self, event: ev.Event) -> tuple[ev.Effect, ...]:
        before = self.breaker
        self.breaker, effects = step(before, event, self.at, LIMITS)
        if any(isinstance(effect, ev.Opened | ev.Quarantine) for effect in effects):
            self.trips_in_a_row += 1
            assert before.attached and any(isinstance(effect, ev.Detach) for effect in effects)
        if any(isinstance(effect, ev.Closed) for effect in effects):
            self.trips_in_a_row = 0
        return effects

    @rule(by=st.floats(-50, 400))
    def time_passes(self, by: float) -> None:
        self.at += by

    @rule(event=EVENTS)
    def happens(self, event: ev.Event) -> None:
        was = self.breaker
        effects = self.do(event)
        assert not any(isinstance(effect, ev.Allow) for effect in effects)
        assert not self.breaker.attached or was.attached  # nothing but Attached attaches

    @rule()
    def asks(self) -> None:
        before = self.breaker
        (effect,) = self.do(ev.AskAttach())
        if isinstance(effect, ev.Allow):
            assert before.state in ("closed", "half_open") or self.breaker.seen >= before.until
            assert effect.trial == (before.state != "closed")
            self.do(ev.Attached())
            self.attached_at.append(self.breaker.seen)
            assert self.breaker.attached

    @precondition(lambda self: self.breaker.state == "quarantined")
    @rule()
    def released(self) -> None:
        assert self.do(ev.Release()) == (ev.Closed(),)

    @invariant()
    def sound(self) -> None:
        breaker = self.breaker
        assert breaker.state not in ("open", "quarantined") or not breaker.attached
        assert self.trips_in_a_row <= LIMITS.quarantine_after
        assert (breaker.state == "quarantined") == (self.trips_in_a_row == LIMITS.quarantine_after)
        assert breaker.state != "open" or breaker.until > 0
        assert breaker.seen >= max(self.attached_at, default=0)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

# SPDX-License-Identifier: Apache-2.0
"""From the scheduler's events to a trace."""

import pytest
from trace_cases import ROOT, Host

from benchmarks.trace.build import build_trace
from benchmarks.trace.check import first_fault
from benchmarks.trace.tasks import OPS, at_us, cpu_by_name
from benchmarks.trace.tracepoints import concerns, descendants
from policy_lake.errors import InfraError

CHILD, OTHER = 101, 7
SLEEPING, ZOMBIE, PREEMPTED = 1, 0x20, 0x100


def build(host, **options):
    known = {"kernel": "6.18", "cpus": (0, 1), "busy_share": 0.5, "stolen_share": 0.0, "base_nice": 0}
    return build_trace(host.events, ROOT, **{**known, **options})


def rows(trace, task):
    return [(OPS[trace.op[i]], int(trace.after_us[i]), int(trace.arg[i])) for i in trace.span(task)]


def a_parent_that_waits_for_its_child():
    host = Host()
    host.at(1).starts(0)
    host.at(3).forks(0, CHILD)
    host.at(4).switch(0, 0, state=SLEEPING)
    host.at(4).switch(1, CHILD)
    host.at(5).renames(1, "worker")
    host.at(9).wakes(1, ROOT)
    host.at(9.5).switch(0, ROOT)
    host.at(10).switch(1, 0, state=ZOMBIE)
    host.at(11).switch(0, 0, state=ZOMBIE)
    return host


def test_a_wait_for_another_task_is_an_edge_and_cpu_time_counts_between_operations():
    trace = build(a_parent_that_waits_for_its_child())
    assert rows(trace, 0) == [("fork", 2000, 1), ("wait", 1000, 0), ("exit", 1500, 0)]
    assert rows(trace, 1) == [("name", 1000, 0), ("wake", 4000, 0), ("exit", 1000, 0)]
    assert trace.info.wall_us == 10_000
    assert trace.info.delays_us[-1] == 500
    assert cpu_by_name(trace) == {"top": 5.5, "worker": 5.0}
    assert first_fault(trace) == ""


def test_times_of_the_original_are_kept_for_time_lines():
    trace = build(a_parent_that_waits_for_its_child())
    at = at_us(trace)
    assert at[trace.span(1).start] == pytest.approx(4000, rel=0.04)
    assert at[trace.span(0).stop - 1] == pytest.approx(10_000, rel=0.04)


def test_a_wake_up_by_an_interrupt_or_by_others_is_a_sleep():
    for cpu, current, flags in ((0, 0, 8), (1, OTHER, 0)):
        host = Host()
        host.at(0).starts(0)
        host.at(1).switch(0, 0, state=SLEEPING)
        host.at(2).switch(1, current)
        host.at(6).wakes(cpu, ROOT, flags=flags)
        host.at(7).switch(0, ROOT)
        host.at(8).switch(0, 0, state=ZOMBIE)
        assert rows(build(host), 0) == [("sleep", 1000, 5000), ("exit", 1000, 0)]


def test_a_timer_that_interrupts_a_task_of_the_command_is_no_wake_up_of_that_task():
    host = a_parent_that_waits_for_its_child()
    before = build(host)
    host.events = [
        e if e.name != "sched/sched_waking" else type(e)(e.time_ns, 1, e.name, CHILD, 8, e.fields) for e in host.events
    ]
    after = build(host)
    assert [op for op, *_ in rows(before, 1)] == ["name", "wake", "exit"]
    assert [op for op, *_ in rows(after, 1)] == ["name", "exit"]
    assert rows(after, 0)[1] == ("sleep", 1000, 5000)


def test_a_preempted_task_goes_on_and_what_others_used_is_not_its_own():
    host = Host()
    host.at(0).starts(0)
    host.at(2).switch(0, OTHER, state=PREEMPTED)
    host.at(8).switch(0, ROOT)
    host.at(9).switch(0, 0, state=ZOMBIE)
    trace = build(host)
    assert rows(trace, 0) == [("exit", 3000, 0)]
    assert trace.info.wakeups == 0


def test_a_wake_up_that_comes_before_the_task_has_left_its_cpu_ends_its_sleep():
    host = Host()
    host.at(0).starts(0)
    host.at(1).forks(0, CHILD)
    host.at(1).switch(1, CHILD)
    host.at(3).wakes(1, ROOT)
    host.at(3.01).switch(0, 0, state=SLEEPING)
    host.at(3.02).switch(0, ROOT)
    host.at(4).switch(0, 0, state=ZOMBIE)
    assert [op for op, *_ in rows(build(host), 0)] == ["fork", "wait", "exit"]


def test_a_switch_from_the_idle_task_that_the_kernel_does_not_tell_is_seen_by_what_follows():
    """An idle CPU takes a task as soon as it is ready: the child when it is made, the parent when it is woken."""
    host = a_parent_that_waits_for_its_child()
    host.events[3:] = [e for e in host.events[3:] if e.name != "sched/sched_switch" or e.fields[0]]
    trace = build(host)
    assert rows(trace, 0) == [("fork", 2000, 1), ("wait", 1000, 0), ("exit", 2000, 0)]
    assert rows(trace, 1) == [("name", 2000, 0), ("wake", 4000, 0), ("exit", 1000, 0)]
    assert trace.info.delays_us == ()  # how long they waited, nobody saw


def test_threads_nice_values_and_tasks_left_behind():
    host = Host()
    host.at(0).starts(0)
    host.at(1).forks(0, CHILD, thread=True)
    host.at(1).switch(1, CHILD)
    host.at(2).switch(1, 0, state=PREEMPTED, prio=125)
    host.at(3).switch(0, 0, state=ZOMBIE)
    trace = build(host)
    assert rows(trace, 0)[0] == ("thread", 1000, 1)
    assert rows(trace, 1) == [("nice", 1000, 5), ("exit", 0, 0)]


def test_nice_values_count_from_the_recorders_own():
    host = Host()
    host.at(0).starts(0)
    host.at(2).switch(0, 0, state=ZOMBIE, prio=110)
    assert rows(build(host, base_nice=-10), 0) == [("exit", 2000, 0)]
    assert rows(build(host), 0) == [("nice", 2000, -10), ("exit", 0, 0)]


def test_a_recording_without_the_commands_end_is_no_trace():
    host = Host()
    host.at(0).starts(0)
    with pytest.raises(InfraError, match="the command's exit is not among the recorded events"):
        build(host)
    with pytest.raises(InfraError, match="the command's start is not among the recorded events"):
        build(Host())


def test_what_others_took_is_told():
    host = Host()
    host.at(0).starts(0)
    host.at(1).switch(1, OTHER)
    host.at(2).switch(0, OTHER, state=PREEMPTED)
    host.at(8).switch(0, ROOT)
    host.at(9).switch(0, 0, state=SLEEPING)
    host.at(12).wakes(0, ROOT, flags=8)
    host.at(12).switch(0, ROOT)
    host.at(13).switch(0, 0, state=ZOMBIE)
    info = build(host).info
    assert (info.wall_us, info.quiet_us, info.cpus) == (13_000, 7_000, 2)
    assert build(a_parent_that_waits_for_its_child()).info.quiet_us == 10_000


def test_half_of_two_ready_tasks_is_half_the_pace():
    host = Host()
    host.at(0).starts(0)
    host.at(0).switch(1, OTHER)
    host.at(0).forks(0, CHILD)
    host.at(4).switch(1, CHILD)
    host.at(6).switch(1, 0, state=ZOMBIE)
    host.at(6).switch(0, 0, state=ZOMBIE)
    assert build(host).info.quiet_us == 4_000


def test_only_what_concerns_the_command_is_kept():
    host = a_parent_that_waits_for_its_child()
    host.switch(0, OTHER)
    host.wakes(0, OTHER)
    host.switch(0, OTHER + 1)
    known = descendants(host.events, ROOT)
    assert known == {ROOT, CHILD}
    kept = [event for event in host.events if concerns(event, known)]
    assert len(kept) == len(host.events) - 2

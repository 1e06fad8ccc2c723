# SPDX-License-Identifier: Apache-2.0
"""Each rule of a stall's cause, on a dump that shows it and on one that does not, and what is made of strange dumps."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from gate_events import changed, events, verdict

from policy_lake.codes import Code
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.limits import DUMP_BYTES
from verifier_vm.judge.cause import (
    Scene,
    another_queue_first,
    behind_in_vtime,
    behind_later_ones,
    behind_realtime,
    bound_go_first,
    explain,
    global_goes_first,
    in_no_queue,
    nobody_looks,
    own_cpu_does_not_look,
    slice_without_end,
    stuck_task,
)
from verifier_vm.judge.dump import ENDLESS_SLICE, GLOBAL_DSQ, LOCAL_DSQ, Cpu, Dump, Task, parse_dump
from verifier_vm.judge.kernel_words import cause_of_exit, cause_of_warnings
from verifier_vm.judge.witness import LINES, from_dump
from verifier_vm.object.proven import Proven

GOLDEN = Path(__file__).parents[1] / "golden" / "dumps"
WATCHDOG = "runnable task stall: watchdog failed to check in for 2.004s"
MS = 1_000_000


def told(name):
    return (GOLDEN / f"{name}.txt").read_text()


def stuck(**more):
    return Task("W1-hog", 9, 0, False, 2000, **{"dsq": 7, "cpus": 3, "slice_ns": 20 * MS, **more})


def waiter(waited_ms, **more):
    return Task("W2-ping", 8, 0, False, waited_ms, **{"dsq": 7, "cpus": 3, "slice_ns": 20 * MS, **more})


def runner(cpu=0, **more):
    return Task("W6-pinned", 5 + cpu, cpu, True, 4, **{"cpus": 1 << cpu, "slice_ns": 5 * MS, **more})


def scene(task, *others, running=None, idle=(), kind="ext_sched_class", **more):
    """Two CPUs, each with one of the policy's tasks or idle."""
    running = [runner(0), runner(1)] if running is None else running
    cpus = [Cpu(t.cpu, t.comm, t.pid, kind, (t, *((task, *others) if t.cpu == task.cpu else ()))) for t in running] + [
        Cpu(n, f"swapper/{n}", 0, "idle_sched_class", (task, *others) if n == task.cpu else ()) for n in idle
    ]
    return Scene(task, Dump(tuple(cpus)), **more)


KEEPS = {"proven": Proven(keeps=True)}
KEPT, SERVED = stuck(dsq=None, in_custody=True), waiter(20, dsq=GLOBAL_DSQ)
FOR = {
    global_goes_first: ("F43", "guess", scene(KEPT, SERVED, **KEEPS)),
    in_no_queue: ("F01", "evidence", scene(stuck(dsq=None, in_custody=True))),
    behind_realtime: ("F31", "evidence", scene(stuck(), kind="rt_sched_class")),
    slice_without_end: ("F19", "evidence", scene(stuck(), running=[runner(0, slice_ns=ENDLESS_SLICE),
                                                                   runner(1, slice_ns=3000 * MS)])),
    own_cpu_does_not_look: ("F13", "evidence", scene(stuck(cpus=1), running=[runner(1)], idle=[0])),
    nobody_looks: ("F03", "evidence", scene(stuck(), running=[runner(1)], idle=[0])),
    bound_go_first: ("F43", "evidence", scene(stuck(), waiter(20, dsq=LOCAL_DSQ, cpus=1))),
    behind_in_vtime: ("F18", "guess", scene(stuck(by_vtime=True, vtime=90), waiter(30, by_vtime=True, vtime=8))),
    another_queue_first: ("F03", "guess", scene(stuck(), waiter(1900), waiter(20, dsq=6),
                                                running=[runner(0, cpus=3), runner(1, cpus=3)])),
    behind_later_ones: ("F18", "guess", scene(stuck(), waiter(1900), waiter(20),
                                              running=[runner(0, cpus=3), runner(1, cpus=3)])),
}  # fmt: skip
AGAINST = [
    (global_goes_first, scene(KEPT, SERVED)),  # a policy that keeps nobody has lost it
    (global_goes_first, scene(KEPT, waiter(1900, dsq=GLOBAL_DSQ), **KEEPS)),  # they have no turns either
    (global_goes_first, scene(KEPT, SERVED, waiter(20, dsq=None, in_custody=True), **KEEPS)),  # dispatch takes some
    (global_goes_first, scene(KEPT, SERVED, running=[runner(1)], idle=[0], **KEEPS)),  # dispatch was called there
    (global_goes_first, scene(stuck(dsq=GLOBAL_DSQ), SERVED, **KEEPS)),
    (in_no_queue, scene(stuck(in_custody=True))),  # custody lasts while it stands in a queue of the policy's
    (in_no_queue, scene(stuck(dsq=None))),
    (behind_realtime, scene(stuck())),
    (behind_realtime, scene(stuck(), kind="rt_sched_class", running=[replace(runner(0), comm="init")], idle=[1])),
    (slice_without_end, scene(stuck(), running=[runner(0, slice_ns=ENDLESS_SLICE), runner(1)])),
    (slice_without_end, scene(stuck(), running=[runner(0, slice_ns=ENDLESS_SLICE)], idle=[1])),
    (own_cpu_does_not_look, scene(stuck(cpus=1))),
    (own_cpu_does_not_look, scene(stuck(cpus=1), waiter(1900), running=[runner(1)], idle=[0])),
    (nobody_looks, scene(stuck())),
    (nobody_looks, scene(stuck(dsq=LOCAL_DSQ), running=[runner(1)], idle=[0])),
    (bound_go_first, scene(stuck(), running=[runner(0), runner(1, cpus=3)])),
    (bound_go_first, scene(stuck(), waiter(900, cpus=1))),  # bound tasks stand in the same queue
    (bound_go_first, scene(stuck(cpus=1))),
    (behind_in_vtime, scene(stuck(by_vtime=True, vtime=7), waiter(30, by_vtime=True, vtime=8))),
    (behind_in_vtime, scene(stuck(vtime=90), waiter(30, vtime=8))),
    (another_queue_first, scene(stuck(), waiter(20))),
    (another_queue_first, scene(stuck(), waiter(20), waiter(20, dsq=6))),
    (behind_later_ones, scene(stuck(), waiter(1900))),  # nobody had a turn
    (behind_later_ones, scene(stuck(), *[waiter(20)] * 120)),  # a long queue, and in order
    (behind_later_ones, scene(stuck(by_vtime=True), waiter(20, by_vtime=True))),
    (behind_later_ones, scene(stuck(dsq=LOCAL_DSQ), waiter(20, dsq=LOCAL_DSQ))),
    (behind_later_ones, scene(stuck(), waiter(20), running=[runner(1)], idle=[0])),
]


@pytest.mark.parametrize("rule", FOR, ids=lambda rule: rule.__name__)
def test_a_rule_holds_where_the_dump_shows_it(rule):
    bug, basis, given = FOR[rule]
    found = rule(given)
    assert (found.cause.bug, found.basis) == (bug, basis) and found.why and found.cause.advice
    assert explain(given) == found, "an earlier rule says otherwise"


@pytest.mark.parametrize(("rule", "given"), AGAINST)
def test_a_rule_does_not_hold_where_the_dump_shows_something_else(rule, given):
    assert rule(given) is None


def test_bound_tasks_that_were_not_seen_in_a_local_queue_are_a_guess():
    assert bound_go_first(scene(stuck())).basis == "guess"


def test_what_is_said_of_bound_tasks_is_true_of_the_queue_that_they_stand_in():
    in_local, in_own, running = (
        bound_go_first(scene(stuck(), *others))
        for others in ([waiter(20, dsq=LOCAL_DSQ, cpus=1)], [waiter(20, dsq=12, cpus=1)], [])
    )
    assert "local queue" in in_local.why and "local queue" in in_local.cause.advice
    assert "in queue 0xc" in in_own.why and in_own.basis == "guess"
    for found in (in_own, running):
        assert found.cause.bug == "F43" and "local queue" not in found.why + found.cause.advice
    assert "in queue" not in running.why.partition(":")[0]


@pytest.mark.parametrize(("dsq", "bug"), [((1 << 62) | 5, "F03"), ((1 << 63) - 1, "F03"), (1 << 63, None)])
def test_a_queue_whose_highest_bit_is_not_set_is_the_policys(dsq, bug):
    found = nobody_looks(scene(stuck(dsq=dsq), running=[runner(1)], idle=[0]))
    assert (found.cause.bug if found else None) == bug


def test_who_waits_under_enq_last_beside_an_idle_cpu_is_likely_its_last_task():
    lost = stuck(dsq=None, in_custody=True)
    found = in_no_queue(scene(lost, running=[runner(1)], idle=[0], flags=1 << 1))
    assert (found.cause.bug, found.basis) == ("F24", "guess")
    assert in_no_queue(scene(lost, running=[runner(1)], idle=[0])).cause.bug == "F01"


@pytest.mark.parametrize(("place", "bug"), [("W7", "F14"), ("W8", "F15"), ("mix", "F18")])
def test_which_bug_of_vtime_it_is_the_workload_tells(place, bug):
    assert behind_in_vtime(replace(FOR[behind_in_vtime][2], place=place)).cause.bug == bug


KERNELS = [
    ("pinned_first", WATCHDOG, "F43", "evidence", "inserted into the local queue of their CPU"),
    ("lost", "W5-wanderer[124] failed to run for 2.012s", "F01", "evidence", "W5-wanderer[124] is in no queue"),
    ("not_emptied", "rcu_preempt[15] failed to run for 2.036s", "F03", "evidence", "queue 0xb for 2.0 s beside 3 more"),
    ("endless_slice", WATCHDOG, "F19", "evidence", "runs W1-hog[113], whose slice never ends"),
    ("clock_goes_back", WATCHDOG, "F18", "guess", "behind 22 that came later"),
]


@pytest.mark.parametrize(("name", "said", "bug", "basis", "why"), KERNELS)
def test_dumps_of_the_kernel_tell_the_cause(name, said, bug, basis, why):
    dump = parse_dump(told(name))
    task = stuck_task(dump, said)
    found = explain(Scene(task, dump, place="mix"))
    assert (found.cause.bug, found.basis) == (bug, basis) and why in found.why, found
    witness = from_dump(dump, task, None)
    assert 2 <= len(witness) <= LINES and any(line.endswith("<- stuck") for line in witness), witness


def test_the_verdict_has_the_cause_and_the_witness_and_keeps_the_raw_words():
    record = ExitRecord(ExitKind.ERROR_STALL, 0, *WATCHDOG.split(": ", 1))
    made = changed("policy:W1", "sched.after.state", "disabled")
    made = changed("detach", "exit_record", record, changed("detach", "dump", told("pinned_first"), made))
    rejection = verdict(made).rejection
    assert (rejection.bug, rejection.basis) == ("F43", "evidence")
    assert rejection.code == Code.STALL and rejection.reason.startswith(WATCHDOG)
    assert any("runs W6-pinned[135] (bound to CPU 0), its slice has 4.0 ms left" in line for line in rejection.witness)
    assert "dsq_vtime=" in rejection.evidence and verdict(events("accepted")).accepted


@pytest.mark.parametrize(("said", "exercise", "bug", "basis"), [
    ("rcu_preempt[15] failed to run for 2.036s", "W1", "F03", "evidence"), ("", "W1", "F19", "guess"),
    ("", "W10", "F03", "guess"),  # where a CPU had half of its time left
])  # fmt: skip
def test_where_the_watchdog_was_held_up_a_cpu_that_looks_idle_shows_nothing(said, exercise, bug, basis):
    words = ("runnable task stall", said) if said else WATCHDOG.split(": ", 1)
    record = ExitRecord(ExitKind.ERROR_STALL, 0, *words)
    made = changed(f"policy:{exercise}", "sched.after.state", "disabled")
    made = changed("detach", "exit_record", record, changed("detach", "dump", told("not_emptied"), made))
    assert (verdict(made).rejection.bug, verdict(made).rejection.basis) == (bug, basis)


def test_a_stall_without_a_dump_is_a_guess_by_the_threads_name():
    record = ExitRecord(ExitKind.ERROR_STALL, 0, "runnable task stall", "W6-pinned[3] failed to run for 2.9s")
    made = changed("detach", "exit_record", record, changed("policy:W1", "sched.after.state", "disabled"))
    assert (verdict(made).rejection.bug, verdict(made).rejection.basis) == ("F13", "guess")


def test_that_a_cpu_does_not_look_is_a_guess_where_vtimes_cannot_be_compared():
    alone = stuck(cpus=1, by_vtime=True, vtime=500)
    before = waiter(100, cpus=1, by_vtime=True, vtime=1)
    elsewhere = waiter(1900, cpus=2, dsq=8, by_vtime=True, vtime=900)
    for others, basis in (
        ((), "evidence"), ((replace(elsewhere, by_vtime=False),), "evidence"), ((elsewhere,), "guess"),
        ((before,), "guess"), ((replace(before, vtime=501),), "evidence"),
        ((replace(before, waited_ms=1900),), "evidence"),
    ):  # fmt: skip
        found = own_cpu_does_not_look(scene(alone, *others, running=[runner(1)], idle=[0]))
        assert (found.cause.bug, found.basis) == ("F13", basis), others
        assert ("queues by vtime" in found.why or "may look there" in found.why) is (basis == "guess")
    plain = scene(replace(alone, by_vtime=False), elsewhere, running=[runner(1)], idle=[0])
    assert own_cpu_does_not_look(plain).basis == "evidence"


def test_a_kick_that_was_never_delivered_is_no_callback_that_runs_too_long():
    lockup = "watchdog: BUG: soft lockup - CPU#1 stuck for 7s! [loader:99]"
    assert (cause_of_exit(lockup).bug, cause_of_exit(lockup).basis) == ("F36", "guess")
    found = cause_of_warnings((lockup, "RIP: 0010:irq_work_sync+0x3f/0x60", " free_kick_syncs+0x52/0xa0"), lockup)
    assert (found.bug, found.basis) == ("kernel", "guess") and "never delivered" in found.advice
    left = changed("detach", "ok", False, changed("detach", "kmsg", ("Workqueue: events free_kick_syncs_fn",)))
    assert verdict(left).rejection.bug == "kernel" and verdict(changed("detach", "ok", False)).rejection.bug == "F36"


def test_names_with_brackets_and_blanks_are_read_whole():
    dump = parse_dump("CPU 0   : nr_run=1 flags=0x1\n          curr=a b[1][2] class=x\n\n  R a] [9][77] *root -5ms\n")
    (task,) = dump.waiting
    assert (task.comm, task.pid, task.waited_ms, dump.cpus[0].comm) == ("a] [9]", 77, 5, "a b[1]")


def test_a_dump_that_was_damaged_is_read_as_far_as_it_makes_sense():
    whole, made = told("pinned_first"), random.Random(7)
    for _ in range(300):
        text = list(whole[: made.randrange(len(whole))])
        for _ in range(made.randrange(40)):
            text[made.randrange(len(text))] = made.choice("0123456789[]-+=x,\n\t *\x00é") if text else ""
            if not text:
                break
        dump = parse_dump("".join(text))
        if task := stuck_task(dump, WATCHDOG):
            explain(Scene(task, dump))
        assert len(from_dump(dump, task, None)) <= LINES


@pytest.mark.parametrize(
    "text",
    [
        "", "\x00" * 1000, "CPU " * 30000, "[" * DUMP_BYTES, "CPU 0   : nr_run=1 \n" * 9000,
        "CPU 0   : nr_run=1 \n" + "  R a[1] -1ms\n" * 9000,
        "CPU 0   : nr_run=1 \n  R a[1] -1ms\n      cpus=" + "f" * 60000,
        "CPU 0   : nr_run=1 \n  R a[1] -1ms\n      slice=" + "9" * 50000,
    ],
)  # fmt: skip
def test_a_hostile_dump_costs_little(text):
    dump = parse_dump(text)
    assert sum(len(cpu.tasks) for cpu in dump.cpus) <= 4096
    assert len(from_dump(dump, stuck_task(dump, WATCHDOG), None)) <= LINES


@pytest.mark.parametrize(("waited_ms", "is_stuck"), [(1002, True), (1001, False)])
def test_where_the_watchdog_did_not_run_who_had_a_turn_since_is_not_the_stuck_one(waited_ms: int, is_stuck: bool):
    dump = Dump((Cpu(0, "W6-pinned", 5, "ext_sched_class", (runner(0), waiter(waited_ms))),))
    assert (stuck_task(dump, WATCHDOG) is not None) is is_stuck
    assert any("<- stuck" in line for line in from_dump(dump, stuck_task(dump, WATCHDOG), None)) is is_stuck


@pytest.mark.parametrize("where", ["of a queue of its own", "of none"])
def test_before_whom_the_kernel_serves_the_global_queue_is_said_in_words(where: str):
    found = explain(scene(stuck() if where == "of a queue of its own" else KEPT, SERVED, **KEEPS))
    assert found is not None and "in the global queue" in found.why and "before it calls dispatch" in found.why

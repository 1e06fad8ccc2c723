# SPDX-License-Identifier: Apache-2.0
"""The kernel's dump, line by line: what each number of it becomes, and what a line that is none becomes."""

from __future__ import annotations

import pytest

from verifier_vm.judge.dump import BUILT_IN, Cpu, Dump, Task, parse_dump
from verifier_vm.judge.task_words import place_in_words
from verifier_vm.judge.witness import from_dump

CPU = "CPU {n:<4}: nr_run={tasks} flags=0x1 cpu_rel=0 ksync=967\n          curr={comm}[{pid}] class={kind}\n"
TASK = "  R {comm}[{pid}] *root {ms}ms\n"
FIELDS = (
    "      scx_state/flags=4/0x1 dsq_flags={flags} ops_state/qseq={custody}/0\n"
    "      sticky/holding_cpu=-1/-1 dsq_id={dsq}\n      dsq_vtime={vtime} slice={slice} weight=100\n"
    "      cpus={cpus} no_mig=0\n"
)
USUAL = {"flags": "0x0", "custody": "0", "dsq": "0x7", "vtime": "5", "slice": "20000000", "cpus": "3"}


def head(n=0, comm="hog", pid=9, kind="ext_sched_class"):
    return CPU.format(n=n, tasks=1, comm=comm, pid=pid, kind=kind)


def task(ms="-1500", comm="hog", pid=9, **fields):
    return TASK.format(comm=comm, pid=pid, ms=ms) + FIELDS.format(**{**USUAL, **fields})


def only(text):
    (cpu,) = parse_dump(text).cpus
    (found,) = cpu.tasks
    return found


def test_every_number_of_a_task_is_read():
    assert only(head(3) + task(flags="0x1", custody="2", vtime="77", cpus="f0")) == Task(
        "hog", 9, 3, False, 1500, 7, True, True, 77, 20_000_000, 0xF0
    )
    assert only(head() + task(flags="0x2", custody="12")) == Task(
        "hog", 9, 0, False, 1500, 7, False, False, 5, 20_000_000, 3
    )


def test_what_is_not_told_of_a_task_is_nothing():
    assert only(head() + TASK.format(comm="hog", pid=9, ms="-20")) == Task("hog", 9, 0, False, 20)
    bare = Task("hog", 9, 0, False, 20)
    assert (bare.dsq, bare.vtime, bare.slice_ns, bare.cpus, bare.in_custody, bare.by_vtime) == (
        None,
        0,
        0,
        0,
        False,
        False,
    )
    odd = only(head() + task(flags="what", custody="x", dsq="(n/a)", vtime="-1", slice="much", cpus="all"))
    assert odd == Task("hog", 9, 0, False, 1500)
    assert only(head() + task() + "      ops_state/qseq=2/0\n") == Task(
        "hog", 9, 0, False, 1500, 7, True, False, 5, 20_000_000, 3
    )


@pytest.mark.parametrize(("ms", "waited"), [("-1", 1), ("-0", 0), ("+0", 0), ("+700", 0), ("-2500", 2500)])
def test_who_runs_since_a_while_or_was_woken_in_the_future_has_not_waited(ms, waited):
    assert only(head() + task(ms)).waited_ms == waited


@pytest.mark.parametrize(
    ("dsq", "place"),
    [
        ("0x8000000000000001", "in the global queue"), ("0x8000000000000002", "in its CPU's local queue"),
        ("0x8000000000000000", "in queue 0x8000000000000000"), ("0x8000000000000003", "in queue 0x8000000000000003"),
        ("0x1", "in queue 0x1"), ("0x0", "in queue 0x0"), ("0x00000000000000011", "between queues"),
        ("(n/a)", "between queues"),
    ],
)  # fmt: skip
def test_queues_by_their_numbers(dsq, place):
    found = only(head() + task(dsq=dsq))
    assert place_in_words(found) == place
    assert (found.dsq or 0) >= BUILT_IN or found.dsq == (int(dsq, 16) if dsq in ("0x1", "0x0") else None)


def test_which_cpus_a_task_may_use():
    bound, wide, unknown = (only(head() + task(cpus=mask)) for mask in ("4", "6", ""))
    assert [bound.may_use(cpu) for cpu in range(4)] == [False, False, True, False] and bound.bound
    assert [wide.may_use(cpu) for cpu in range(4)] == [False, True, True, False] and not wide.bound
    assert all(unknown.may_use(cpu) for cpu in range(4)) and not unknown.bound
    most = "ffffffff," * 255 + "ffffffff"
    assert only(head() + task(cpus=most)).cpus == (1 << 8192) - 1
    assert only(head() + task(cpus="0" * 2304)).cpus == 0 and only(head() + task(cpus="1" + "0" * 2303)).bound
    assert only(head() + task(cpus="1" * 2305)).cpus == 0, "no kernel has so many"


def test_cpus_and_who_runs_there():
    text = head(0, "swapper/0", 0, "idle_sched_class") + head(1) + task().replace("  R", " *R", 1) + task("-30", pid=8)
    dump = parse_dump(text)
    assert [(cpu.number, cpu.comm, cpu.pid, cpu.kind) for cpu in dump.cpus] == [
        (0, "swapper/0", 0, "idle_sched_class"), (1, "hog", 9, "ext_sched_class"),
    ]  # fmt: skip
    assert dump.cpus[0].current is None and dump.cpus[1].current.pid == 9 and [one.pid for one in dump.waiting] == [8]
    assert (Cpu(2).comm, Cpu(2).pid, Cpu(2).kind, Cpu(2).tasks) == ("", 0, "", ())
    assert parse_dump("") == Dump((), -1) and parse_dump("noise\n") == Dump()


def test_a_second_name_of_a_cpus_task_and_lines_before_any_are_not_taken():
    dump = parse_dump(task() + head() + "          curr=other[1] class=rt_sched_class\n" + task(pid=7))
    assert [(cpu.comm, [one.pid for one in cpu.tasks]) for cpu in dump.cpus] == [("hog", [7])]


@pytest.mark.parametrize("pid", [0, 1, 135])
def test_the_first_trigger_counts_and_one_below_a_cpu_does_not(pid):
    line = "kworker/u8:1[{}] triggered exit kind 1026 on CPU 0:\n"
    assert parse_dump(line.format(pid) + line.format(99) + head()).trigger == pid
    assert parse_dump(head() + line.format(99)).trigger == parse_dump(head()).trigger == -1


def test_a_cpu_is_free_that_idles_or_runs_the_watchdog_that_noticed():
    told = "kworker/1:1[44] triggered exit kind 1026 on CPU 1:\n"
    dump = parse_dump(told + head(0, "swapper/0", 0, "idle_sched_class") + head(1, "kworker/1:1", 44) + head(2, "x", 44)
                      + head(3, "kworker/3:1", 45))  # fmt: skip
    assert [dump.is_free(cpu) for cpu in dump.cpus] == [True, True, False, False]
    assert not Dump((Cpu(0),)).is_free(Cpu(0, "kworker/0:0"))


def test_behind_the_event_counters_nothing_is_read():
    text = head() + task() + "Event counters\n--------------\n" + task(pid=7) + head(1) + task(pid=6)
    assert [one.pid for one in parse_dump(text).waiting] == [9]


def test_of_so_many_tasks_4096_are_kept():
    lines = "  R a[1] -1ms\n"
    for given in (4095, 4096, 4097, 4600):
        text = "CPU 0   : nr_run=1 \n" + lines * given
        found = parse_dump(text).cpus[0].tasks
        assert len(found) == min(given, 4096), given


def test_a_task_beyond_them_ends_the_dump():
    many = "  R a[1] -1ms\n" * 4097
    assert len(parse_dump("CPU 0   : nr_run=1 \n" + many + "CPU 1   : nr_run=1 \n").cpus) == 1
    assert from_dump(Dump(), None, None) == ()

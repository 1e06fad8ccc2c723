# SPDX-License-Identifier: Apache-2.0
"""A witness for people, line by line: who waited where, who ran, who had the CPU time, and how many more there are."""

from __future__ import annotations

from pathlib import Path

from gate_events import events, labelled

from verifier_vm.judge.dump import ENDLESS_SLICE, LOCAL_DSQ, Cpu, Dump, Task, parse_dump, parse_dumps
from verifier_vm.judge.readings import Group, Reading, read_run
from verifier_vm.judge.witness import LINES, from_dump, from_reading, from_watcher

GOLDEN_DUMPS = Path(__file__).parents[1] / "golden/dumps"


def waiting(pid, waited_ms, cpu=0, **more):
    return Task("hog", pid, cpu, False, waited_ms, **{"dsq": 7, "cpus": 3, **more})


def running(pid, cpu=0, **more):
    return Task("pin", pid, cpu, True, 4, **{"cpus": 1 << cpu, "slice_ns": 5_500_000, **more})


def cpu(number, *tasks, kind="ext_sched_class", comm="pin", pid=1):
    return Cpu(number, comm, pid, kind, tasks)


def reading(**run_ms):
    groups = {name: Group(2, ms, 0.0, 0.0, 0.0, 0.0, 0.0, 1500.0, 0) for name, ms in run_ms.items()}
    return Reading("mix", 2, 3600.0, groups, {}, {})


def test_who_waits_and_who_runs_the_longest_first():
    stuck = waiting(9, 2004, dsq=LOCAL_DSQ, cpus=1)
    dump = Dump((cpu(0, running(5), stuck), cpu(1, running(6, 1), waiting(8, 3000, 1, dsq=None))))
    assert from_dump(dump, stuck, None) == (
        " -3.000  CPU 1   hog[8] waits between queues",
        " -2.004  CPU 0   hog[9] waits in its CPU's local queue (bound to CPU 0)  <- stuck",
        "  0.000  CPU 0   runs pin[5] (bound to CPU 0), its slice has 5.5 ms left",
        "  0.000  CPU 1   runs pin[6] (bound to CPU 1), its slice has 5.5 ms left",
    )
    assert [line for line in from_dump(dump, None, None) if "stuck" in line] == []


def test_what_a_cpu_does():
    told = Dump(
        (
            cpu(0, kind="idle_sched_class"), cpu(1, kind="rt_sched_class", comm="init", pid=1), cpu(2, kind=""),
            cpu(3, running(44, 3, slice_ns=ENDLESS_SLICE, cpus=15)),
        )
    )  # fmt: skip
    assert [line.strip() for line in from_dump(told, None, None)] == [
        "0.000  CPU 0   idles", "0.000  CPU 1   runs init[1] (rt_sched_class)",
        "0.000  CPU 2   runs pin[1] (class unknown)", "0.000  CPU 3   runs pin[44], its slice has no end",
    ]  # fmt: skip
    watchdog = Task("kworker/0:1", 44, 0, True, 0)
    told = Dump((cpu(0, watchdog, comm="kworker/0:1", pid=44),), trigger=44)
    assert from_dump(told, None, None) == ("  0.000  CPU 0   runs kworker/0:1[44], the kernel's watchdog",)


def test_of_many_that_wait_the_longest_and_the_least_are_told_and_the_others_counted():
    stuck = waiting(99, 900)
    for others, told, hidden in ((3, 3, 0), (4, 4, 0), (5, 4, 1), (9, 4, 5)):
        tasks = [waiting(n, 1000 * (20 - n)) for n in range(others)]
        lines = from_dump(Dump((cpu(0, *tasks, stuck),)), stuck, None)
        waits = [line for line in lines if " waits " in line]
        assert len(waits) == told + 1 and waits[-1].endswith("<- stuck"), "who waited less is told behind"
        assert f"hog[{others - 1}]" in waits[-2] and [f"hog[{n}]" in waits[n] for n in range(told - 1)] == [True] * (
            told - 1
        )
        assert [line.strip() for line in lines if "more wait" in line] == (
            [f"and {hidden} more wait"] if hidden else []
        )


def test_of_many_cpus_four_are_told_and_the_others_counted():
    for count, told, rest in ((4, 4, []), (5, 4, ["and 1 CPUs more"]), (9, 4, ["and 5 CPUs more"])):
        lines = from_dump(Dump(tuple(cpu(n, kind="idle_sched_class") for n in range(count))), None, None)
        assert sum("idles" in line for line in lines) == told
        assert [line.strip() for line in lines if "more" in line] == rest


def test_the_whole_fits_where_there_is_most_of_everything():
    stuck = waiting(99, 900)
    cpus = [
        cpu(n, running(n, n), *([waiting(50 + k, 2000 + k) for k in range(9)] + [stuck] if n == 0 else []))
        for n in range(9)
    ]
    lines = from_dump(Dump(tuple(cpus)), stuck, reading(a=1.0))
    assert len(lines) == LINES == 12 and lines[-1].startswith("CPU time in ") and "CPUs more" in lines[-2]
    assert sum("more wait" in line for line in lines) == 1 and sum("<- stuck" in line for line in lines) == 1


def test_who_had_the_cpu_time_the_greatest_first():
    assert from_reading(reading(less=600.0, most=4200.0)) == (
        "CPU time in 3.6 s on 2 CPUs: 2 most 4.2 s (longest wait 1.5 s), 2 less 0.6 s (longest wait 1.5 s)",
    )
    for names, more in (("abc", ""), ("abcd", ", 1 kinds more"), ("abcdef", ", 3 kinds more")):
        (line,) = from_reading(reading(**{name: 9000.0 - ord(name) for name in names}))
        assert line.count("longest wait") == 3 and line.endswith(f"){more}") and "2 a " in line and "2 c " in line


def test_a_stall_that_the_guests_watcher_found_is_told_by_the_dump_that_has_its_thread() -> None:
    lost = (GOLDEN_DUMPS / "lost.txt").read_text()
    whole = parse_dump(lost)
    first = next(task for task in whole.waiting if task.comm.startswith("W"))
    other = lost.replace(f"{first.comm}[", "X-else[")
    found = read_run(labelled(events("accepted"), "policy:W1"))
    end = "\nEvent counters\n"
    assert from_watcher("", first.comm, found) == from_reading(found), "nothing was written down"
    assert from_watcher(other, first.comm, found) == from_reading(found), "of somebody else"
    told = from_watcher(other + end + lost + end + other, first.comm, found)
    assert told == from_dump(whole, first, found) and any("<- stuck" in line for line in told)
    assert len(parse_dumps(other + end + lost)) == 2 and parse_dump(other + end + lost) == parse_dump(lost)

# SPDX-License-Identifier: Apache-2.0
"""Decisions of the rules of a stall's cause that test_cause.py does not notice; `make mutants` found them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_events import changed, labelled, taken_off
from gate_events import told as reported
from test_cause import FOR, MS, runner, scene, stuck, told, waiter
from test_thresholds import group, reading

from policy_lake.codes import Code
from policy_lake.exit_record import ExitKind, ExitRecord
from verifier_vm.judge.cause import (
    Scene,
    another_queue_first,
    behind_in_vtime,
    behind_realtime,
    bound_go_first,
    explain,
    in_no_queue,
    nobody_looks,
    own_cpu_does_not_look,
    slice_without_end,
    stuck_task,
)
from verifier_vm.judge.dump import GLOBAL_DSQ, LOCAL_DSQ, Dump
from verifier_vm.judge.ended import _none_idled, ended_by_itself, fell_off, kernels_words
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.kernel_words import cause_of_exit
from verifier_vm.judge.task_words import place_in_words


@pytest.mark.parametrize(("waited_ms", "young"), [(499, True), (500, True), (501, False)])
def test_who_waited_a_quarter_as_long_had_his_turn_since(waited_ms: int, young: bool) -> None:
    assert scene(stuck()).is_young(waiter(waited_ms)) is young


def test_a_scene_has_no_flags_and_no_place_unless_they_are_given() -> None:
    assert (Scene(stuck(), Dump()).flags, Scene(stuck(), Dump()).place) == (0, "")


def test_a_task_in_a_local_queue_can_run_on_its_cpu_alone() -> None:
    assert [cpu.number for cpu in scene(stuck()).cpus] == [0, 1]
    assert [cpu.number for cpu in scene(stuck(dsq=LOCAL_DSQ)).cpus] == [0]


@pytest.mark.parametrize("pid", [0, 1])
def test_where_nobody_is_named_the_longest_wait_is_the_stuck_ones(pid: int) -> None:
    others = (waiter(30), replace(waiter(20), pid=pid))
    dump = scene(stuck(), *others).dump
    assert stuck_task(dump, "watchdog failed to check in") == stuck()
    assert stuck_task(dump, f"a[{pid}] failed to run for 2s") == others[1]
    assert stuck_task(Dump(), "") is None


def test_of_those_in_no_queue_the_others_are_counted() -> None:
    lost = stuck(dsq=None, in_custody=True)
    found = in_no_queue(scene(lost, waiter(20, in_custody=True), waiter(10, dsq=None)))
    assert found is not None and found.why.endswith("has not inserted it since")
    found = in_no_queue(scene(lost, waiter(20, dsq=None, in_custody=True), waiter(9, dsq=None, in_custody=True)))
    assert found is not None and found.why.endswith("has not inserted it since, and 2 more")


@pytest.mark.parametrize("rule", [behind_realtime, bound_go_first])
def test_of_several_cpus_that_others_have_the_first_is_named(rule) -> None:
    found = rule(FOR[rule][2])
    assert " CPU 0 " in found.why and " CPU 1 " not in found.why


@pytest.mark.parametrize(("short_ns", "found"), [(0, True), (1, False), (-1, True)])
def test_a_slice_that_is_left_for_as_long_as_the_wait_has_no_end(short_ns: int, found: bool) -> None:
    left = runner(0, slice_ns=2000 * MS - short_ns)
    given = scene(stuck(), running=[left, runner(1, slice_ns=3000 * MS)])
    assert (slice_without_end(given) is not None) == found


def test_who_is_before_in_vtime_came_later_and_is_before() -> None:
    late = stuck(by_vtime=True, vtime=90 * MS)
    found = behind_in_vtime(scene(late, waiter(30, vtime=8 * MS), waiter(20, vtime=89 * MS)))
    assert found is not None and "behind 2 that came later" in found.why and "up to 82.0 ms after" in found.why
    assert behind_in_vtime(scene(late, waiter(30, vtime=90 * MS))) is None
    assert behind_in_vtime(scene(late, waiter(2000, vtime=8 * MS))) is None
    assert behind_in_vtime(scene(late, waiter(1999, vtime=8 * MS))) is not None


def test_another_queue_is_served_where_its_tasks_are_young_and_nothing_else_explains_the_wait() -> None:
    both = [runner(0, cpus=3), runner(1, cpus=3)]
    found = another_queue_first(scene(stuck(), waiter(1900), waiter(20, dsq=6), running=both))
    assert found is not None and found.why.endswith("while those in queue 0x6 have their turns")
    assert another_queue_first(scene(stuck(), waiter(1900), waiter(1900, dsq=6), running=both)) is None
    assert another_queue_first(scene(stuck(), waiter(20, dsq=None), running=both)) is None
    assert another_queue_first(scene(stuck(), waiter(20, dsq=6), running=both[1:], idle=[0])) is None
    for own in (None, LOCAL_DSQ, GLOBAL_DSQ):
        assert another_queue_first(scene(stuck(dsq=own), waiter(20, dsq=6), running=both)) is None


def test_where_a_task_stands_is_told_in_words() -> None:
    given = [stuck(dsq=None, in_custody=True), stuck(dsq=None), stuck(dsq=7), stuck(dsq=LOCAL_DSQ)]
    given += [stuck(dsq=GLOBAL_DSQ)]
    words = ["in no queue", "between queues", "in queue 0x7", "in its CPU's local queue", "in the global queue"]
    assert [place_in_words(task) for task in given] == words


LOST_WORDS = ("runnable task stall", "W5-wanderer[124] failed to run for 2.012s")
PINNED_WORDS = ("runnable task stall", "watchdog failed to check in for 2.004s")


@pytest.mark.parametrize(
    ("dump", "words", "work_ms", "bug"),
    [
        ("pinned_first", PINNED_WORDS, 800.0, "F43"), ("pinned_first", PINNED_WORDS, 799.0, "F36"),
        ("lost", LOST_WORDS, 800.0, "F01"), ("lost", LOST_WORDS, 799.0, "F01"),
    ],
)  # fmt: skip
def test_where_a_fifth_of_the_time_was_no_work_only_who_is_lost_is_believed_lost(dump, words, work_ms, bug) -> None:
    made = reported("policy:W1", {"W1-hog.run_ms": 1000.0, "W1-hog.work_ms": work_ms})
    record = ExitRecord(ExitKind.ERROR_STALL, 0, *words)
    event = labelled(changed("policy:W1", "sched.after.state", "disabled", made), "policy:W1")
    detach = taken_off(exit_record=record, dump=told(dump))
    assert fell_off(event, record, Facts(), 2000, detach).bug == bug


@pytest.mark.parametrize(("switches", "bug"), [(10_001, "F33"), (10_000, "F36")])
def test_where_callbacks_ate_the_time_a_storm_of_kicks_is_told_from_a_long_one(switches: int, bug: str) -> None:
    eaten = {"W1-hog.run_ms": 1000.0, "W1-hog.work_ms": 1.0, "W1-hog.switches": switches}
    record = ExitRecord(ExitKind.ERROR_STALL, 0, *PINNED_WORDS)
    event = labelled(changed("policy:W1", "sched.after.state", "disabled", reported("policy:W1", eaten)), "policy:W1")
    found = fell_off(event, record, Facts(), 2000, taken_off(exit_record=record, dump=""))
    assert (found.bug, found.basis) == (bug, "evidence")
    assert ("switched 10,001 times" in found.reason) is (bug == "F33") and ("kick" in found.advice) is (bug == "F33")


def test_only_a_stall_is_laid_to_what_the_dump_shows() -> None:
    stall, other = (ExitRecord(kind, 0, *LOST_WORDS) for kind in (ExitKind.ERROR_STALL, ExitKind.ERROR))
    found = ended_by_itself(taken_off(exit_record=stall, dump=told("lost")))
    assert (found.code, found.bug, found.basis) == (Code.STALL, "F01", "evidence")
    assert found.witness
    found = ended_by_itself(taken_off(exit_record=other, dump=told("lost")))
    assert found.code == Code.EXIT_ERROR and found.witness == ()
    assert all(words in found.reason for words in LOST_WORDS)


def test_words_that_several_bugs_end_with_are_a_guess() -> None:
    assert cause_of_exit("watchdog failed to check in for 2.004s").basis == "guess"
    assert cause_of_exit("ops.init() failed (-12)").basis == "evidence"


def test_a_cpu_whose_queue_somebody_left_a_moment_ago_is_between_two_turns():
    def looks(*others):
        return nobody_looks(scene(stuck(), *others, running=[runner(1)], idle=[0]))

    assert looks(waiter(501)) and not looks(waiter(500)), "who stands beside it had a turn since"
    bound = waiter(4, dsq=6, cpus=1)
    assert not looks(bound) and looks(waiter(4, dsq=6, cpus=2)) and looks(waiter(501, dsq=6, cpus=1))
    assert looks(waiter(4, dsq=6, cpus=3)), "who may run elsewhere says nothing of this CPU"
    found = bound_go_first(scene(stuck(), bound, running=[runner(1)], idle=[0]))
    assert found is not None and (found.cause.bug, found.basis) == ("F43", "guess"), "it has the CPU next"
    assert bound_go_first(scene(stuck(), running=[runner(1)], idle=[0])) is None


@pytest.mark.parametrize(("run_ms", "idled"), [(1500.0, True), (1501.0, False)])
def test_a_cpu_idled_where_half_of_its_time_was_left(run_ms, idled):
    mix = reading("mix", {"W1-hog": group(run_ms=run_ms - 100.0), "W2-ping": group(run_ms=100.0)})
    assert (mix.cpus, mix.wall_ms) == (2, 1000.0) and mix.one_idled is idled


@pytest.mark.parametrize(("run_ms", "bug"), [(1960.0, "F13"), (1961.0, None), (2040.0, None), (2041.0, "F13")])
def test_whose_cpu_looks_free_beside_a_workload_that_had_all_the_time_waits_for_no_look(run_ms, bug):
    busy = _none_idled(reading("mix", {"W1-hog": group(run_ms=run_ms - 900.0), "W2-ping": group(run_ms=900.0)}))
    found = explain(scene(stuck(cpus=1), running=[runner(1)], idle=[0], none_idled=busy))
    assert (found and found.cause.bug) == bug
    anywhere = explain(scene(stuck(), running=[runner(1)], idle=[0], none_idled=busy))
    assert anywhere is not None and anywhere.cause.bug == "F03", "who is bound to no CPU is another matter"


def test_a_free_cpu_is_to_blame_only_for_who_stands_in_a_queue_of_the_policy_s_own() -> None:
    free = {"running": [runner(1)], "idle": [0]}
    assert own_cpu_does_not_look(scene(stuck(cpus=1), **free)) is not None
    for dsq in (None, LOCAL_DSQ, GLOBAL_DSQ):
        assert own_cpu_does_not_look(scene(stuck(cpus=1, dsq=dsq), **free)) is None


@pytest.mark.parametrize(
    ("kind", "bug"), [(ExitKind.ERROR_BPF, "F29"), (ExitKind.UNREG_BPF, "exit"), (ExitKind.ERROR, "F30")]
)
def test_of_a_policy_that_ended_itself_the_message_is_its_own_and_no_cause(kind: int, bug: str) -> None:
    record = ExitRecord(kind, 0, "x", "cpu 0 going offline, exiting scheduler")
    assert cause_of_exit(kernels_words(record, record.words)).bug == bug


@pytest.mark.parametrize("words", [LOST_WORDS, PINNED_WORDS])
def test_who_waits_where_explains_a_stall_whichever_watchdog_noticed(words, monkeypatch) -> None:
    both = [runner(0, cpus=3), runner(1, cpus=3)]
    dump = scene(stuck(), waiter(1900), waiter(20, dsq=6), running=both).dump
    monkeypatch.setattr("verifier_vm.judge.ended.parse_dump", lambda text: dump)
    record = ExitRecord(ExitKind.ERROR_STALL, 0, *words)
    made = reported("policy:W1", {"W1-hog.run_ms": 9000.0, "W1-hog.work_ms": 9000.0})
    event = labelled(changed("policy:W1", "sched.after.state", "disabled", made), "policy:W1")
    found = fell_off(event, record, Facts(), 2000, taken_off(exit_record=record))
    assert (found.bug, found.basis) == ("F03", "guess") and "those in queue 0x6" in found.reason

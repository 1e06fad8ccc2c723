# SPDX-License-Identifier: Apache-2.0
"""Decisions of the stages `survive` and `fair` that no other test notices; `make mutants` found them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_events import LIMIT_MS, changed, events, labelled, taken_off
from test_thresholds import group, ran, raw, reading

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.events import LaidOut, SchedState
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Finding
from policy_lake.topology import Topology
from verifier_vm.judge.ended import HOTPLUG_CODE
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.kernel_words import KICK_LOST, cause_of_exit
from verifier_vm.judge.oracles import _bound_have_it, _ended_by_hotplug, left_cleanly, survived
from verifier_vm.judge.stages import Reader, _fell_before, _taken_off
from verifier_vm.judge.suite import SHORT
from verifier_vm.situations import Situation, in_order, made_by

OFF = SchedState("disabled", "", 1)
ATTACHED = labelled(events("accepted"), "attach")
FELL, STAYED = ran({"W1-hog": raw()}, after=OFF), ran({"W1-hog": raw()})
TOPOLOGY = Topology(4)


def survive_of(given, **part):
    found = Reader(b"object", replace(SHORT, **part), LIMIT_MS).read(given, kernel="7.3.4")
    return next(stage for stage in found.stages if stage.name == "survive")


def test_a_topology_was_tried_where_it_was_the_parts_own_and_passed_and_counts():
    good, bad = events("accepted"), changed("policy:W3", "timed_out", True)
    assert survive_of(good, topology=TOPOLOGY).topologies == (TOPOLOGY,)
    assert survive_of(good, topology=TOPOLOGY, counts=False).topologies == ()
    assert survive_of(bad, topology=TOPOLOGY).topologies == ()
    assert survive_of(good).topologies == survive_of(good, counts=False).topologies == ()
    assert survive_of(bad, topology=TOPOLOGY, counts=False).topologies == ()


def test_every_exercise_that_ended_well_met_its_situations():
    of = {one.name: made_by(one.workloads) for one in SHORT.exercises}
    all_met = [situation for made in of.values() for situation in made]
    around = [Situation.ATTACH, Situation.DETACH]
    assert survive_of(events("accepted")).situations == in_order((*all_met, *around))
    failed = changed("policy:W3", "ok", False, changed("policy:W3", "timed_out", True))
    rest = [situation for name, made in of.items() if name != "W3" for situation in made]
    assert Situation.CROWD not in rest and survive_of(failed).situations == in_order((*rest, *around))


def met(*given, ended=()):
    findings = [Finding("F30", "note", "", place, code=Code.ENDED_BY_HOTPLUG) for place in ended]
    findings += [Finding("kernel", "note", "", "W4", code=Code.SHARE)]
    found = Reader(b"object", SHORT, LIMIT_MS)._met(given, findings)
    return set(found) - {str(Situation.ATTACH)}


def run(name, *, ok=True, cpus=2):
    return replace(ran({"W1-hog": raw()}, cpus=cpus), label=f"policy:{name}", ok=ok)


def test_what_a_policy_met_is_what_ended_well_or_ended_it_as_it_says():
    assert met(run("W9")) == met(run("W9", ok=False), ended=["W9"]) == {str(Situation.HOTPLUG)}
    assert met(run("W9", ok=False)) == met(run("W4", ok=False), ended=["W9"]) == set()
    assert met(run("W4"), ended=["W9"]) == {str(Situation.NICE)}


@pytest.mark.parametrize(("cpus", "many"), [(1, False), (2, False), (3, True), (4, True)])
def test_more_than_two_cpus_are_met_in_a_run_that_ended_well(cpus, many):
    assert (str(Situation.MANY_CPUS) in met(run("W9", cpus=cpus))) == many
    assert str(Situation.MANY_CPUS) not in met(run("W9", ok=False, cpus=cpus), ended=["W9"])


def test_it_was_taken_off_or_loaded_again_where_that_succeeded():
    layout = LaidOut(label="layout", ok=True, seconds=0.1)
    assert met(taken_off()) == {str(Situation.DETACH)} and met(ATTACHED) == {str(Situation.RELOAD)}
    for other in (taken_off(ok=False), taken_off(label=""), replace(ATTACHED, ok=False), layout):
        assert met(other) == set()


def test_it_had_fallen_where_a_run_since_the_last_attachment_was_not_steady():
    assert _fell_before([FELL]) and _fell_before([FELL, STAYED]) and _fell_before([FELL, STAYED, STAYED])
    assert not _fell_before([]) and not _fell_before([STAYED]) and not _fell_before([STAYED, STAYED])
    assert not _fell_before([FELL, ATTACHED]) and not _fell_before([FELL, ATTACHED, STAYED])
    assert not _fell_before([FELL, STAYED, ATTACHED, STAYED, STAYED])
    assert _fell_before([STAYED, ATTACHED, FELL]) and _fell_before([ATTACHED, FELL, STAYED])
    assert not _fell_before([ATTACHED, FELL, ATTACHED, STAYED]) and _fell_before([ATTACHED, ATTACHED, FELL])


def test_a_policy_was_taken_off_by_the_next_detachment_or_by_the_last():
    first, last = taken_off(label="first"), taken_off(label="last")
    given = [STAYED, first, STAYED, last, STAYED]
    assert [_taken_off(given, at).label for at in range(5)] == ["first", "first", "last", "last", "last"]
    with pytest.raises(LostVMError):
        _taken_off([STAYED], 0)


KERN, ERROR = ExitKind.UNREG_KERN, ExitKind.ERROR
GOING = "cpu 1 going offline, exiting scheduler"


@pytest.mark.parametrize(
    ("logged", "record", "place", "ended"),
    [
        (ExitRecord(KERN, 0, "x"), ExitRecord(), "W9", True),
        (ExitRecord(KERN, 0, "x"), ExitRecord(), "W1", False),
        (ExitRecord(ERROR, 0, "x"), ExitRecord(), "W9", False),
        (ExitRecord(KERN, 0, "x", GOING), ExitRecord(KERN, 0, "x", GOING), "W1", True),
        (ExitRecord(ERROR, 0, "x", GOING), ExitRecord(), "W9", False),  # a policy may end with any words
        (ExitRecord(ExitKind.ERROR_BPF, 0, "scx_bpf_error", GOING), ExitRecord(), "W1", False),
        (ExitRecord(ExitKind.UNREG_BPF, 0, "x", GOING), ExitRecord(KERN, HOTPLUG_CODE, "x"), "W9", False),
        (None, ExitRecord(), "W9", False),
        (None, ExitRecord(KERN, HOTPLUG_CODE, "x"), "W1", True),
        (None, ExitRecord(KERN, 1, "x"), "W9", False),
        (None, ExitRecord(KERN, 0, GOING), "W1", True),
        (None, ExitRecord(ERROR, HOTPLUG_CODE, "x"), "W9", False),
        (None, ExitRecord(ERROR, 0, GOING), "W9", False),
        (None, ExitRecord(KERN, HOTPLUG_CODE, "ops.init() failed"), "W9", False),
        (ExitRecord(KERN, 0, "x"), ExitRecord(KERN, HOTPLUG_CODE, "x"), "W1", True),
        (ExitRecord(KERN, 0, "x"), ExitRecord(KERN, 0, "x"), "W9", True),  # a record without room for the code
        (None, ExitRecord(KERN, 0, "x"), "W28", True),
        (None, ExitRecord(KERN, 0, "x"), "W1", False),
        (None, ExitRecord(KERN, 0, "ops.init() failed"), "W9", False),
        (None, ExitRecord(ERROR, 0, "x"), "W9", False),
    ],
)
def test_a_hotplug_ended_it_where_the_kernel_or_the_exits_code_says_so_and_no_error(logged, record, place, ended):
    assert _ended_by_hotplug(logged, record, place) is ended


SOFT, OTHER = "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", "WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1"


@pytest.mark.parametrize(("kmsg", "code"), [((SOFT, OTHER), Code.LOCKUP), ((OTHER, SOFT), Code.KERNEL_WARNING)])
def test_of_several_warnings_the_first_is_the_cause_and_the_code(kmsg, code):
    (found,) = survived(ran({"W1-hog": raw()}, kmsg=kmsg), taken_off(), Facts(), LIMIT_MS)
    assert (found.code, found.bug) == (code, cause_of_exit(kmsg[0]).bug)
    assert cause_of_exit(SOFT).bug != cause_of_exit(OTHER).bug


@pytest.mark.parametrize(
    ("bound_ms", "floating_ms", "have_it"),
    [(1000.0, 40.0, True), (999.0, 40.0, False), (1000.0, 40.1, False), (1000.0, 0.0, True)],
)
def test_bound_hogs_have_it_with_half_of_the_time_beside_a_fiftieth(bound_ms, floating_ms, have_it):
    groups = {"W6-pinned": group(run_ms=bound_ms), "W1-hog": group(run_ms=floating_ms)}
    assert _bound_have_it(reading("mix", groups), "W1-hog") is have_it
    assert not _bound_have_it(reading("mix", groups), "W6-pinned")


@pytest.mark.parametrize(
    ("kmsg", "bug", "advice"),
    [((), "F36", "callbacks"), ((" free_kick_syncs+0x10/0x20",), KICK_LOST.bug, KICK_LOST.advice)],
)
def test_what_cannot_be_taken_off_hangs_in_a_callback_unless_the_kernel_waits_for_a_kick(kmsg, bug, advice):
    (found,) = left_cleanly(taken_off(ok=False, kmsg=kmsg), has_exit=True)
    assert (found.code, found.bug) == (Code.NOT_DETACHED, bug) and advice in found.advice


@pytest.mark.parametrize(
    ("group_name", "cpus", "bug"),
    [("W5-wanderer", 1, "F43"), ("W5-wanderer", 2, "F13"), ("W1-hog", 1, "F01"), ("W7-hog", 1, "F14")],
)
def test_on_one_cpu_nobody_waits_for_being_bound_to_it(group_name, cpus, bug):
    (found,) = survived(ran({group_name: raw(gap_ms=LIMIT_MS + 1)}, cpus=cpus), taken_off(), Facts(), LIMIT_MS)
    assert (found.code, found.bug, found.basis) == (Code.NO_PROGRESS, bug, "guess")


def test_what_is_seen_in_a_guest_that_the_policy_asks_for_is_told_with_that_guest():
    given = changed("policy:mix", "timed_out", True)
    for asked_for in (False, True):
        found = Reader(b"object", replace(SHORT, name="up for 6 h", asked_for=asked_for), LIMIT_MS)
        rejection = found.read(given, kernel="7.3.4").rejection
        assert rejection.code == Code.HUNG and ("up for 6 h" in rejection.reason) is asked_for

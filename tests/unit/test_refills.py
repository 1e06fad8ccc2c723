# SPDX-License-Identifier: Apache-2.0
"""Slices that are given anew while a task has one: which are suspected, which are cuts, and stalls told by them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from object_cases import object_bytes

from policy_lake.codes import Code
from policy_lake.model import Finding, Stage
from verifier_vm.answers import answered
from verifier_vm.object.analyse import analyse_object, read_facts
from verifier_vm.object.branch import JGE, JGT, JLE, JLT, assume
from verifier_vm.object.check_refills import check_refills
from verifier_vm.object.record import Record
from verifier_vm.object.refills import note_slice
from verifier_vm.object.state import State
from verifier_vm.object.values import SLICE, Values

MS = 1_000_000


def suspicion():
    (found,) = [one for one in analyse_object(object_bytes("ways")).findings if one.bug == "F19"]
    return found


def test_a_slice_given_in_running_is_suspected_at_its_line():
    found = suspicion()
    assert (
        found.level == "suspicion"
        and found.place == "ways.bpf.c:71"
        and "running gives a task a slice of 1 ms" in found.reason
    )


@pytest.mark.parametrize("name", ["ljf", "percpu", "vtime"])
def test_who_cuts_a_slice_in_running_or_gives_one_in_dispatch_is_not(name):
    assert not list(check_refills(read_facts(object_bytes(name))))


def test_a_stall_is_told_by_it():
    stuck = Finding("F43", "reject", "a W4-low made no progress", "W4", "", Code.NO_PROGRESS, basis="guess")
    stages = answered([Stage("object", True, 0.0, (suspicion(),)), Stage("survive", False, 0.0, (stuck,))])
    (suspected,), (shown,) = (stage.findings for stage in stages)
    assert suspected.outcome == "witnessed" and shown.bug == "F19" and "ways.bpf.c:71" in shown.reason


@pytest.mark.parametrize(
    ("op", "asked", "given", "is_kept"),
    [(JGT, 2, 2, False), (JGE, 2, 1, False), (JGT, 2, 3, True), (JLT, 2, 2, True), (JLE, 2, 1, True),
     (None, 0, 1, True), (None, 0, 0, False)],
)  # fmt: skip
def test_less_than_a_look_found_left_is_a_cut(op, asked, given, is_kept):
    values, state, record = Values(), State(5, [None] * 11), Record()
    left = values.make("load", (SLICE, 0), values.make("arg", "p"))
    if op is not None:
        assert assume(state, op, left, asked * MS, wide=True)
    note_slice(state, record, "tick", given * MS)
    assert ({*record.refills} == {("tick", 5)}) is is_kept


@pytest.mark.parametrize(("entry", "name"), [("tick", "tick"), ("timer3", "timer"), ("dispatch", ""), ("enqueue", "")])
def test_what_is_given_where_no_turn_goes_on_is_none(entry, name):
    facts = SimpleNamespace(
        record=SimpleNamespace(refills={(entry, 7): (7, 4 * MS)}, calls={}), place=lambda *_: "x.bpf.c:7"
    )
    assert [found.reason.partition(" ")[0] for found in check_refills(facts)] == ([name] if name else [])


def release(entry="cpu_release", name="scx_bpf_reenqueue_local", flagged=False):
    calls = {pc: SimpleNamespace(entry=entry, name=name, pc=pc, line=pc + 1) for pc in (9, 4)}
    facts = SimpleNamespace(
        record=SimpleNamespace(calls=calls, refills={}), flag=lambda bit: flagged and bit == 16,
        place=lambda entry, line, pc: f"p.bpf.c:{line}",
    )  # fmt: skip
    return list(check_refills(facts))


def test_a_release_that_enqueues_again_is_suspected_unless_enqueue_gets_who_was_interrupted():
    (found,) = release()
    assert (found.bug, found.level, found.place) == ("F19", "suspicion", "p.bpf.c:5") and len(found.situations) == 2
    assert len(release(name="scx_bpf_reenqueue_local___v2")) == 1
    assert release(flagged=True) == release(entry="cpu_acquire") == release(name="scx_bpf_kick_cpu") == []

# SPDX-License-Identifier: Apache-2.0
"""What an exit callback keeps, one at a time: tests/golden/objects/endings.bpf.c, whose functions say what they are."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from gate_events import taken_off
from object_cases import object_bytes

from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Finding
from verifier_vm.judge.oracles import left_cleanly
from verifier_vm.object.check_exit import check_exit
from verifier_vm.object.facts import Facts
from verifier_vm.object.ops import read_ops
from verifier_vm.object.program import Program, read_program
from verifier_vm.object.walk import Walk


@functools.cache
def program() -> Program:
    return read_program(object_bytes("endings"))


CASES = {f.name: pc for pc, f in program().functions.items() if f.section.startswith("struct_ops")}


def noted(name: str, *, incomplete: str = "") -> list[Finding]:
    walk = Walk(program())
    walk.entry("exit", CASES[name])
    if incomplete:
        walk.record.incomplete["exit"] = incomplete
    ops = replace(read_ops(program()), callbacks={"exit": CASES[name]})
    return list(check_exit(Facts(program(), ops, walk.record, {})))


@pytest.mark.parametrize("name", sorted(CASES))
def test_somebody_can_read_how_it_ended_where_its_name_says_so(name: str) -> None:
    assert [(one.bug, one.level) for one in noted(name)] == [("F35", "note")] * name.startswith("f35")


def test_what_is_missing_is_named() -> None:
    (code,), (nothing,), (counted,) = noted("f35_code"), noted("f35_nothing"), noted("f35_counted")
    assert code.reason.startswith(".exit keeps ei->exit_code, but none of ei->kind, ei->reason, ei->msg:")
    assert nothing.reason.startswith(".exit stores nothing")
    assert counted.reason.startswith(".exit keeps none of ei->kind, ei->reason, ei->msg")


def test_what_could_not_be_followed_is_no_record() -> None:
    (found,) = noted("f35_counted", incomplete="too many paths")
    assert found.reason.startswith("not all of .exit could be followed")
    assert not noted("ok_kind", incomplete="too many paths")


@pytest.mark.parametrize(
    ("record", "has_exit", "words"),
    [
        (ExitRecord(), True, []),  # what it keeps elsewhere, the object tells
        (ExitRecord(), False, ["it has no exit callback"]),
        (ExitRecord(ExitKind.NONE), True, ["its exit record was still empty"]),
        (ExitRecord(ExitKind.NONE, 0, "unregistered from user space"), True, []),
        (ExitRecord(ExitKind.UNREG, 0, "unregistered from user space"), True, []),
    ],
)
def test_a_guest_notes_only_what_it_saw(record: ExitRecord, has_exit: bool, words: list[str]) -> None:
    found = list(left_cleanly(taken_off(exit_record=record), has_exit=has_exit))
    assert [one.reason[: len(word)] for one, word in zip(found, words, strict=True)] == words

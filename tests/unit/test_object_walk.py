# SPDX-License-Identifier: Apache-2.0
"""The walk, one enqueue at a time: tests/golden/objects/paths.bpf.c, in which a function's name says what it is."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from object_cases import object_bytes

from verifier_vm.object import limits
from verifier_vm.object.check_cpus import check_cpus
from verifier_vm.object.check_paths import check_paths
from verifier_vm.object.check_slices import check_slices
from verifier_vm.object.facts import Facts
from verifier_vm.object.ops import read_ops
from verifier_vm.object.program import read_program
from verifier_vm.object.walk import Walk


@functools.cache
def program():
    return read_program(object_bytes("paths"))


def functions():
    return {f.name: pc for pc, f in program().functions.items() if f.section.startswith("struct_ops/")}


def facts_of(name):
    walk = Walk(program())
    walk.entry("enqueue", functions()[name])
    ops = replace(read_ops(program()), callbacks={"enqueue": functions()[name]})
    return Facts(program(), ops, walk.record, {})


def findings(name):
    facts = facts_of(name)
    result = (finding for check in (check_paths, check_cpus, check_slices) for finding in check(facts))
    return [finding for finding in result if finding.bug != "F21"]


@pytest.mark.parametrize("name", sorted(functions()))
def test_a_function_is_what_its_name_says(name):
    expected = name.split("_")[0]
    result = findings(name)
    rejected = [f.bug.lower() for f in result if f.level == "reject"]
    if expected == "ok":
        assert not rejected, result
    elif expected == "open":
        assert not rejected and [f for f in result if f.level == "unknown"]
    else:
        assert rejected == [expected], result


def test_there_are_cases_of_every_kind():
    kinds = {name.split("_")[0] for name in functions()}
    assert {"ok", "open", "f01", "f07", "f10", "f26", "f33", "f36"} == kinds


def test_a_finding_names_the_line_it_is_about():
    """The last line of the path that is the policy's own, and neither a header's nor the function's first."""
    result = findings("open_no_record")[0]
    source = (limits.__file__.split("verifier_vm")[0]) + "tests/golden/objects/paths.bpf.c"
    with open(source) as lines:  # noqa: PTH123
        text = lines.read().splitlines()
    assert text[int(result.place.split(":")[1]) - 1].strip() == "if (!tc)"


@pytest.mark.parametrize("limit", ["STEPS_PER_ENTRY", "STEPS", "TABLE", "EVENTS"])
def test_a_limit_that_is_reached_is_unknown_and_no_verdict(limit, monkeypatch):
    monkeypatch.setattr(limits, limit, 3)
    result = findings("ok_search_then_fall_back")
    assert [f.level for f in result if f.bug == "walk"] == ["unknown"]
    assert not [f for f in result if f.level == "reject"]


def test_forgetting_on_a_loop_leaves_no_certainty(monkeypatch):
    """With hardly anything remembered, a path that cannot be taken may look open, but is never rejected for."""
    for visits in (1, 2, 4):
        monkeypatch.setattr(limits, "VISITS", visits)
        monkeypatch.setattr(limits, "WIDEN_VISITS", visits)
        for name in functions():
            if name.startswith("ok_"):
                assert not [f for f in findings(name) if f.level == "reject"], (visits, name)


def test_calls_that_nest_too_deeply_are_unknown(monkeypatch):
    monkeypatch.setattr(limits, "FRAMES", 1)
    result = findings("ok_subprogram_says_what_it_did")
    assert [(f.bug, f.level) for f in result] == [("walk", "unknown")]


def test_arguments_are_read_through_the_stack():
    """sx_insert_vtime passes a struct; the walk reads what it holds."""
    vtime = read_program(object_bytes("vtime"))
    ops = read_ops(vtime)
    walk = Walk(vtime)
    walk.entry("enqueue", ops.callbacks["enqueue"])
    calls = walk.record.by_name("__scx_bpf_dsq_insert_vtime")
    assert calls
    for call in calls:
        assert call.field("dsq_id") == 0 and call.field("slice") == 5_000_000
        assert call.field("vtime") is not None and call.field("nothing") is None

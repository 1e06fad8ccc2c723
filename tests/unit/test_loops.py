# SPDX-License-Identifier: Apache-2.0
"""How much a dispatch inserts at most, and what needs no kick: tests/golden/objects/loops.bpf.c, by the names there."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from object_cases import object_bytes

from verifier_vm.object.check_cpus import check_cpus
from verifier_vm.object.check_paths import check_paths
from verifier_vm.object.facts import Facts
from verifier_vm.object.ops import read_ops
from verifier_vm.object.program import Program, read_program
from verifier_vm.object.walk import Walk


@functools.cache
def program() -> Program:
    return read_program(object_bytes("loops"))


NAMES = sorted(f.name for f in program().functions.values() if f.section.startswith("struct_ops"))


def facts_of(entry: str, name: str, batch: int = 0) -> Facts:
    pc = next(pc for pc, function in program().functions.items() if function.name == name)
    walk = Walk(program())
    walk.entry(entry, pc)
    ops = read_ops(program())
    ops = replace(ops, callbacks={entry: pc}, numbers={**ops.numbers, "dispatch_max_batch": batch})
    return Facts(program(), ops, walk.record, {}, walk.values.made_of)


def overflows(name: str, batch: int = 0) -> bool:
    return any(finding.bug == "F09" for finding in check_paths(facts_of("dispatch", name, batch)))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("ok", "open"))])
def test_a_loop_that_stays_within_the_buffer_is_not_asked_about(name: str) -> None:
    assert overflows(name) is name.startswith("open")


def test_how_much_the_buffer_holds_is_the_policy_s_own_number() -> None:
    assert not overflows("ok_for_8", 8) and overflows("ok_for_8", 7)
    assert not overflows("ok_plain_8", 8) and overflows("ok_plain_8", 7)
    assert not overflows("open_loop_64", 64) and overflows("open_loop_64", 63)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("asked", "silent"))])
def test_a_cpu_s_own_queue_needs_no_kick(name: str) -> None:
    asked = any(finding.bug == "F21" for finding in check_cpus(facts_of("enqueue", name)))
    assert asked is name.startswith("asked")


def test_there_are_cases_of_each_kind() -> None:
    assert {name.split("_")[0] for name in NAMES} == {"ok", "open", "asked", "silent"}

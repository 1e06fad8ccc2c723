# SPDX-License-Identifier: Apache-2.0
"""The head of a queue, one enqueue at a time: tests/golden/objects/orders.bpf.c, whose functions say what they are."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from object_cases import object_bytes, source_of

from verifier_vm.object.check_queues import check_queues
from verifier_vm.object.facts import Facts
from verifier_vm.object.ops import read_ops
from verifier_vm.object.program import Program, read_program
from verifier_vm.object.walk import Walk


@functools.cache
def program() -> Program:
    return read_program(object_bytes("orders"))


CASES = sorted(f.name for f in program().functions.values() if f.name.split("_")[0] in ("f18", "some", "ok"))


@pytest.mark.parametrize("name", CASES)
def test_who_comes_last_goes_first_where_its_name_says_so(name: str) -> None:
    pc = next(pc for pc, function in program().functions.items() if function.name == name)
    walk = Walk(program())
    walk.entry("enqueue", pc)
    ops = replace(read_ops(program()), callbacks={"enqueue": pc})
    found = [
        one for one in check_queues(Facts(program(), ops, walk.record, {}, walk.values.made_of)) if one.bug == "F18"
    ]
    assert [one.level for one in found] == (["suspicion"] if name.startswith(("f18", "some")) else [])
    assert all(one.reason.startswith("every" if name.startswith("f18") else "an insert") for one in found)
    lines = source_of("orders").read_text().splitlines()
    assert all(
        "_flags |=" in line or "sx_insert" in line
        for one in found
        for line in [lines[int(one.place.split(":")[1]) - 1]]
    )


def test_there_are_cases_of_both_kinds() -> None:
    assert len([name for name in CASES if name.startswith("f18")]) > 3
    assert len([name for name in CASES if name.startswith("some")]) > 3
    assert len([name for name in CASES if name.startswith("ok")]) > 3

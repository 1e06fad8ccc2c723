# SPDX-License-Identifier: Apache-2.0
"""What an object is proven not to do, an enqueue and a dispatch at a time: tests/golden/objects/orders.bpf.c."""

from __future__ import annotations

from dataclasses import replace

import pytest
from object_cases import object_bytes

from verifier_vm.object import proven
from verifier_vm.object.facts import Facts
from verifier_vm.object.ops import read_ops
from verifier_vm.object.program import read_program
from verifier_vm.object.proven import NOTHING, proven_of
from verifier_vm.object.record import SOME_QUEUE
from verifier_vm.object.walk import Walk

ORDER, VTIME = {"F18"}, {"F14", "F15"}


def refuted(enqueue: str = "", dispatch: str = "", incomplete: str = "") -> set[str]:
    program = read_program(object_bytes("orders"))
    starts = {function.name: pc for pc, function in program.functions.items()}
    callbacks = {at: starts[name] for at, name in (("enqueue", enqueue), ("dispatch", dispatch)) if name}
    walk = Walk(program)
    for entry, pc in callbacks.items():
        walk.entry(entry, pc)
    if incomplete:
        walk.record.incomplete[incomplete] = "too much"
    ops = replace(read_ops(program), callbacks=callbacks)
    return set(proven._refuted(Facts(program, ops, walk.record, {}, walk.values.made_of)))


@pytest.mark.parametrize(
    ("enqueue", "dispatch", "found"),
    [
        ("ok_as_given", "looks_always", {"F01", "F03", "F13", "F19", "F43"} | ORDER | VTIME),
        ("ok_as_given", "looks_at_times", {"F01", "F19", "F43"} | ORDER | VTIME),
        ("ok_as_given", "looks_on_some_cpus", {"F01", "F19", "F43"} | ORDER | VTIME),
        ("ok_as_given", "looks_by_number", {"F01", "F19", "F43"} | ORDER | VTIME),
        ("ok_as_given", "", {"F01", "F19", "F43"} | ORDER | VTIME),
        ("slices_two", "looks_in_order", {"F01", "F13", "F19"} | ORDER | VTIME),  # the second can be passed by
        ("slices_two", "looks_always", {"F01", "F19"} | ORDER | VTIME),
        ("some_sleepers", "looks_always", {"F01", "F03", "F13", "F19", "F43"} | VTIME),
        ("f18_computed", "looks_always", {"F01", "F19"}),
        ("ok_by_vtime", "looks_always", {"F01", "F03", "F13", "F19", "F43"}),
        ("f18_all_but_local", "looks_always", {"F01", "F03", "F13", "F19"} | VTIME),
        ("slices_long", "looks_always", {"F01", "F03", "F13", "F43"} | ORDER | VTIME),
        ("slices_computed", "looks_always", {"F01", "F03", "F13", "F43"} | ORDER | VTIME),
        ("slices_not_always", "looks_always", {"F19"}),
        ("", "", {"F01", "F03", "F13", "F19"} | ORDER | VTIME),  # the kernel's own queue
    ],
)
def test_a_bug_is_refuted_where_no_path_has_it(enqueue: str, dispatch: str, found: set[str]) -> None:
    assert refuted(enqueue, dispatch) == found


def test_nothing_is_proven_of_what_was_not_walked_to_its_end_or_cannot_be_read() -> None:
    assert not refuted("ok_as_given", "looks_always", incomplete="stopping")
    assert proven_of(b"object") == NOTHING == proven_of(b"")


def test_a_whole_object_has_its_queues_with_a_head() -> None:
    found = proven_of(object_bytes("orders"))
    assert found.at_head == {0} and "F01" in found.refuted and "F18" not in found.refuted
    assert not proven_of(object_bytes("plain_subprograms")).at_head
    assert SOME_QUEUE not in found.at_head


def test_constants_that_mirror_the_kernels_are_anything() -> None:
    found = proven_of(object_bytes("mirror_own_queue"))  # its slice is such a one, its queue is not
    assert {"F01", "F03", "F13"} <= found.refuted and "F19" not in found.refuted and not found.at_head


@pytest.mark.parametrize(("name", "keeps"), [("plain_pid_queue", True), ("vtime", False), ("plain_taken_out", False)])
def test_who_inserts_in_dispatch_keeps_tasks_until_then(name: str, keeps: bool) -> None:
    assert proven_of(object_bytes(name)).keeps is keeps

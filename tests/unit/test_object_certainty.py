# SPDX-License-Identifier: Apache-2.0
"""What the object stage did not look at, or dropped, must never become a rejection of a policy that is right."""

from __future__ import annotations

import pytest
from object_cases import GOOD, object_bytes, rejected

from policy_lake.model import Finding
from verifier_vm.object import limits
from verifier_vm.object.analyse import analyse_object, read_facts
from verifier_vm.object.check_queues import check_queues
from verifier_vm.object.state import State
from verifier_vm.object.values import Values


def state(**known):
    return State(0, [None] * 11, **known)


def test_a_path_that_dropped_what_it_held_is_not_certain(monkeypatch):
    monkeypatch.setattr(limits, "HELD", 3)
    held = state(stack={(0, -8 * i): (8, i) for i in range(1, 4)})
    held.weight()
    assert held.exact and len(held.stack) == 3
    held.stack[0, -32] = (8, 4)
    held.weight()
    assert not held.exact and not held.stack


def test_a_path_that_forgot_what_another_does_not_know_is_not_certain():
    merged = state(known={(1,): True})
    merged.forget(state())
    assert not merged.exact and not merged.known


def test_a_path_that_forgot_a_register_is_not_certain():
    values = Values()
    merged, other = state(), state()
    merged.registers[1], other.registers[1] = 5, 6
    merged.forget_registers(other, 0b10, values)
    assert not merged.exact and merged.registers[1] not in (5, 6)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("limit", ["STEPS_PER_ENTRY", "STEPS", "EVENTS", "HELD", "FRAMES", "VISITS"])
def test_a_good_policy_is_not_rejected_for_what_was_not_walked(name, limit, monkeypatch):
    for most in (1, 2, 8, 40, 200):
        monkeypatch.setattr(limits, limit, most)
        stage = analyse_object(object_bytes(name))
        assert not rejected(stage), (most, stage.findings)


def queue_findings(name, incomplete) -> list[Finding]:
    """What is said of the queues of a policy without what `dispatch` does, walked to its end or not."""
    facts = read_facts(object_bytes(name))
    for key, call in list(facts.record.calls.items()):
        if call.entry == "dispatch":
            del facts.record.calls[key]
    facts.record.incomplete.update(incomplete)
    return [finding for finding in check_queues(facts) if finding.bug == "F03"]


@pytest.mark.parametrize("name", ["vtime", "ljf"])
def test_a_queue_is_only_surely_never_emptied_where_all_was_walked(name):
    assert {f.level for f in queue_findings(name, {})} == {"reject"}
    assert {f.level for f in queue_findings(name, {"dispatch": "it has more paths than are walked"})} == {"unknown"}

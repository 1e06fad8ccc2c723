# SPDX-License-Identifier: Apache-2.0
"""Counts that run out, one dispatch at a time: tests/golden/objects/counts.bpf.c, whose functions say what they are."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from object_cases import object_bytes, source_of

from policy_lake.topology import Topology
from verifier_vm.judge.aim import aimed_parts, read_aims
from verifier_vm.judge.case import cases_of
from verifier_vm.judge.counted import LEFT, begun, counted_parts
from verifier_vm.object.check_counts import check_counts
from verifier_vm.object.counts import closings
from verifier_vm.object.elf import read_elf
from verifier_vm.object.facts import Facts
from verifier_vm.object.ops import read_ops
from verifier_vm.object.program import Program, read_program
from verifier_vm.object.walk import Walk
from verifier_vm.situations import Situation


@functools.cache
def program() -> Program:
    return read_program(object_bytes("counts"))


def functions() -> dict[str, int]:
    return {f.name: pc for pc, f in program().functions.items() if f.section.startswith("struct_ops")}


def facts_of(name: str, *others: str) -> Facts:
    """What is known of a policy that has that dispatch; `others` are callbacks by the functions' names."""
    entries = {"dispatch": name, **({"running": "elsewhere"} if "running" in others else {})}
    entries |= {"init": "begins"} if "init" in others else {}
    entries |= {one: "refills" for one in others if one not in ("running", "init")}
    callbacks = {entry: functions()[function] for entry, function in entries.items()}
    walk = Walk(program())
    for entry, pc in callbacks.items():
        walk.entry(entry, pc)
    ops = replace(read_ops(program()), callbacks=callbacks)
    return Facts(program(), ops, walk.record, {}, walk.values.made_of)


CASES = sorted(name for name in functions() if name.split("_")[0] in ("f03", "ok"))


@pytest.mark.parametrize("name", CASES)
def test_a_count_closes_what_its_name_says(name: str) -> None:
    found = list(check_counts(facts_of(name, "running")))
    assert [finding.bug for finding in found] == (["F03"] if name.startswith("f03") else [])
    assert all(finding.level == "suspicion" and finding.situations == (Situation.COUNTED_OUT,) for finding in found)


def test_there_are_cases_of_both_kinds() -> None:
    assert {name.split("_")[0] for name in CASES} == {"f03", "ok"} and len(CASES) > 12


def test_what_another_callback_sets_or_a_call_changes_is_no_count() -> None:
    for name in ("ok_filled_elsewhere", "ok_told_by_a_call"):
        assert list(closings(facts_of(name))), "without that it is one"


@pytest.mark.parametrize("count", ["left_in_data", "left_in_map"])
def test_what_need_not_come_while_tasks_wait_opens_nothing_again(count: str) -> None:
    for seldom in ("exit_task", "disable", "init_task", "enable", "set_weight", "cpu_online", "cgroup_move"):
        (closing,) = closings(facts_of(count, "init", seldom))
        assert (closing.turn.steps, closing.turn.count.start) in ((40000, 40000), (30000, 30000)), seldom
    for again in ("stopping", "tick", "quiescent", "runnable", "enqueue", "select_cpu", "timer"):
        assert not list(closings(facts_of(count, "init", again))), again


def test_where_a_map_begins_is_what_init_puts_there() -> None:
    assert not list(closings(facts_of("left_in_map"))), "0 from the first"
    (closing,) = closings(facts_of("left_in_map", "init"))
    assert closing.turn.count.start == 30000 and not closing.turn.count.begins_in_data


def test_the_finding_names_the_condition_the_queue_and_how_far_it_is() -> None:
    (finding,) = check_counts(facts_of("f03_rises"))
    lines = source_of("counts").read_text().splitlines()
    assert lines[int(finding.place.split(":")[1]) - 1].strip() == "if (++turns > 5000000)"
    assert "DSQ 0x0" in finding.reason and "rises" in finding.reason and "5000000 steps, from 0" in finding.reason


def test_where_init_says_where_it_begins_it_is_less_far() -> None:
    (closing,) = closings(facts_of("f03_rises", "init"))
    assert closing.turn.steps == 1000000 and not closing.turn.count.begins_in_data


def test_what_was_not_walked_to_its_end_has_no_counts() -> None:
    facts = facts_of("f03_rises")
    facts.record.incomplete["running"] = "too much"
    assert not list(closings(facts))


def test_a_count_in_data_begins_shortly_before_it_turns() -> None:
    (part,) = counted_parts(facts_of("f03_fetched"), "short")
    ((section, offset, value),) = part.starts
    assert section == ".data" and int.from_bytes(value, "little") == LEFT and "'budget'" in part.name
    assert part.meets == (Situation.COUNTED_OUT,) and not part.counts and part.asked_for
    data = object_bytes("counts")
    made = begun(data, part.starts)
    at = read_elf(made).named(".data")
    assert at is not None and at.data[offset : offset + 8] == value
    assert len(made) == len(data) and sum(a != b for a, b in zip(made, data, strict=True)) <= 8
    assert begun(data, ()) == data
    with pytest.raises(ValueError, match="lies outside"):
        begun(data, ((".data", 1 << 20, value),))
    assert not cases_of(part, Topology(), 0)  # no words for another start


def test_any_other_is_run_as_far_as_a_tier_has_time_for() -> None:
    (part,) = counted_parts(facts_of("f03_by_a_variable"), "short")
    assert not part.starts and part.exercises[0].workloads == "W15" and part.exercises[0].seconds < 4
    assert not counted_parts(facts_of("f03_rises"), "short") and not counted_parts(facts_of("f03_rises"), "full")
    facts = facts_of("f03_rises", "init")  # a million are left
    assert not counted_parts(facts, "short")


def test_the_tier_has_a_guest_for_it() -> None:
    data = object_bytes("counts")
    (part,) = read_aims(data, "short").counted
    assert aimed_parts(data, "short")[1:] == (part,)

# SPDX-License-Identifier: Apache-2.0
"""What an object keeps in its own memory: a flag that dispatch clears, a hash that only grows, places for cgroups."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from gate_events import told
from object_cases import OBJECTS, object_bytes

from policy_lake.codes import Code
from policy_lake.model import Basis, Finding, Stage
from policy_lake.topology import Topology
from verifier_vm.answers import answered, not_tried
from verifier_vm.judge.aim import aimed_parts, read_aims
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.fairness import compare
from verifier_vm.judge.oracles import _read_findings
from verifier_vm.judge.part import USUAL_S, Exercise, Part
from verifier_vm.judge.readings import Group, Reading
from verifier_vm.judge.stages import Reader
from verifier_vm.judge.suite import FULL, SHORT, elsewhere
from verifier_vm.object.analyse import analyse_object, read_facts
from verifier_vm.object.cgroup_places import MOST, check_cgroups, places
from verifier_vm.object.check_switches import switches
from verifier_vm.object.check_tables import ADVICE, LARGE, SMALL, leaks, shown_by
from verifier_vm.object.elf import read_sections
from verifier_vm.situations import Situation, made_by

FLAG, GROWS, EIGHT, KEPT = (
    "f03_flag_cleared_fails", "f27_never_deleted_fails", "f03_eight_cgroups_fails", "plain_taken_out",
)  # fmt: skip


def others() -> list[str]:
    return sorted({path.name.partition(".")[0] for path in OBJECTS.glob("*.o.xz")} - {FLAG, GROWS, EIGHT})


def said(name: str, bug: str) -> list[str]:
    """The reasons of what the object stage leaves open of a bug."""
    return [finding.reason for finding in analyse_object(object_bytes(name)).findings
            if finding.bug == bug and finding.is_open]  # fmt: skip


def test_a_flag_that_dispatch_clears_itself_is_suspected_at_its_condition() -> None:
    (switch,) = switches(read_facts(object_bytes(FLAG)))
    assert switch.queues == {0}
    (finding,) = [one for one in analyse_object(object_bytes(FLAG)).findings if one.bug == "F03"]
    assert (finding.level, finding.situations) == ("suspicion", (Situation.GLANCES,))
    assert "'anybody'" in finding.reason and "DSQ 0x0" in finding.reason
    assert finding.place.startswith(f"{FLAG}.bpf.c:")


@pytest.mark.parametrize("name", others())
def test_nothing_else_is_taken_for_one(name: str) -> None:
    facts = read_facts(object_bytes(name))
    assert not list(switches(facts)) and not list(leaks(facts)) and not places(facts)


def test_it_is_tried_beside_cpus_that_look_in_vain() -> None:
    (part,) = aimed_parts(object_bytes(FLAG), "short")
    assert [one.workloads for one in part.exercises if one.name == "W33"] == ["W33"]
    assert not [one for one in aimed_parts(object_bytes(KEPT), "short")[0].exercises if one.name == "W33"]


def test_a_hash_that_nobody_takes_tasks_out_of_is_an_open_question() -> None:
    (leak,) = leaks(read_facts(object_bytes(GROWS)))
    assert (leak.table.name, leak.table.max_entries) == ("entries", 16384)
    assert ["16384" in reason for reason in said(GROWS, "F27")] == [True]
    assert said(KEPT, "F27") == []


def test_it_is_not_tried_where_the_tier_has_no_time_to_fill_it() -> None:
    stages = answered([analyse_object(object_bytes(GROWS))])
    assert f"F27: {Situation.LARGE_TURNOVER}" in not_tried(stages)
    made = {tier: made_by("+".join(one.workloads for part in aimed_parts(object_bytes(GROWS), tier)
                                   for one in part.exercises)) for tier in ("short", "full")}  # fmt: skip
    assert Situation.LARGE_TURNOVER not in made["short"] and Situation.LARGE_TURNOVER in made["full"]
    assert Situation.TURNOVER not in made["full"], "that is for a table that the short tier fills"


@pytest.mark.parametrize(
    ("entries", "situation"),
    [(SMALL, Situation.TURNOVER), (SMALL + 1, Situation.LARGE_TURNOVER), (LARGE, Situation.LARGE_TURNOVER),
     (LARGE + 1, Situation.HUGE_TURNOVER)],
)  # fmt: skip
def test_what_shows_it_goes_by_its_size(entries: int, situation: Situation) -> None:
    assert shown_by(entries) == situation


def test_more_cgroups_at_once_are_tried_than_it_has_places_for() -> None:
    assert 8 in places(read_facts(object_bytes(EIGHT)))
    assert read_aims(object_bytes(EIGHT), "short").cgroups == 10
    part = aimed_parts(object_bytes(EIGHT), "short")[0]
    assert [one.args for one in part.exercises if one.name == "W36"] == [("cgroups=10",)]


def test_places_beyond_a_guest_are_told_as_not_tried() -> None:
    facts = read_facts(object_bytes(EIGHT))
    assert not list(check_cgroups(facts))
    calls = {key: dataclasses.replace(call, args=(*call.args[:2], MOST + 1, *call.args[3:]))
             if call.name == "bpf_iter_num_new" else call for key, call in facts.record.calls.items()}  # fmt: skip
    facts.record.calls.clear()
    facts.record.calls.update(calls)
    (finding,) = check_cgroups(facts)
    assert (finding.level, finding.situations) == ("unknown", (Situation.MORE_CGROUPS,)) and "139" in finding.reason


def test_work_on_one_side_is_tried_where_there_are_more_than_two_cpus() -> None:
    for part in (*FULL, elsewhere(Topology(4, smt=2)), elsewhere(Topology(2, smt=2))):
        names = {one.name for one in part.compared}
        assert ({"W34", "W35"} <= names) == (part.topology is not None and part.topology.cpus > 2), part.name


@pytest.mark.parametrize("part", [SHORT, FULL[1]])
def test_without_hotplug_a_32_bit_number_overflows_at_the_same_moment(part: Part) -> None:
    """What is tried last is not before the mix any more: it must begin as late as ever."""
    kept, ends = part.for_policy(hotplug=True), part.for_policy(hotplug=False)
    assert [one.name for one in ends.last][:1] == ["W28"] and ends.exercises[0].name == "mix"
    assert kept.exercises[0].name == "W28" and abs(ends.uptime_s - kept.uptime_s - kept.exercises[0].seconds) < 0.5
    assert ends.uptime_s <= USUAL_S
    assert Part("x", (Exercise("W1", "W1", 1.0),)).for_policy(hotplug=False).uptime_s == 0


def sides(waited_ms: float, worked: float) -> dict[str, Reading]:
    """What W34 and W35 tell of 1 s on four CPUs: time spent waiting, and which part of all CPU time was used."""
    woken = Group(4, 1500.0, 1.0, 1.0, 1.0, 1500.0, waited_ms, 0.0, 9)
    hogs = Group(4, 4000.0 * worked, 1.0, 1.0, 1.0, 4000.0 * worked, 0.0, 0.0, 9)
    return {"W34": Reading("W34", 4, 1000.0, {"W34-woken": woken}, {}, {}),
            "W35": Reading("W35", 4, 1000.0, {"W35-hog": hogs}, {}, {})}  # fmt: skip


@pytest.mark.parametrize(
    ("waited_ms", "worked", "places"),
    [(150.0, 0.8, []), (151.0, 0.8, ["W34"]), (150.0, 0.79, ["W35"]), (890.0, 0.57, ["W34", "W35"])],
)
def test_idle_cpus_beside_work_on_one_side_reject(waited_ms: float, worked: float, places: list[str]) -> None:
    found = compare(sides(waited_ms, worked), sides(0.0, 1.0), Facts(), cgroups=False)
    assert [(one.bug, one.level, one.place) for one in found] == [("F21", "reject", place) for place in places]


@pytest.mark.parametrize(("place", "bug"), [("W33", "F03"), ("W6", "F13")])
def test_a_stall_in_what_was_made_for_a_suspicion_is_that(place: str, bug: str) -> None:
    suspicion = Finding("F03", "suspicion", "by a flag", "x.bpf.c:1", situations=(Situation.GLANCES,))
    stall = Finding("F13", "reject", "stall", place, code=Code.STALL, basis="evidence")
    stages = answered([Stage("object", True, 0.0, (suspicion,)), Stage("survive", False, 0.0, (stall,))])
    assert stages[1].findings[0].bug == bug


def test_of_threads_that_come_and_go_it_is_said_what_hides_in_the_table() -> None:
    for place, advice in (("W29", ADVICE), ("W8", "Return no error")):
        reading = Reading(place, 2, 1000.0, {f"{place}-x": Group(1, *[1.0] * 7, 9)}, {"fork_errors": 3.0}, {})
        (finding,) = _read_findings(reading, place, Facts(), 2000, "", "")
        assert finding.bug == "F27" and finding.advice.startswith(advice), place


@pytest.mark.parametrize(("name", "refused"), [("my-sched", "'-'"), ("a\x1b[31m", "'['"), ("my_sched.v2", "")])
def test_a_name_that_the_kernel_does_not_take_is_told_by_its_letters(name: str, refused: str) -> None:
    data = object_bytes(KEPT).replace(b"kept\0" + bytes(20), name.encode().ljust(25, b"\0"))
    assert read_facts(data).ops.name == name
    found = [one.reason for one in analyse_object(data).findings if one.bug == "name"]
    assert [refused in reason for reason in found] == [True] * bool(refused)


def test_an_object_without_code_has_no_policy() -> None:
    nothing = bytearray(object_bytes(KEPT))
    sections = [*read_sections(bytes(nothing))]
    at, size, count = struct.unpack_from("<Q", nothing, 40)[0], *struct.unpack_from("<HH", nothing, 58)
    assert count == len(sections)
    for index, section in enumerate(sections):
        if section.executable or section.name.startswith((".BTF", ".rel")):  # they become empty
            struct.pack_into("<Q", nothing, at + index * size + 32, 0)
    assert "it defines no policy" in analyse_object(bytes(nothing)).findings[0].reason


@pytest.mark.parametrize(("basis", "outcome"), [("guess", "partly tried"), ("evidence", "not seen")])
def test_beside_a_guessed_stall_nothing_is_tried_and_not_seen(basis: Basis, outcome: str) -> None:
    asked = Finding("F03", "unknown", "ids at run time", "x.bpf.c:9", situations=(Situation.HOGS,))
    stall = Finding("F13", "reject", "stall", "W5", code=Code.STALL, basis=basis)
    survive = Stage("survive", False, 0.0, (stall,), situations=(str(Situation.HOGS),))
    assert answered([Stage("object", True, 0.0, (asked,)), survive])[0].findings[0].outcome == outcome


@pytest.mark.parametrize(("flags", "words"), [(0, "Kick an idle CPU"), (2, "SCX_ENQ_LAST")])
def test_a_cpu_that_idles_beside_its_last_task_is_advised_by_the_flag(flags: int, words: str) -> None:
    def hogs(share: float) -> dict[str, Reading]:
        return {"W11": Reading("W11", 2, 1000.0, {"W11-hog": Group(2, share, *[1.0] * 3, share, 0.0, 0.0, 9)}, {}, {})}

    (finding,) = compare(hogs(1500.0), hogs(2000.0), Facts(flags=flags), cgroups=False)
    assert finding.bug == "F24" and words in finding.advice


@pytest.mark.parametrize(("came", "is_met"), [(600, True), (599, False), (None, False)])
def test_that_its_tables_overflow_is_tried_where_so_many_came_in_time(came: int | None, is_met: bool) -> None:
    given = told("policy:W1", {} if came is None else {"came": float(came)})
    made = [dataclasses.replace(one, label="policy:W29") if one.label == "policy:W1" else one for one in given]
    part = Part("filling", (Exercise("W29", "W29", 2.0, ("tasks=600",)),))
    reader = Reader(b"object", part, 2000)
    events = [one for one in made if one.label == "policy:W29"]
    assert (Situation.TURNOVER in reader._met(events, ())) is is_met and events

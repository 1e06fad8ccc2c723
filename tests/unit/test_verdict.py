# SPDX-License-Identifier: Apache-2.0
"""Stages into a verdict."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.model import Finding, Stage
from verifier_vm.judge.facts import Facts
from verifier_vm.verdict import (
    HOTPLUG_CALLBACKS,
    LACKED,
    REQUIREMENTS,
    goes_on_with_hotplug,
    lacks,
    merged_by_line,
    merged_by_reason,
    rejection_of,
    require,
    stage_of,
    verdict_of,
)

NOTE = Finding("F41", "note", "no cgroup ops: shares and quotas are void")
UNKNOWN = Finding("F02", "unknown", "the queue's id is computed")
REJECT = Finding("F03", "reject", "queue 7 is never consumed", "mine.bpf.c:12", "consume it in dispatch")
REJECT_TOO = Finding("F01", "reject", "a path loses the task")


def test_notes_and_unknowns_pass_and_the_first_rejection_says_why():
    assert stage_of("object", 0.1, [NOTE, UNKNOWN]).ok
    failed = stage_of("object", 0.1, [NOTE, REJECT, REJECT_TOO], "the matrix")
    assert not failed.ok
    rejection = rejection_of(failed)
    assert (rejection.stage, rejection.bug, rejection.place) == ("object", "F03", "mine.bpf.c:12")
    assert (rejection.reason, rejection.advice, rejection.evidence) == (REJECT.reason, REJECT.advice, "the matrix")
    assert rejection_of(stage_of("build", 0.3)) is None


def test_what_a_policy_lacks_is_one_matter_for_each_need() -> None:
    plain, grouped = (replace(stage_of("object", 0.1), callbacks=names) for names in ((), ("cgroup_init",)))
    needs = {bug: lacks(Finding(bug, "note", "none"), [plain]) for bug in ("F30", "F35", "F41", "F16", "F20")}
    assert needs == {"F30": "hotplug", "F35": "exit-record", "F41": "cgroups", "F16": "", "F20": ""}
    assert needs.keys() >= {REQUIREMENTS[need] for need in LACKED}
    assert lacks(NOTE, [plain]) and not lacks(NOTE, [plain, grouped]), "it has callbacks, and they do nothing"
    assert not lacks(replace(NOTE, level="reject"), [plain])


def test_a_stage_that_failed_without_a_word_lets_nothing_through():
    verdict = verdict_of([Stage("kernel", False, 0.0)])
    assert not verdict.accepted and verdict.rejection.code == Code.UNEXPLAINED


def test_a_verdict_of_no_stages_accepts_nothing():
    assert not verdict_of([]).accepted


def test_the_first_failed_stage_in_order_is_the_rejection():
    stages = [stage_of("source", 0, [NOTE]), stage_of("object", 0, [REJECT]), stage_of("fair", 0, [REJECT_TOO])]
    verdict = verdict_of(stages, ops="mine", data=b"x", kernel="7.3")
    assert not verdict.accepted and verdict.rejection.stage == "object"
    assert verdict.object_sha256 == hashlib.sha256(b"x").hexdigest()
    assert verdict_of(stages[:1], ops="mine").accepted


def test_what_a_host_needs_turns_a_note_into_a_rejection():
    stage = stage_of("object", 0.1, [NOTE, UNKNOWN])
    assert require(stage, {"F41"}).ok is False
    assert rejection_of(require(stage, {"F41"})).bug == "F41"
    assert require(stage, {"F30"}) == stage and require(stage, ()) == stage


def test_what_is_said_of_several_places_is_one_finding_that_counts_them():
    places = [f"mine.bpf.c:{line}" for line in (3, 5, 8)]
    for count, more in ((1, ""), (2, " (and at 1 more place)"), (3, " (and at 2 more places)")):
        stage = stage_of("object", 0.1, [replace(UNKNOWN, place=place) for place in places[:count]])
        (found,) = merged_by_reason(stage).findings
        assert (found.place, found.reason) == ("mine.bpf.c:3", UNKNOWN.reason + more)
    made = merged_by_reason(stage_of("object", 0.1, [NOTE, REJECT, replace(REJECT, place="mine.bpf.c:19"), UNKNOWN]))
    assert made.findings == (REJECT, replace(REJECT, place="mine.bpf.c:19"), NOTE, UNKNOWN), "each rejection is its own"


def test_what_source_and_object_say_of_one_line_is_one_finding_with_both_reasons():
    doubt = Finding("F17", "suspicion", "charged by what is left", "mine.bpf.c:30", "charge the runtime")
    other = [replace(doubt, place="mine.bpf.c:31"), replace(doubt, bug="F16"), replace(REJECT, level="suspicion")]
    source = stage_of("source", 0.1, [doubt, *other])
    again = replace(doubt, reason="not used", advice="sx_mark_cpu_time")
    noted = replace(doubt, bug="F16", level="note")
    later = stage_of("object", 0.2, [REJECT, noted, replace(again, level="unknown"), replace(UNKNOWN, place="")])
    left, made = merged_by_line(source, later)
    assert left.findings == tuple(other[:2]) and (left.name, made.name, made.ok) == ("source", "object", False)
    assert made.findings[0].level == "reject" and made.findings[0].reason.count(REJECT.reason) == 1
    assert made.findings[1] == noted and made.findings[3].bug == "F02"
    assert (made.findings[2].level, made.findings[2].advice) == ("suspicion", again.advice)
    assert again.reason in made.findings[2].reason and doubt.reason in made.findings[2].reason
    assert merged_by_line(source, stage_of("object", 0.2, [noted])) == (source, stage_of("object", 0.2, [noted]))


def test_who_has_both_callbacks_goes_on_when_a_cpu_goes_or_comes():
    both, one, more = (frozenset(names) for names in (HOTPLUG_CALLBACKS, {"cpu_online"}, {*HOTPLUG_CALLBACKS, "x"}))
    for callbacks, goes_on in ((both, True), (one, False), (frozenset({"x"}), False), (more, True)):
        stages = [Stage("kernel", True, 0.0), Stage("survive", True, 0.0, callbacks=tuple(callbacks))]
        assert goes_on_with_hotplug(stages) is goes_on and Facts(callbacks).ends_by_hotplug is not goes_on
    assert not goes_on_with_hotplug([])

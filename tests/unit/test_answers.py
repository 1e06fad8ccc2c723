# SPDX-License-Identifier: Apache-2.0
"""Open questions and their answers; what a policy meets in a guest; and one that a hotplug ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_events import LIMIT_MS, changed, events, labelled, taken_off, verdict

from policy_lake.codes import Code
from policy_lake.coverage import Branch, Coverage, FileCoverage
from policy_lake.events import Attached, Detached, Ran
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Finding, Stage
from tasks.trial.static import as_the_object_knows
from verifier_vm.answers import answered, not_tried
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.oracles import survived
from verifier_vm.judge.stages import Reader
from verifier_vm.judge.suite import FULL, SHORT
from verifier_vm.object.analyse import Analysis
from verifier_vm.situations import SHOWS, Situation
from verifier_vm.verdict import merged_by_reason, rejection_of, stage_of, verdict_of

F14 = Finding("F14", "suspicion", "credit without limit", "mine.bpf.c:9", "clamp it")
F03 = Finding("F03", "suspicion", "not looked into", "mine.bpf.c:5", "look into it")
STALL = Finding("F13", "reject", "a W1-hog made no progress", "W1", "advice of a guess", Code.NO_PROGRESS)
ENDED = ExitRecord(ExitKind.UNREG_KERN, 1 << 32 | 1, "unregistered from the main kernel", "cpu 1 going offline")


def survive(*findings, met=()):
    return replace(stage_of("survive", 1.0, findings), situations=tuple(met))


def outcome(open_finding, *later):
    return answered([stage_of("source", 0.1, [open_finding]), *later])[0].findings[0]


def test_a_suspicion_ends_as_what_came_of_it():
    sleepers = SHOWS["F14"]
    assert outcome(F14).outcome == "not tried" and outcome(F14).situations == sleepers
    assert outcome(F14, survive(met=sleepers)).outcome == "not seen"
    assert outcome(F14, survive(met=[Situation.HOGS])).outcome == "not tried"
    seen = Finding("F14", "reject", "a W7-hog waits", "W7", code=Code.NO_PROGRESS)
    assert outcome(F14, survive(seen, met=sleepers)).outcome == "witnessed"
    assert outcome(F14, stage_of("object", 0.1, [replace(F14, level="reject")])).outcome == "proven"
    assert outcome(F14, stage_of("object", 0.1, [replace(F14, level="note")])).outcome == "not tried"
    figure = Finding("F14", "note", "uneven", "W7", code=Code.SHARE)
    assert outcome(F14, stage_of("fair", 0.1, [figure])).outcome == "witnessed"


def test_that_a_cpu_idles_is_not_what_any_stall_shows():
    last = Finding("F24", "suspicion", "never tests SCX_ENQ_LAST", "mine.bpf.c:9", "test it")
    source, later = answered([stage_of("source", 0.1, [last]), survive(STALL, met=SHOWS["F24"])])
    assert source.findings[0].outcome == "not seen" and later.findings == (STALL,)
    idled = Finding("F24", "reject", "a CPU idled", "W11", code=Code.IDLE_CPU)
    assert outcome(last, survive(idled)).outcome == "witnessed"
    assert outcome(F14, survive(STALL)).outcome == "witnessed"


def test_every_situation_that_would_show_it_must_have_been_met():
    some, most = replace(F14, situations=("a", "b")), survive(met=["a"])
    assert outcome(some, survive(met=["c"])).outcome == "not tried"
    assert (
        outcome(some, most).outcome == "partly tried" and outcome(some, survive(met=["a", "b"])).outcome == "not seen"
    )
    assert not_tried(answered([stage_of("source", 0.1, [some]), most])) == ("F14: b",)
    unheard_of = Finding("F99", "unknown", "who knows")
    assert not_tried(answered([stage_of("source", 0.1, [unheard_of])])) == (
        "F99: no situation that executes it is known",
    )
    assert not_tried(answered([stage_of("source", 0.1, [some]), survive(met=["a", "b"])])) == ()


def coverage_of(**ways):
    """One condition at line 9 of mine.bpf.c, and what became of its two ways."""
    branch = Branch("mine_enqueue", "mine.bpf.c", 9, 2, 0, **({"jumped": "ran", "went_on": "ran"} | ways))
    return Coverage("", files=(FileCoverage("mine.bpf.c", ran=(9,), not_tried=(5,)),), conditions=(branch,))


def test_what_was_never_executed_was_not_tried_whatever_was_met():
    stages = [stage_of("source", 0.1, [F14, F03]), survive(met=[*SHOWS["F14"], *SHOWS["F03"]])]

    def outcomes(coverage):
        return [finding.outcome for finding in answered(stages, coverage)[0].findings]

    assert outcomes(None) == ["not seen", "not seen"] == outcomes(Coverage("the clock does not tell"))
    assert outcomes(coverage_of()) == ["not seen", "not tried"], "line 5 has code that did not run"
    assert outcomes(coverage_of(went_on="not tried")) == ["not tried", "not tried"], "one way of line 9 did not"
    assert outcomes(coverage_of(went_on="error")) == ["not seen", "not tried"], "an error path is none that matters"
    assert outcomes(coverage_of(went_on="dead"))[0] == "not seen"
    verdict = verdict_of(stages, coverage=coverage_of(went_on="not tried"))
    assert verdict.accepted and verdict.stages[0].findings[0].outcome == "not tried"
    assert not_tried(verdict.stages) == (
        "F03: no situation that executes it is known", "F14: no situation that executes it is known",
    )  # fmt: skip
    again = verdict_of(verdict.stages, coverage=coverage_of())
    assert again.stages[0].findings[0].outcome == "not seen", "another guest took that way"


def test_what_is_settled_has_no_outcome_and_answering_twice_changes_nothing():
    stages = [stage_of("source", 0.1, [F14, Finding("F41", "note", "none")]), survive(STALL, met=SHOWS["F14"])]
    once = answered(stages)
    assert once[0].findings[1].outcome == "" and answered(once) == once


def test_a_stall_is_told_as_the_one_suspicion_that_starves():
    found = verdict_of([stage_of("object", 0.1, [F03]), survive(STALL)]).rejection
    assert (found.bug, found.advice, found.code) == ("F03", "look into it", Code.NO_PROGRESS)
    assert found.reason.startswith(STALL.reason) and "mine.bpf.c:5" in found.reason
    for others in ([F03, F14], [replace(F03, level="unknown")], [replace(F03, bug="F17")]):
        assert verdict_of([stage_of("object", 0.1, others), survive(STALL)]).rejection.bug == "F13"
    refused = Finding("F10", "reject", "not allowed for", "W5", code=Code.EXIT_ERROR)
    assert verdict_of([stage_of("object", 0.1, [F03]), survive(refused)]).rejection.bug == "F10"


def test_a_stall_is_explained_once_and_whatever_its_reason_says_of_itself():
    once = answered([stage_of("object", 0.1, [F03]), survive(STALL)])
    assert once[1].findings[0].explained and answered(once) == once
    moved = [replace(once[0], findings=(replace(F03, place="mine.bpf.c:8"),)), once[1]]
    assert answered(moved)[1].findings == once[1].findings
    alike = replace(STALL, reason=f"a task named '; as suspected at {F03.place}: {F03.reason}' made no progress")
    told = answered([stage_of("object", 0.1, [F03]), survive(alike)])[1].findings[0]
    assert told.explained and told.bug == "F03" and told.reason.count("as suspected at") == 2


def test_what_is_said_of_many_places_is_said_once():
    many = [Finding("F29", "suspicion", "ends it", f"mine.bpf.c:{line}") for line in range(1, 46)]
    other = Finding("F29", "suspicion", "ends it otherwise", "mine.bpf.c:50")
    rejects = [replace(many[0], level="reject", place=place) for place in ("a", "b")]
    merged = merged_by_reason(stage_of("source", 0.1, [*many, other, *rejects])).findings
    assert [finding.place for finding in merged] == ["a", "b", "mine.bpf.c:1", "mine.bpf.c:50"]
    assert merged[2].reason == "ends it (and at 44 more places)" and merged[3].reason == other.reason


def test_the_object_knows_which_lines_run_and_which_slices_are_given():
    endless = Finding("F19", "suspicion", "a slice without end", "mine.bpf.c:3")
    outside = Finding("include", "reject", "it asks for a file", "mine.bpf.c:9")
    source = stage_of("source", 0.1, [F14, endless, outside])
    assert as_the_object_knows(source, Analysis(source)) == source
    left = as_the_object_knows(source, Analysis(source, frozenset([("source/mine.bpf.c", 9)]), frozenset(["F19"])))
    assert left.findings == (outside,) and not left.ok


def reading(given, part):
    return Reader(b"object", part, LIMIT_MS).read(given, kernel="7.3.4")


def ended_by_hotplug(record=ENDED, callbacks="enqueue exit"):
    """The golden guest's events as of a policy without hotplug callbacks, put on once more for W28, and for W9."""
    given = changed("attach", "log", f"has: {callbacks} flags:0")
    attach, detach = (labelled(given, label) for label in ("attach", "detach"))
    assert isinstance(attach, Attached) and isinstance(detach, Detached)
    ending = []
    for name in ("W28", "W9"):
        plugged = labelled(given, f"policy:{name}")
        assert isinstance(plugged, Ran)
        gone = replace(plugged.sched, after=replace(plugged.sched.after, state="disabled", ops=""), attached=3)
        ending += [replace(attach, label=f"attach-{name}"), replace(plugged, ok=False, sched=gone)]
        ending.append(replace(detach, label="", exit_record=record))
    return [*(event for event in given if event.label not in ("policy:W28", "policy:W9")), *ending]


def test_a_policy_that_a_hotplug_ends_is_tried_to_that_end_and_noted():
    part = SHORT.for_policy(hotplug=False)
    left = {one.name for one in SHORT.exercises} - {one.name for one in part.exercises}
    assert [one.name for one in part.last] == ["W28", "W9"] and left == {"W9", "W28"} and not part.offline
    labels = [step.label for step in part.steps((), LIMIT_MS)]
    assert labels[-2:] == ["attach-W9", "policy:W9"] and len(set(labels)) == len(labels)
    found = reading(ended_by_hotplug(), part)
    assert found.accepted, found.rejection
    survived = next(stage for stage in found.stages if stage.name == "survive")
    said = [(f.bug, f.level, f.code, f.place) for f in survived.findings if f.code == Code.ENDED_BY_HOTPLUG]
    assert said == [("F30", "note", Code.ENDED_BY_HOTPLUG, "W28")], "once, whatever ended it"
    assert {Situation.HOTPLUG, Situation.LATE_CPU} <= set(survived.situations)


@pytest.mark.parametrize(("place", "reason", "level"), [
    ("W9", "unregistered from the main kernel", "note"),
    ("W2", "unregistered from the main kernel", "reject"),
    ("W9", "runtime error", "reject"),
])  # fmt: skip
def test_without_a_record_a_tidy_end_while_a_cpu_went_is_the_hotplug_s(place, reason, level):
    event = next(event for event in ended_by_hotplug() if event.label == "policy:W9" and not event.ok)
    log = f'sched_ext: BPF scheduler "x" disabled ({reason})'
    facts = Facts(frozenset({"enqueue"}))
    (found,) = survived(replace(event, label=f"policy:{place}"), taken_off(kmsg=(log,)), facts, LIMIT_MS)
    assert (found.level, found.code == Code.ENDED_BY_HOTPLUG) == (level, level == "note")


@pytest.mark.parametrize(
    ("record", "callbacks"),
    [
        (ENDED, "enqueue exit cpu_online cpu_offline"),
        (replace(ENDED, kind=ExitKind.ERROR), "enqueue exit"),
        (replace(ENDED, message="", reason="words of no cause", code=1), "enqueue exit"),
        (
            ExitRecord(ExitKind.ERROR_STALL, 0, "runnable task stall", "W9-hog[9] failed to run for 2.9s"),
            "enqueue exit",
        ),
    ],
)
def test_any_other_end_in_a_hotplug_rejects(record, callbacks):
    found = reading(ended_by_hotplug(record, callbacks), SHORT.for_policy(hotplug=False))
    assert not found.accepted and found.rejection.stage == "survive"


def test_a_policy_with_both_callbacks_meets_hotplug_among_the_rest():
    assert SHORT.for_policy(hotplug=True) == SHORT
    for part in FULL:
        assert [one.name for one in part.for_policy(hotplug=False).last][-1:] == ["W9"]


def test_a_guest_says_what_the_policy_met():
    met = next(stage for stage in verdict(events("accepted")).stages if stage.name == "survive").situations
    assert {Situation.HOGS, Situation.SLEEPERS, Situation.HOTPLUG, Situation.DETACH, Situation.ATTACH} <= set(met)
    assert not {Situation.MANY_CPUS, Situation.RELOAD, Situation.FULL_TABLES} & set(met)
    stalled = next(stage for stage in verdict(events("stalled")).stages if stage.name == "survive").situations
    assert Situation.SLEEPERS not in stalled


def test_a_stage_of_an_older_record_has_met_nothing():
    assert Stage("survive", True, 0.1).situations == () and rejection_of(Stage("survive", True, 0.1)) is None

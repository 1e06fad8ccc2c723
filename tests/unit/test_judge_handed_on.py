# SPDX-License-Identifier: Apache-2.0
"""What the judge hands on from one record to the next: digests, bases, limits, which guests a comparison is made in."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from gate_events import LIMIT_MS, events, told, verdict
from test_thresholds import group, reading

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.events import Attached, SchedState
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Finding, Rejection
from policy_lake.topology import Topology
from verifier_vm.judge import control
from verifier_vm.judge.console import kernel_death
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.fairness import compare
from verifier_vm.judge.kernel_words import STORM, cause_of_exit, cause_of_warnings
from verifier_vm.judge.loading import load_findings
from verifier_vm.judge.part import STEP_LIMIT_S, Exercise, Part
from verifier_vm.judge.stages import merged, verdict_of_death
from verifier_vm.judge.suite import FULL, SHORT, elsewhere
from verifier_vm.situations import Situation, in_order
from verifier_vm.verdict import stage_of, verdict_of

OBJECT_SHA256 = hashlib.sha256(b"object").hexdigest()


def test_a_verdict_has_the_object_that_it_is_about() -> None:
    assert verdict(events("accepted")).object_sha256 == OBJECT_SHA256
    console = "[ 0.1] x\n[ 0.2] Kernel panic - not syncing: Fatal exception\n"
    death = kernel_death(console)
    assert death is not None
    found = verdict_of_death(LostVMError("gone", console), b"object")
    cause = cause_of_warnings(console.splitlines(), death)
    assert found.object_sha256 == OBJECT_SHA256 and found.rejection is not None
    assert (found.rejection.code, found.rejection.bug, found.rejection.basis) == (
        Code.KERNEL_DEATH, cause.bug, cause.basis,
    )  # fmt: skip


def test_what_one_guest_says_twice_is_said_once() -> None:
    twice = told("policy:W1", {"W1-hog.gap_ms": 2200.0}, told("policy:mix", {"W1-hog.gap_ms": 2300.0}))
    found = [finding for stage in verdict(twice).stages for finding in stage.findings if finding.level == "reject"]
    assert [(finding.bug, finding.place, "2300" in finding.reason) for finding in found] == [("F01", "W1", True)]


@pytest.mark.parametrize("bad_first", [True, False])
def test_of_several_guests_any_rejects_and_what_they_met_is_told_in_order(bad_first: bool) -> None:
    some = in_order(Situation)
    good = replace(stage_of("survive", 1.0), situations=some[3:5])
    bad = replace(stage_of("survive", 1.0, [Finding("F13", "reject", "a task waits")]), situations=some[:2])
    given = [verdict_of([stage], data=b"object") for stage in (good, bad)]
    made = merged(given[::-1] if bad_first else given)
    assert not made.accepted and made.rejection is not None and made.rejection.bug == "F13"
    assert made.stages[0].situations == (*some[:2], *some[3:5])
    assert merged([given[0], given[0]]).accepted


def test_the_trusted_policy_is_loaded_with_the_same_limit_and_given_time_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Any] = []
    monkeypatch.setattr(control, "_fails", lambda code, job, machine, limit_ms: bool(jobs.append(job)))
    exercise: Any = Exercise("W7", "W7", 1.0)
    failed = Rejection("survive", "it hung", "", place="W7", code=Code.HUNG)
    machine: Any = SimpleNamespace(clock=None)
    part = Part("x", (exercise,), Topology(8))
    control.who_fails_alike(failed, exercise, machine, part, limit_ms=LIMIT_MS, trusted=lambda: b"sound")
    attach, detach = jobs[1].steps[0], jobs[1].steps[-1]
    assert attach.args[1:] == (f"ops.timeout_ms={LIMIT_MS}",) and (detach.verb, detach.timeout_s) == ("detach", 20)


def test_switches_without_end_are_a_guess_and_only_hogs_count() -> None:
    assert reading("W6", {"W6-pinned": group(switches=90_000)}).storm() == ""
    policy = reading("W1", {"W1-hog": group(switches=90_000, work_ms=100.0)})
    found = compare({"W1": policy}, {"W1": reading("W1", {"W1-hog": group()})}, Facts(), cgroups=False)
    storms = [(one.code, one.basis) for one in found if one.bug == STORM.bug]
    assert storms == [(Code.OVERHEAD, STORM.basis)] and STORM.basis


def test_which_exercises_are_compared_with_eevdf_s() -> None:
    compared = {"W1", "W2", "W4", "W4-same", "W8", "W10", "W11", "W15", "W21", "W30", "W37"}
    for part in FULL:
        sides = {"W34", "W35"} if part.topology and part.topology.cpus > 2 else set()
        assert {one.name for one in part.exercises if one.base_s > 0} == compared | sides, part.name
    assert {one.name for one in SHORT.exercises if one.base_s > 0} == compared - {"W8"}
    assert {one.name for one in elsewhere(Topology(8)).exercises if one.base_s > 0} == {"W1", "W10", "W34", "W35"}
    assert all(one.base_s <= one.seconds for part in (SHORT, *FULL) for one in part.exercises)


def attached(phase: Any, **more: Any) -> Any:
    off = SchedState("disabled", "", 0)
    event = Attached(label="attach", ok=False, seconds=0.1, phase=phase, ops="", enable_seq=0, sched=off, **more)
    (found,) = load_findings(event)
    return found


def test_why_an_attachment_ended_is_read_from_the_kernel_s_log_the_record_or_the_loader() -> None:
    words = 'sched_ext: BPF scheduler "x" disabled (scx_bpf_error)', "sched_ext: x: bad dsq 7"
    record = ExitRecord(ExitKind.ERROR, 0, "runtime error", "of the record")
    assert "bad dsq 7" in attached("attach", kmsg=words, exit_record=record).reason
    assert "of the record" in attached("attach", exit_record=record).reason
    found = attached("attach", log="has: enqueue\n\nloader: cannot attach: Argument list too long")
    assert "Argument list too long" in found.reason and "\n" not in found.reason and "has:" not in found.reason


@pytest.mark.parametrize(
    "words", ["invalid DSQ ID 0x5", "cannot use vtime ordering", "W6-pinned[117] failed to run for 2.9s"]
)
def test_a_known_end_has_the_basis_of_its_cause(words: str) -> None:
    found = attached("attach", exit_record=ExitRecord(ExitKind.ERROR, 0, words))
    assert (found.bug, found.basis) == (cause_of_exit(words).bug, cause_of_exit(words).basis)


def test_cgroups_have_weights_before_only_for_whom_shall_meet_them_and_that_has_its_time() -> None:
    part = Part("x", (Exercise("W1", "W1", 1.0),), Topology(2))
    met = replace(part, exercises=(Exercise("W12-before", "W12-before", 1.0),))
    assert not part.weighted and part.before(virtual=True) == () and met.weighted
    (weigh,) = met.before(virtual=True)
    assert weigh.args == ("adversary", "weigh") and weigh.timeout_s == STEP_LIMIT_S

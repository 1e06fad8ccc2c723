# SPDX-License-Identifier: Apache-2.0
"""Who is asked whether he fails alike, in which order, and what his answer means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_vm import VIRTUAL, WALL, FakeVM

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.model import Rejection
from policy_lake.topology import Topology
from verifier_vm.judge import control
from verifier_vm.judge.control import DOUBTFUL, ENDING, doubtful, who_fails_alike
from verifier_vm.judge.part import OBJECT, Exercise, Part
from verifier_vm.verdict import stage_of, verdict_of

W3, W7 = Exercise("W3", "W3", 1.0), Exercise("W7", "W7", 1.0)
MIX = Exercise("mix", "W1+W6", 3.0)
PART = Part("part", (MIX, W3, Exercise("W1", "W1", 0.3)), Topology(8))


def failed(code: Code, place: str = "W3") -> Rejection:
    return Rejection("survive", "it failed", "", "F27", place, "", code)


@pytest.mark.parametrize("code", Code)
def test_only_what_a_guest_can_bring_about_is_doubted(code: Code) -> None:
    assert (doubtful(failed(code), PART) == W3) == (code in DOUBTFUL | ENDING)
    usual = Part("usual", PART.exercises, Topology())
    assert (doubtful(failed(code), usual) == W3) == (code in DOUBTFUL)


def test_what_happened_outside_an_exercise_is_not_repeated() -> None:
    assert doubtful(failed(Code.KERNEL_WARNING, "W17"), PART) is None


def test_a_workload_is_found_alone_or_among_others_at_once() -> None:
    assert doubtful(failed(Code.STALL, "W6"), PART) == MIX
    found = doubtful(failed(Code.STALL, "W1"), PART)
    assert found and found.name == "W1"


def ask(monkeypatch: pytest.MonkeyPatch, answers: list[bool], trusted: Any = lambda: b"sound") -> tuple[Any, list[Any]]:
    jobs: list[Any] = []

    def fails(code: Code, job: Any, machine: Any, limit_ms: int) -> bool:
        jobs.append(job)
        return answers[len(jobs) - 1]

    monkeypatch.setattr(control, "_fails", fails)
    return who_fails_alike(failed(Code.HUNG), W3, VIRTUAL, PART, limit_ms=2000, trusted=trusted), jobs


@pytest.mark.parametrize(
    ("answers", "who"), [([True], "EEVDF"), ([False, True], "a trusted policy"), ([False, False], None)]
)
def test_eevdf_is_asked_first_then_a_trusted_policy(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool], who: str | None
) -> None:
    found, jobs = ask(monkeypatch, answers)
    assert found == who and len(jobs) == len(answers)
    assert [OBJECT in job.files for job in jobs] == [False, True][: len(jobs)]
    for job in jobs:
        assert [step.label for step in job.steps if step.label.startswith("policy:")] == ["policy:W3"]
    assert [step.verb for step in jobs[-1].steps].count("attach") == len(jobs) - 1


def test_without_a_trusted_policy_eevdf_alone_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, [False], trusted=None) == (None, ask(monkeypatch, [False], trusted=None)[1])


@pytest.mark.parametrize(
    ("scenario", "code", "fails"),
    [
        ("kernel warns", Code.KERNEL_WARNING, True), ("kernel warns", Code.FORK_FAILED, False),
        ("good policy", Code.KERNEL_WARNING, False),
    ],
)  # fmt: skip
def test_only_a_failure_of_the_same_kind_is_alike(
    monkeypatch: pytest.MonkeyPatch, scenario: str, code: Code, fails: bool
) -> None:
    from policy_lake.guest import GuestJob

    FakeVM(scenario).install(monkeypatch, control)
    job = GuestJob({}, Part("x", (W7,)).steps((), 2000))
    assert control._fails(code, job, VIRTUAL, 2000) is fails


def test_a_lost_control_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from policy_lake.guest import GuestJob

    FakeVM("good policy").install(monkeypatch, control)
    with pytest.raises(LostVMError):
        control._fails(Code.HUNG, GuestJob({}, ()), VIRTUAL, 2000)


def controls(
    monkeypatch: pytest.MonkeyPatch, exercise: Exercise, part: Part, machine: Any = VIRTUAL, **more: Any
) -> Any:
    """The jobs of both controls."""
    jobs: list[Any] = []
    monkeypatch.setattr(control, "_fails", lambda code, job, machine, limit_ms: bool(jobs.append(job)))
    who_fails_alike(failed(Code.HUNG), exercise, machine, part, limit_ms=2000, trusted=lambda: b"sound", **more)
    return jobs


@pytest.mark.parametrize("machine", [VIRTUAL, WALL])
def test_a_guest_is_made_ready_as_it_was_where_the_exercise_was_the_first(
    monkeypatch: pytest.MonkeyPatch, machine: Any
) -> None:
    virtual = machine.clock is not None
    part = Part("late", (W7, W3), Topology(8), uptime_s=4000, offline=True)
    for exercise, offline in ((W7, True), (W3, False)):
        expected = replace(part, offline=offline).before(virtual=virtual)
        for job in controls(monkeypatch, exercise, part, machine):
            assert job.steps[: len(expected)] == expected
            assert (job.steps[len(expected)].label, job.seed) in ((f"policy:{exercise.name}", 0), ("attach", 0))
    never = Part("part", (W7, W3), Topology(8))
    assert [job.steps[0].label for job in controls(monkeypatch, W7, never, machine)] == ["policy:W7", "attach"]
    assert [job.seed for job in controls(monkeypatch, W7, never, machine, seed=7)] == [7, 7]


def test_what_is_left_of_a_failure_is_a_note_of_the_stage_that_survived() -> None:
    note = control.note_of(failed(Code.HUNG), "EEVDF")
    assert (note.level, note.place, note.code) == ("note", "W3", Code.HUNG) and "EEVDF" in note.reason
    verdict = verdict_of([stage_of(name, 1.0, []) for name in ("kernel", "survive", "fair")])
    assert [stage.findings for stage in control.with_notes(verdict, [note]).stages] == [(), (note,), ()]


def test_a_control_that_ran_well_under_nothing_fails_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from policy_lake.guest import GuestJob

    FakeVM("good policy").install(monkeypatch, control)
    job = GuestJob({}, Part("x", (W7,)).steps((), 2000))
    assert not any(control._fails(code, job, VIRTUAL, 2000) for code in Code)


def test_what_makes_a_guest_ready_is_no_failure_in_an_exercise(monkeypatch: pytest.MonkeyPatch) -> None:
    from policy_lake.guest import GuestJob

    FakeVM("kernel warns").install(monkeypatch, control)
    job, guest = GuestJob({}, Part("x", (W7,)).steps((), 2000)), control.run

    def before(job: Any, machine: Any) -> Any:
        report = guest(job, machine)
        (ran,) = [event for event in report.events if event.label == "policy:W7"]
        well = replace(ran, kmsg=())
        return replace(report, events=(replace(ran, label="offline"), well)) if ran.kmsg else report

    monkeypatch.setattr(control, "run", before)
    assert not control._fails(Code.KERNEL_WARNING, job, VIRTUAL, 2000)

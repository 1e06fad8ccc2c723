# SPDX-License-Identifier: Apache-2.0
"""The gate and its guests: which are started, when a second look is taken, and what a lost one means."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from fake_vm import PANIC, SCENARIOS, VIRTUAL, WALL, FakeVM, Scenario, limit_of

from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.errors import InfraError, LostVMError
from policy_lake.events import Attached, Done, Hello, LaidOut, Ran
from policy_lake.guest import GuestStep
from policy_lake.model import Finding
from policy_lake.topology import Topology
from verifier_vm.judge import gate
from verifier_vm.judge.case import parse_case
from verifier_vm.judge.part import FULL_UPTIME_S, OBJECT
from verifier_vm.judge.suite import FULL, SHORT
from verifier_vm.machine.snapshot import WarmUpError
from verifier_vm.verdict import stage_of, verdict_of


def verified(monkeypatch, scenario, machine=WALL, *, alike=None, **options):
    vm = FakeVM(scenario).install(monkeypatch, gate)
    monkeypatch.setattr(gate, "who_fails_alike", lambda *_, **__: alike)
    return gate.verify_object(b"object", ("slice_ns=1",), machine, **options), vm


def limits(vm):
    return [limit_of(job) for job in vm.jobs]


def test_a_good_policy_meets_the_suite_once(monkeypatch):
    result, vm = verified(monkeypatch, "good policy", seed=7)
    assert result.verdict.accepted and result.verdict.kernel == "7.3.4" and result.verdict.ops == "fake"
    assert limits(vm) == [2000] and vm.jobs[0].seed == 7 and vm.jobs[0].files == {OBJECT: b"object"}
    assert vm.jobs[0].steps == (*SHORT.before(virtual=False), *SHORT.steps(("slice_ns=1",), 2000))
    assert vm.deadlines_s == [SHORT.deadline_s]


BUSY = [
    ("stall at the first limit only", [2000, 5000], None),
    ("stall at both limits", [2000, 5000], Code.STALL),
    ("no progress at the first limit only", [2000, 5000], None),
    ("no progress at both limits", [2000, 5000], Code.NO_PROGRESS),
    ("hangs at the first limit only", [2000, 5000], None),
    ("idle CPUs at both limits", [2000, 5000], Code.IDLE_CPU),
    ("kernel warns", [2000], Code.KERNEL_WARNING),
    ("ends by itself", [2000], Code.EXIT_ERROR),
    ("refused by the BPF verifier", [2000], Code.REFUSED_BY_VERIFIER),
    ("kernel dies saying why", [2000], Code.KERNEL_DEATH),
]


@pytest.mark.parametrize(("scenario", "limits_ms", "code"), BUSY)
def test_by_the_wall_clock_what_the_host_may_have_caused_is_looked_at_twice(monkeypatch, scenario, limits_ms, code):
    result, vm = verified(monkeypatch, scenario)
    rejection = result.verdict.rejection
    assert (limits(vm), rejection and rejection.code) == (limits_ms, code), rejection


@pytest.mark.parametrize("scenario", ["stall at the first limit only", "no progress at the first limit only"])
def test_in_virtual_time_a_stall_is_the_policys_own(monkeypatch, scenario):
    result, vm = verified(monkeypatch, scenario, VIRTUAL)
    assert not result.verdict.accepted and limits(vm) == [2000]


@pytest.mark.parametrize("situation", ["W9 seconds=1", "W28 seconds=1", "W9+W5 seconds=1"])
def test_one_situation_that_is_all_hotplug_is_read_for_a_policy_without_the_callbacks(monkeypatch, situation):
    vm = FakeVM("good policy").install(monkeypatch, gate)
    case = parse_case(situation, "x")
    verdict = gate.verify_part(b"object", (), VIRTUAL, case.part, hotplug=False).verdict
    assert len(vm.jobs) == 1 and [stage.name for stage in verdict.stages] == ["kernel", "survive", "fair"]


def test_a_death_in_words_rejects_without_a_report(monkeypatch):
    result, _ = verified(monkeypatch, "kernel dies saying why")
    assert result.report is None and result.verdict.rejection.stage == "survive"


@pytest.mark.parametrize("scenario", ["kernel dies without a word", "guest lost silently", "guest lost silently, once"])
def test_a_guest_that_is_lost_says_nothing_of_the_policy(monkeypatch, scenario):
    with pytest.raises(LostVMError):
        verified(monkeypatch, scenario)


def test_a_guest_lost_at_the_second_look_is_lost_and_a_death_there_rejects(monkeypatch):
    stalls = replace(SCENARIOS["stall at the first limit only"], dies_at="policy:W3")
    with pytest.raises(LostVMError):
        verified(monkeypatch, stalls)
    result, vm = verified(monkeypatch, replace(stalls, console=PANIC))
    assert result.verdict.rejection.code == Code.KERNEL_DEATH and limits(vm) == [2000, 5000]


@pytest.mark.parametrize(("number", "failing", "seeds", "code"), [
    (-12, (4,), [4, 5], None), (-12, (4, 5), [4, 5], Code.NO_MEMORY), (-11, (4,), [4], Code.REFUSED_ON_ATTACH),
])  # fmt: skip
def test_a_policy_without_memory_is_asked_from_one_more_seed(monkeypatch, number, failing, seeds, code):
    refuses = Scenario(refused_at="attach", refusal=f"ops.init_task() failed ({number}) for kworker/1:0[9]")
    asked = []

    def run(job, *given, **more):
        asked.append(job.seed)
        return FakeVM(refuses if job.seed in failing else "good policy")(job, *given, **more)

    monkeypatch.setattr(gate, "run", run)
    found = gate.verify_part(b"object", (), VIRTUAL, SHORT, seed=4).verdict
    assert (asked, found.rejection and found.rejection.code) == (seeds, code)
    notes = [finding for stage in found.stages for finding in stage.findings if finding.code == Code.NO_MEMORY]
    assert [note.level for note in notes] == {(4,): ["note"], (4, 5): ["reject"]}[failing] * (number == -12)


@pytest.mark.parametrize(("scenario", "noted"), [("no exit record", False), ("nothing stored", True)])
def test_a_record_that_stays_empty_is_noted_and_one_that_no_loader_knows_is_the_object_stages(
    monkeypatch, scenario, noted
):
    verdict = verified(monkeypatch, scenario)[0].verdict
    codes = {f.code for stage in verdict.stages for f in stage.findings}
    assert verdict.accepted and (Code.NO_EXIT_RECORD in codes) == noted


def test_what_follows_the_suite_has_time_of_its_own_and_lies_in_the_same_report(monkeypatch):
    then = (GuestStep("run", ("batch", "--seed", "1"), "baseline-0", timeout_s=30),)
    result, vm = verified(monkeypatch, "good policy", then=then, files={"x": b"y"})
    assert vm.deadlines_s == [SHORT.deadline_s + 30] and vm.jobs[0].files == {"x": b"y", OBJECT: b"object"}
    assert result.verdict.accepted and result.report.events[-1].label == "baseline-0"
    assert verified(monkeypatch, "good policy", deadline_s=9.0)[1].deadlines_s == [9.0]


def test_events_are_seen_as_they_come(monkeypatch):
    events = []
    verified(monkeypatch, "good policy", on_event=events.append)
    assert [type(event) for event in events[:5]] == [Hello, Ran, Attached, LaidOut, Ran] and isinstance(
        events[-1], Done
    )


def test_what_ran_is_known_in_virtual_time_alone(monkeypatch):
    result, vm = verified(monkeypatch, "good policy")
    assert "by the wall clock" in result.verdict.coverage.unknown and vm.warm_ups == [()]
    result, vm = verified(monkeypatch, "good policy", VIRTUAL)
    assert result.verdict.coverage.unknown == "the fake guest has no code"
    result, _ = verified(monkeypatch, "ends by itself", VIRTUAL, tier="full", check_all=True)
    assert result.verdict.coverage.unknown == "the fake guest has no code"


def test_the_guest_has_been_up_for_more_than_an_hour_before_it_is_given_a_policy(monkeypatch):
    rest = GuestStep("rest", (str(SHORT.uptime_s),), "rest")
    assert SHORT.uptime_s > 3600 and rest not in verified(monkeypatch, "good policy", WALL)[1].jobs[0].steps
    result, vm = verified(monkeypatch, "good policy", replace(VIRTUAL, snapshots=None))
    assert vm.jobs[0].steps[0] == rest and isinstance(result.report.events[0], Attached)
    result, vm = verified(monkeypatch, "good policy", replace(VIRTUAL, snapshots=Path("kept")))
    assert [job.steps for job in vm.warm_ups[0]] == [SHORT.before(virtual=True)] and vm.warm_ups[0][0].stays
    assert rest not in vm.jobs[0].steps and isinstance(result.report.events[0], Attached)
    assert {part.uptime_s for part in FULL} == {0, FULL_UPTIME_S}  # what fails in the first hour is seen, too


@pytest.mark.parametrize("machine", [WALL, replace(VIRTUAL, snapshots=None), replace(VIRTUAL, snapshots=Path("kept"))])
def test_a_guest_that_could_not_be_made_ready_for_the_policy_says_nothing_of_it(monkeypatch, machine):
    with pytest.raises(InfraError, match="step 'offline': the guest could not be made ready"):
        verified(monkeypatch, Scenario(fails_at="offline"), machine)
    with pytest.raises(LostVMError):
        verified(monkeypatch, Scenario(dies_at="offline"), machine)


def test_a_guest_that_is_lost_before_it_has_the_policy_says_nothing_of_it(monkeypatch):
    def lost(*_, **__):
        raise WarmUpError("step 'rest' of the warm-up failed", PANIC)

    monkeypatch.setattr(gate, "run", lost)
    with pytest.raises(WarmUpError):
        gate.verify_object(b"object", (), VIRTUAL)


def test_the_full_tier_meets_every_topology_and_stops_at_the_first_rejection(monkeypatch):
    result, vm = verified(monkeypatch, "good policy", VIRTUAL, tier="full")
    assert result.verdict.accepted, result.verdict.rejection
    assert [machine.topology for machine in vm.machines] == [part.topology or Topology() for part in FULL]
    _, stopped = verified(monkeypatch, "ends by itself", VIRTUAL, tier="full")
    assert len(stopped.jobs) == 1
    _, everything = verified(monkeypatch, "ends by itself", VIRTUAL, tier="full", check_all=True)
    assert len(everything.jobs) == len(FULL)


def test_a_reload_that_fails_rejects(monkeypatch):
    given = Scenario(refused_at="attach-2")
    result, _ = verified(monkeypatch, given, VIRTUAL, tier="full")
    assert (result.verdict.rejection.stage, result.verdict.rejection.code) == ("survive", Code.REFUSED_BY_VERIFIER)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_a_guest_of_both_clocks(monkeypatch, scenario):
    for machine in (WALL, VIRTUAL):
        try:
            result, _ = verified(monkeypatch, scenario, machine)
        except LostVMError:
            continue
        assert result.verdict.stages and (result.report is None or (result.report.counts is None) == (machine is WALL))


@pytest.mark.parametrize("alike", ["EEVDF", "a trusted policy"])
def test_a_failure_that_is_not_the_policys_is_noted_and_the_rest_is_tried_without_it(monkeypatch, alike):
    result, vm = verified(monkeypatch, "kernel warns", alike=alike)
    tried = [[step.label for step in job.steps if step.label.startswith("policy:")] for job in vm.jobs]
    assert len(tried) > 1 and all(len(more) == len(less) + 1 for more, less in pairwise(tried))
    notes = [f for stage in result.verdict.stages for f in stage.findings if f.code == Code.KERNEL_WARNING]
    assert {note.level for note in notes[: len(tried) - 1]} <= {"note", "reject"}
    assert any(alike in note.reason and not note.advice for note in notes)


def test_what_ended_a_policy_elsewhere_and_ends_a_trusted_one_alike_gives_no_verdict(monkeypatch):
    large = replace(VIRTUAL, topology=Topology(8))
    with pytest.raises(InfraError, match="8 CPUs, mix: a trusted policy fails alike"):
        verified(monkeypatch, "stall at the first limit only", large, alike="a trusted policy")
    result, _ = verified(monkeypatch, "stall at the first limit only", VIRTUAL, alike="a trusted policy")
    assert result.verdict.rejection.code == Code.STALL, "on the usual guest nobody else is asked"


@pytest.mark.parametrize(
    ("accepted", "report"), [((True, True, True), 0), ((True, True, False), 2), ((True, False, True), 1), ((False,), 0)]
)
def test_the_report_is_of_the_first_guest_or_of_the_one_that_rejects(monkeypatch, accepted, report):
    made = iter(enumerate(accepted))

    def one(*_, **__):
        number, good = next(made)
        findings = [] if good else [Finding("F01", "reject", "a task is lost")]
        return gate.ObjectVerdict(verdict_of([stage_of("survive", 1.0, findings)]), number)

    monkeypatch.setattr(gate, "verify_part", one)
    monkeypatch.setattr(gate, "aimed_parts", lambda *_: (SHORT,) * len(accepted))
    found = gate.verify_object(b"object", (), WALL)
    assert found.report == report and found.verdict.accepted is all(accepted)


def test_a_part_by_itself_is_for_a_policy_that_outlives_a_hotplug_unless_it_is_said(monkeypatch):
    for told, part in (({}, SHORT), ({"hotplug": False}, SHORT.for_policy(hotplug=False))):
        vm = FakeVM("good policy").install(monkeypatch, gate)
        gate.verify_part(b"object", (), WALL, SHORT, **told)
        assert vm.jobs[0].steps == (*part.before(virtual=False), *part.steps((), 2000))


def test_what_follows_comes_before_what_ends_the_policy(monkeypatch):
    then = (GuestStep("run", ("batch",), "baseline-0", timeout_s=30), GuestStep("run", ("batch",), "policy-0"))
    ending = SHORT.for_policy(hotplug=False)
    assert len(ending.last) == 2
    vm = FakeVM("good policy").install(monkeypatch, gate)
    gate.verify_part(b"object", (), WALL, SHORT, hotplug=False, then=then)
    suite = ending.steps((), 2000)
    assert vm.jobs[0].steps == (*ending.before(virtual=False), *suite[:-6], *then, *suite[-6:])


def test_all_that_a_verification_is_told_reaches_every_guest_of_it(monkeypatch):
    asked, more = [], (Topology(4), Topology(8))
    told = {
        "check_all": True, "cgroups": True, "hotplug": False, "seed": 7, "deadline_s": 9.0, "on_event": print,
        "trusted": bytes,
    }  # fmt: skip
    then, files = (GuestStep("run", ("batch",), "baseline-0"),), {"x": b"y"}

    def one(*given, **options):
        asked.append((given, options))
        return gate.ObjectVerdict(verdict_of([stage_of("survive", 1.0)]), None)

    monkeypatch.setattr(gate, "verify_part", one)
    gate.verify_object(b"object", ("a=1",), WALL, topologies=more, then=then, files=files, **told)
    wanted = gate.aimed_parts(b"object", "short", ("a=1",), more)
    assert {*more} < {part.topology for part in wanted}
    machines = [replace(WALL, topology=part.topology or WALL.topology) for part in wanted]
    parts = zip(machines, wanted, strict=True)
    assert [given for given, _ in asked] == [(b"object", ("a=1",), machine, part) for machine, part in parts]
    extra = [(then, files), *[((), None)] * len(more)]
    assert [options for _, options in asked] == [{**told, "then": steps, "files": beside} for steps, beside in extra]


@pytest.mark.parametrize("told", [{"seed": 7, "trusted": bytes}, {"seed": 0, "trusted": None}])
def test_who_is_asked_whether_he_fails_alike_is_asked_in_the_same_guest(monkeypatch, told):
    asked, where = [], replace(VIRTUAL, topology=Topology(8))
    FakeVM("kernel warns").install(monkeypatch, gate)
    monkeypatch.setattr(gate, "who_fails_alike", lambda *given, **more: asked.append((given, more)))
    gate.verify_part(b"object", (), where, SHORT, **told)
    ((failed, exercise, machine, part), more) = asked[0]
    assert (failed.code, exercise.name, machine, part.topology) == (Code.KERNEL_WARNING, "W7", where, Topology(8))
    assert len(asked) == 1 and more == {**told, "limit_ms": 2000}


def test_what_ran_is_read_of_the_object_as_it_was_loaded(monkeypatch):
    def coverage_of(data, report, arguments=()):
        return Coverage(f"{data!r} with {arguments} on {report.kernel}")

    monkeypatch.setattr(gate, "coverage_of", coverage_of)
    result, _ = verified(monkeypatch, "good policy", VIRTUAL)
    assert result.verdict.coverage.unknown == "b'object' with ('slice_ns=1',) on 7.3.4"

# SPDX-License-Identifier: Apache-2.0
"""What a trial hands on: of a run to what names it, of a guest to its measurement, of runs to a score's statistics."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_vm import FakeVM
from trial_cases import BATCH, POLICY, guest_in, spec, use_guest, use_vm

from benchmarks.workloads import descriptor_sha256, program_of
from policy_lake.measurement import Measurement
from policy_lake.model import Finding
from policy_lake.scores import Ratio
from tasks.host.guest import Guest
from tasks.trial import run as running
from tasks.trial import trial as trials
from tasks.trial.run import measure_run, run_inputs, warm_ups
from tasks.trial.spec import Prepared, RunWork
from tasks.trial.trial import equal_runs, trial
from verifier_vm.machine.snapshot import WarmUpError
from verifier_vm.verdict import stage_of, verdict_of

DEADLINE_S = 77.0


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    made = guest_in(tmp_path)
    use_guest(monkeypatch, made)
    return made


@pytest.fixture
def work(tmp_path: Path) -> RunWork:
    given = spec(tmp_path)
    settings = given.settings.model_copy(update={"trial_deadline_s": DEADLINE_S})
    return RunWork(replace(BATCH, timeout_s=43.0), given.shape, settings, POLICY, 7, 8)


def test_a_run_is_named_by_the_object_its_arguments_and_its_workload(guest: Guest, work: RunWork) -> None:
    inputs, bare = run_inputs(work, guest), run_inputs(replace(work, policy=None), guest)
    assert inputs.object_sha256 == hashlib.sha256(POLICY.data).hexdigest() and inputs.arguments == POLICY.arguments
    assert (bare.object_sha256, bare.arguments) == ("", ())
    assert inputs.workload_sha256 == descriptor_sha256(work.workload) and inputs.program[0] == program_of(work.workload)
    assert isinstance(inputs.program[0], str)
    other = replace(work, policy=replace(POLICY, arguments=("slice_ns=6",)))
    assert run_inputs(other, guest).key != inputs.key


def test_a_measurement_has_what_its_guest_was_and_counted(
    guest: Guest, work: RunWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_vm(monkeypatch, FakeVM("good policy"))
    made = measure_run(work)
    assert (made.accel, made.clock, made.switch_hash, made.virtual_s) == (guest.machine.accel, "virtual", "h", 1.0)


@pytest.mark.parametrize("warm_up_fails", [False, True])
def test_a_run_has_the_trial_s_deadline_and_its_programs_the_workload_s_time(
    guest: Guest, work: RunWork, monkeypatch: pytest.MonkeyPatch, warm_up_fails: bool
) -> None:
    class Refusing(FakeVM):
        def __call__(self, job: Any, machine: Any, *, warm_ups: Any = (), **options: Any) -> Any:
            if warm_ups and warm_up_fails:
                raise WarmUpError("step 'attach-0' of the warm-up failed")
            return super().__call__(job, machine, warm_ups=warm_ups, **options)

    vm = use_vm(monkeypatch, Refusing("good policy"))
    measure_run(work)
    assert vm.deadlines_s == [DEADLINE_S]
    steps = [step for job in (*warm_ups(work, guest), *vm.jobs) for step in job.steps if step.verb == "run"]
    assert len(steps) >= 2 and {step.timeout_s for step in steps} == {43.0}
    monkeypatch.setattr(running, "run", vm)


def prepared(*findings: Finding, **more: Any) -> Prepared:
    stages = [stage_of("survive", 1.0, findings)]
    return Prepared(
        verdict_of(stages, ops="ljf", data=POLICY.data, kernel="7.3"),
        **{"policy": POLICY, "control": None, "btf_sha256": "btf", "warning": "slow", **more},
    )


def ended(steps: Any, answers: Any) -> Any:
    """What a generator returns that is sent these answers."""
    next(steps)
    with pytest.raises(StopIteration) as end:
        for answer in answers:
            steps.send(answer)
    return end.value.value


def test_a_rejected_candidate_s_trial_has_the_guest_s_warning(guest: Guest, tmp_path: Path) -> None:
    rejected = prepared(Finding("F13", "reject", "a task waits"))
    assert ended(trial(spec(tmp_path)), [(rejected,)]).warning == "slow"


def test_a_measured_candidate_s_verdict_is_still_of_its_object_and_kernel(
    guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(*_: Any) -> Any:
        yield ()
        return stage_of("score", 1.0), None

    monkeypatch.setattr(trials, "scored", scored)
    made = ended(trial(spec(tmp_path)), [(prepared(),), ()])
    assert (made.verdict.ops, made.verdict.kernel) == ("ljf", "7.3") and made.warning == "slow"
    assert made.verdict.object_sha256 == hashlib.sha256(POLICY.data).hexdigest()


def test_a_score_says_which_one_it_confirms(guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "read_score", lambda workload, measured, where: where)
    course: Any = SimpleNamespace(measured={}, kernel="7", accel="tcg", floor=1.0, measurements=(), paid={})
    made: Any = trials.score_of(replace(spec(tmp_path), confirms="first"), course, POLICY, guest)
    assert made.confirms == "first"


def measured(at: int) -> Measurement:
    inputs: Any = None
    return Measurement(str(at), "batch", "", inputs, {"makespan_ms": 5.0 + at, "bound_ms": 1.0})


@pytest.mark.parametrize("steps_of", [equal_runs, lambda given: trials._by_runs(given, POLICY, None)])
def test_what_is_no_run_s_result_is_an_error_of_ours(guest: Guest, tmp_path: Path, steps_of: Any) -> None:
    first = steps_of(spec(tmp_path))
    count = len(next(first))
    with pytest.raises(TypeError):
        first.send([*map(measured, range(count - 1)), prepared()])
    if steps_of is not equal_runs:
        later = steps_of(spec(tmp_path))
        count = len(later.send([measured(at) for at in range(len(next(later)))]))
        with pytest.raises(TypeError):
            later.send([*map(measured, range(count - 1)), prepared()])


@pytest.mark.parametrize(("direction", "lower"), [("lower", True), ("higher", False)])
def test_equal_runs_are_compared_in_the_workload_s_direction_and_seed(
    guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: Any, lower: bool
) -> None:
    asked: list[Any] = []
    judged: list[Any] = []
    made = Ratio(1.1, (1.0, 1.2))
    monkeypatch.setattr(trials, "ratio", lambda pairs, **more: asked.append(more) or made)
    monkeypatch.setattr(trials, "look", lambda logs: SimpleNamespace(low=0.5, high=2.0))
    monkeypatch.setattr(trials, "outcome", lambda of: judged.append(of) or ("win",))
    plan = replace(spec(tmp_path).plan, seed=9)
    given = replace(spec(tmp_path), workload=replace(BATCH, direction=direction), plan=plan)
    steps = equal_runs(given)
    results = [measured(at) for at in range(len(next(steps)))]
    with pytest.raises(StopIteration) as end:
        steps.send(results)
    assert end.value.value == (made, "win") and judged == [replace(made, ci95=(0.5, 2.0))]
    trials._course(given.workload, 9, {"policy": results[:2], "baseline": results[2:4]}, results[4:6])
    assert asked == [{"lower_is_better": lower, "seed": 9}] * 2

# SPDX-License-Identifier: Apache-2.0
"""One run of a measurement: from which snapshot it starts, what is made of it, and what names it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_scenarios import Scenario
from fake_vm import FakeVM
from trial_cases import BATCH, POLICY, guest_in, spec, use_guest, use_vm

from benchmarks.descriptor import Guard
from policy_lake.codes import Code
from policy_lake.errors import InfraError, InputError
from policy_lake.machine_model import Costs
from tasks.trial.run import measure_run, run_inputs
from tasks.trial.spec import RunWork
from verifier_vm.machine.model import Model, TaskLayout
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.snapshot import WarmUpError


@pytest.fixture
def guest(tmp_path, monkeypatch):
    made = guest_in(tmp_path)
    use_guest(monkeypatch, made)
    return made


@pytest.fixture
def work(tmp_path):
    given = spec(tmp_path)
    return RunWork(BATCH, given.shape, given.settings, POLICY, 7, 8)


def test_it_starts_from_a_guest_that_is_warm_and_has_the_policy_attached(guest, work, monkeypatch):
    vm = use_vm(monkeypatch, FakeVM("good policy"))
    measurement = measure_run(work)
    (warm, attach), (job,) = vm.warm_ups[0], vm.jobs
    assert [step.label for step in warm.steps] == ["warm-up"] and [step.verb for step in attach.steps] == ["attach"]
    assert warm.stays and attach.stays and not job.stays
    assert attach.files == {"policy.bpf.o": POLICY.data} and attach.steps[0].args == ("policy.bpf.o", "slice_ns=5")
    assert [step.verb for step in job.steps] == ["run", "detach"] and job.seed == 8 and job.files == {}
    assert job.steps[0].args[job.steps[0].args.index("--seed") + 1] == "7"
    assert "--seed" in warm.steps[0].args and warm.seed == attach.seed == 0  # one snapshot for every seed
    assert measurement.metrics["makespan_ms"] == pytest.approx(1600 * 1.002) and measurement.rejection is None
    assert (measurement.policy, measurement.kernel, measurement.clock, measurement.fingerprint) == (
        "ljf",
        "7.3.4",
        "virtual",
        "seed 8",
    )
    assert measurement.id == run_inputs(work, guest).key


def test_a_run_of_eevdf_has_nothing_attached(guest, work, monkeypatch):
    vm = use_vm(monkeypatch, FakeVM("good policy"))
    measurement = measure_run(replace(work, policy=None))
    assert len(vm.warm_ups[0]) == 1 and [step.verb for step in vm.jobs[0].steps] == ["run"]
    assert measurement.metrics["makespan_ms"] == pytest.approx(2000 * 1.002) and measurement.policy == ""
    assert measurement.inputs.object_sha256 == "" and measurement.inputs.arguments == ()


def test_a_guest_that_keeps_no_snapshots_does_all_in_one_job(guest, work, monkeypatch):
    cold = replace(guest, machine=replace(guest.machine, snapshots=None))
    use_guest(monkeypatch, cold)
    vm = use_vm(monkeypatch, FakeVM("good policy"))
    assert measure_run(work).metrics
    assert vm.warm_ups == [()] and [step.verb for step in vm.jobs[0].steps] == ["run", "attach", "run", "detach"]
    assert vm.jobs[0].seed == 8 and not vm.jobs[0].stays


def test_an_attachment_that_fails_is_told_by_the_same_steps_in_one_job(guest, work, monkeypatch):
    class Refusing(FakeVM):
        def __call__(self, job, machine, *, warm_ups=(), **options):
            if warm_ups:
                raise WarmUpError("step 'attach-0' of the warm-up failed")
            return super().__call__(job, machine, **options)

    vm = use_vm(monkeypatch, Refusing(Scenario(refused_at="attach-0")))
    measurement = measure_run(work)
    assert measurement.rejection.code == Code.REFUSED_ON_ATTACH and measurement.metrics == {}
    assert "infinite loop" in measurement.rejection.evidence and len(vm.jobs) == 1


@pytest.mark.parametrize(
    ("scenario", "code"),
    [(Scenario(falls_at="policy-0"), Code.FELL_OFF), (Scenario(hangs_at="policy-0"), Code.HUNG)],
)
def test_a_failure_under_the_policy_is_a_part_of_the_measurement(guest, work, monkeypatch, scenario, code):
    use_vm(monkeypatch, FakeVM(scenario))
    measurement = measure_run(work)
    assert (
        measurement.rejection.code == code
        and measurement.metrics == {}
        and measurement.id == run_inputs(work, guest).key
    )


def test_a_failure_of_the_guest_or_the_baseline_is_none(guest, work, monkeypatch):
    use_vm(monkeypatch, FakeVM(Scenario(dies_at="policy-0")))
    with pytest.raises(InfraError):
        measure_run(work)
    use_vm(monkeypatch, FakeVM(Scenario(fails_at="baseline-0")))
    with pytest.raises(InfraError, match="baseline-0"):
        measure_run(replace(work, policy=None))
    use_vm(monkeypatch, FakeVM(Scenario(fails_at="warm-up")))
    with pytest.raises(InputError, match="exited with 1 at once"):
        measure_run(work)


def test_by_the_wall_clock_there_is_no_such_run(guest, work):
    wall = replace(guest, machine=Machine(guest.machine.kernel, guest.machine.initrd))
    with pytest.raises(InfraError, match="virtual time alone"):
        run_inputs(work, wall)


def test_the_name_of_a_run_is_that_of_all_it_is_a_function_of_and_of_no_path(guest, work, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run_inputs(work, guest_in(elsewhere)).key == run_inputs(work, guest).key
    (elsewhere / "initrd").write_text("another image")
    machine = guest_in(elsewhere).machine
    (elsewhere / "initrd").write_text("another image")
    keys = {run_inputs(work, guest).key, run_inputs(work, replace(guest, machine=machine)).key}
    keys.add(run_inputs(work, replace(guest, kernel=replace(guest.kernel, sha256="x" * 64))).key)
    keys.add(run_inputs(work, replace(guest, machine=replace(guest.machine, memory_mib=1024))).key)
    for costs in Costs(), Costs(switch_ns=1), Costs(switch_ns=2):  # no part of a snapshot, which all machines share
        model = Model(costs, TaskLayout(8, 16))
        keys.add(run_inputs(work, replace(guest, machine=replace(guest.machine, model=model))).key)
    assert len(keys) == 7


def test_a_run_is_of_all_metrics_that_its_workload_reads(guest, work):
    bound, guard = replace(BATCH, bound="bound_ms", guards=()), Guard("p99_us", "us", "lower", 1.5)
    metrics = [
        run_inputs(replace(work, workload=given), guest).metrics
        for given in (bound, replace(bound, bound=""), replace(bound, guards=(guard,)))
    ]
    assert metrics == [(BATCH.metric, "bound_ms"), (BATCH.metric,), (BATCH.metric, "bound_ms", "p99_us")]

# SPDX-License-Identifier: Apache-2.0
"""One measured run by the virtual clock: a function of its inputs, wherever and whenever it is computed.

Every run starts from a snapshot: booted, then the workload's warm-up (page cache, lazy set-up), then the policy
attached. What varies from run to run is the seed alone.
"""

from __future__ import annotations

import hashlib
import platform

from benchmarks.measurement import WARM_UP, measure_one
from benchmarks.timeline import PROGRAM as TRACER
from benchmarks.workloads import Workload, arguments, descriptor_sha256, job_files, program_of
from policy_lake.errors import InfraError
from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.measurement import Measurement, RunInputs
from policy_lake.model import Rejection
from tasks.host.guest import Guest, prepare_guest
from tasks.trial.build import qemu_name
from tasks.trial.spec import RunWork
from verifier_vm.machine.snapshot import WarmUpError, content_sha256, snapshot_key
from verifier_vm.machine.vm import run

POLICY = "policy.bpf.o"
WARM_SEED = 0
HOST_NAME = 100  # characters
_files: dict[str, dict[str, bytes]] = {}
LABEL = {False: "baseline-0", True: "policy-0"}


def run_inputs(work: RunWork, guest: Guest) -> RunInputs:
    """All that the run is a function of, in the guest that this host would start."""
    machine, topology = guest.machine, guest.machine.topology
    if machine.clock is None:
        raise InfraError("a run counts by itself in virtual time alone; by the wall clock pairs are interleaved")
    return RunInputs(
        snapshot=snapshot_key(machine, warm_ups(work, guest)),
        clock=machine.clock.stem,
        program=_program(work, guest),
        metrics=_metrics(work),
        work_seed=work.work_seed,
        guest_seed=work.guest_seed,
        kernel_sha256=guest.kernel.sha256,
        image_sha256=content_sha256(machine.initrd),
        qemu=qemu_name(),
        cpus=topology.cpus,
        llcs=topology.llcs,
        smt=topology.smt,
        nodes=topology.nodes,
        memory_mib=machine.memory_mib,
        workload_sha256=descriptor_sha256(work.workload),
        object_sha256=hashlib.sha256(work.policy.data).hexdigest() if work.policy else "",
        arguments=work.policy.arguments if work.policy else (),
        costs=machine.model.costs if machine.model else None,
    )


def measure_run(work: RunWork) -> Measurement:
    """Compute one run. A policy that fails is a rejection in it; InfraError or InputError when nothing can be said."""
    guest = prepare_guest(work.settings, work.shape)
    inputs, report = run_inputs(work, guest), run_once(work, guest)
    outcome = measure_one(work.workload, report.events, attached=work.policy is not None)
    if report.counts is None:
        raise InfraError(f"a run of {work.workload.id} was not by the virtual clock")
    return Measurement(
        id=inputs.key,
        workload=work.workload.id,
        policy=work.policy.name if work.policy else "",
        inputs=inputs,
        metrics={} if isinstance(outcome, Rejection) else outcome,
        rejection=outcome if isinstance(outcome, Rejection) else None,
        kernel=report.kernel,
        accel=report.accel,
        clock=report.clock,
        fingerprint=report.counts.fingerprint,
        switch_hash=report.counts.switch_hash,
        virtual_s=report.counts.virtual_s,
        paid=report.counts.paid if guest.machine.model else None,
        host=platform.node()[:HOST_NAME],
    )


def run_once(work: RunWork, guest: Guest) -> GuestReport:
    """What the guest reports of the run; InfraError when it does not come back."""
    before, job = warm_ups(work, guest), _job(work, guest)
    deadline_s = work.settings.trial_deadline_s
    if guest.machine.snapshots is None:
        before, job = (), _joined((*before, job), job.seed)
    try:
        return run(job, guest.machine, warm_ups=before, deadline_s=deadline_s)
    except WarmUpError:  # the same steps in one job tell which failed, and why
        return run(_joined((*before, job), job.seed), guest.machine, deadline_s=deadline_s)


def warm_ups(work: RunWork, guest: Guest) -> tuple[GuestJob, ...]:
    """The jobs that a guest has done when it is saved, for runs to start from."""
    program = _words(work.workload, WARM_SEED, guest)
    step = GuestStep("run", program, label=WARM_UP, timeout_s=work.workload.timeout_s)
    warm = GuestJob(_files_of(work.workload), (step,), WARM_SEED, stays=True)
    if work.policy is None:
        return (warm,)
    attach = GuestStep("attach", (POLICY, *work.policy.arguments), label="attach-0")
    return (warm, GuestJob({POLICY: work.policy.data}, (attach,), WARM_SEED, stays=True))


def _files_of(workload: Workload) -> dict[str, bytes]:
    """Made once for each workload as it is now: to cut a piece out of a trace takes a second."""
    digest = descriptor_sha256(workload)
    if digest not in _files:
        _files.clear()
        _files[digest] = dict(job_files(workload))
    return _files[digest]


def _job(work: RunWork, guest: Guest) -> GuestJob:
    attached = work.policy is not None
    measured = GuestStep("run", _program(work, guest), label=LABEL[attached], timeout_s=work.workload.timeout_s)
    detach = (GuestStep("detach", label="detach-0"),) if attached else ()
    return GuestJob({}, (measured, *detach), work.guest_seed)


def _program(work: RunWork, guest: Guest) -> tuple[str, ...]:
    program = _words(work.workload, work.work_seed, guest)
    return (TRACER, *program) if work.traced else program


def _words(workload: Workload, seed: int, guest: Guest) -> tuple[str, ...]:
    of = guest.machine
    return (program_of(workload), *arguments(workload, seed=seed, accel=of.accel, user_ps=of.user_ps))


def _metrics(work: RunWork) -> tuple[str, ...]:
    guards = (guard.metric for guard in work.workload.guards)
    return (work.workload.metric, *([work.workload.bound] if work.workload.bound else []), *guards)


def _joined(jobs: tuple[GuestJob, ...], seed: int) -> GuestJob:
    """One job that does all of theirs, for a guest that keeps no snapshots."""
    files = {name: data for job in jobs for name, data in job.files.items()}
    return GuestJob(files, tuple(step for job in jobs for step in job.steps), seed)

# SPDX-License-Identifier: Apache-2.0
"""Execute: one candidate built, judged and measured in one boot. `try_candidate` is what a Ray task runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from benchmarks.scoring import read_score, score_steps
from benchmarks.workloads import Workload
from bpf.build import PolicyObject, compile_policy
from bpf.library import knob_arguments, read_policy
from policy_lake.guest import GuestReport
from policy_lake.model import BuildError, Candidate, Rejection, Score, Stage, Verdict
from tasks.guest import Guest, Shape, prepare_guest
from tasks.settings import Settings, load_settings
from tasks.spans import Span
from verifier_vm.gate import OBJECT, judge
from verifier_vm.qemu import Machine, qemu_version

OBJECT_SHA256 = "object_sha256"


@dataclass(frozen=True, slots=True)
class Order:
    """One candidate to try, and how: all that a worker needs to know besides its own host's settings."""

    candidate: Candidate
    workload: Workload
    pairs: int
    seed: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a candidate: its verdict, its score if accepted, what was loaded, and when its guest ran.

    `arguments` are the loader's `KNOB=VALUE` words, `btf_sha256` says which kernel's types the verdict holds for.
    """

    candidate: Candidate
    verdict: Verdict
    score: Score | None
    object_data: bytes
    arguments: tuple[str, ...]
    btf_sha256: str
    span: Span
    warning: str = ""


def try_candidate(order: Order) -> Trial:
    """Build, load, stress and measure one candidate; a rejection is a value. InfraError when nothing is known of it."""
    settings = load_settings()
    guest = prepare_guest(settings, order.shape)
    start = time.time()
    try:
        made = compile_policy(order.candidate.source, name=order.candidate.policy, vmlinux_dir=guest.kernel.headers)
    except BuildError as error:
        return _refused_by_compiler(order.candidate, error, (start, time.time()))
    return _boot(order, made, guest, settings)


def _boot(order: Order, made: PolicyObject, guest: Guest, settings: Settings) -> Trial:
    candidate, machine = order.candidate, guest.machine
    policy = read_policy(candidate.source, candidate.policy, "composed")
    knobs = knob_arguments(policy, candidate.settings)
    measure = score_steps(
        order.workload, object_name=OBJECT, knob_arguments=knobs, pairs=order.pairs, seed=order.seed,
        accel=machine.accel,
    )  # fmt: skip
    start = time.time()
    judged = judge(made.data, knobs, machine, then=measure, seed=order.seed, deadline_s=settings.trial_deadline_s)
    span = (start, time.time())
    verdict, score = _with_stage(Stage("build", True, made.seconds), judged.verdict), None
    if verdict.accepted and judged.report is not None:
        measured = _measured(order, judged.report, made, machine)
        if isinstance(measured, Rejection):
            stages = (*verdict.stages, Stage(measured.stage, False, judged.report.seconds))
            verdict = replace(verdict, accepted=False, rejection=measured, stages=stages)
        else:
            score = measured
    return Trial(candidate, verdict, score, made.data, knobs, guest.kernel.btf_sha256, span, guest.warning)


def _measured(order: Order, report: GuestReport, made: PolicyObject, machine: Machine) -> Score | Rejection:
    candidate = order.candidate
    return read_score(
        order.workload, report.events, policy=candidate.policy, settings=candidate.settings, pairs=order.pairs,
        seed=order.seed, cpus=machine.cpus, topology=str(machine.topology), clock=report.clock, kernel=report.kernel,
        accel=report.accel, versions={OBJECT_SHA256: made.sha256, **_versions(machine, report)},
        run_id=candidate.run_id, candidate=candidate.id,
    )  # fmt: skip


def _versions(machine: Machine, report: GuestReport) -> dict[str, str]:
    """What else it takes to repeat a figure, and the fingerprint by which a repetition shows that it is one."""
    versions = {"qemu": ".".join(map(str, qemu_version())), "image": machine.initrd.stem}
    if machine.clock and report.counts:
        versions |= {"clock": machine.clock.stem, "fingerprint": report.counts.fingerprint}
    return versions


def _refused_by_compiler(candidate: Candidate, error: BuildError, span: Span) -> Trial:
    rejection = Rejection("build", str(error), error.diagnostics)
    verdict = Verdict(False, rejection, (Stage("build", False, span[1] - span[0]),))
    return Trial(candidate, verdict, None, b"", (), "", span)


def _with_stage(stage: Stage, verdict: Verdict) -> Verdict:
    return replace(verdict, stages=(stage, *verdict.stages))

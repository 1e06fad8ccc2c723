# SPDX-License-Identifier: Apache-2.0
"""What a worker does: a candidate verified, a run measured, or rounds interleaved. Ray runs `do_work`, on any host."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.measurement import measure
from benchmarks.rounds import Rounds as RoundPlan
from benchmarks.scoring import Contender, score_steps
from benchmarks.workloads import job_files
from policy_lake.guest import GuestJob
from policy_lake.measurement import Measurement
from policy_lake.model import Verdict
from tasks.host.guest import Guest, prepare_guest
from tasks.host.spans import Span
from tasks.trial.alone import meet_again
from tasks.trial.build import arguments_of, loadable
from tasks.trial.known import known_verdict, remember
from tasks.trial.parts import Part
from tasks.trial.run import POLICY, measure_run
from tasks.trial.spec import GoOn, Loadable, PairsWork, Prepared, Rounds, RunWork, TrialSpec, VerifyWork, Work
from tasks.trial.static import Checked, check_parts
from tasks.trial.trusted import trusted_object
from verifier_vm.judge.gate import verify_object
from verifier_vm.machine.vm import run
from verifier_vm.verdict import require, verdict_of

CONTROL = "control.bpf.o"
Result = Prepared | Measurement | Rounds | GoOn


@dataclass(frozen=True, slots=True)
class Done:
    """A result, and when its guests ran."""

    result: Result
    span: Span


def do_work(work: Work) -> Done:
    """Do one piece of work on this host; a policy that fails is a value. InfraError when nothing is known."""
    start = time.time()
    result: Result
    if isinstance(work, VerifyWork):
        result = verify_candidate(work.spec)
    elif isinstance(work, RunWork):
        result = measure_run(work)
    else:
        result = measure_rounds(work)
    return Done(result, (start, time.time()))


def verify_candidate(spec: TrialSpec) -> Prepared:
    """Check and build a candidate, and verify its object in a guest unless it is rejected before. A yes is kept."""
    guest, candidate = prepare_guest(spec.settings, spec.shape), spec.candidate
    checked = spec.checked or check_parts(
        (Part(f"{candidate.policy}.bpf.c", candidate.source),), guest.kernel,
        words_of=lambda data: arguments_of(candidate, data, guest.kernel),
    )  # fmt: skip
    arguments, bugs = checked.arguments, spec.settings.required_bugs
    static = [require(stage, bugs) for stage in checked.stages]
    if checked.made is None or not all(stage.ok for stage in static):
        return Prepared(verdict_of(static), None, None, "", guest.warning)
    in_guest = _guest_verdict(spec, checked, checked.made.data, arguments, guest)
    if in_guest.accepted:
        in_guest = meet_again(in_guest, checked, spec.settings, spec.shape, spec.regressions)
    verdict = verdict_of(
        [*static, *(require(stage, bugs) for stage in in_guest.stages)], ops=in_guest.ops, data=checked.made.data,
        kernel=in_guest.kernel, coverage=in_guest.coverage,
    )  # fmt: skip
    control = loadable(spec.control, guest) if spec.control and verdict.accepted else None
    policy = Loadable(checked.made.data, arguments, candidate.policy)
    return Prepared(verdict, policy, control, guest.kernel.btf_sha256, guest.warning)


def _guest_verdict(spec: TrialSpec, checked: Checked, data: bytes, arguments: Sequence[str], guest: Guest) -> Verdict:
    known = known_verdict(data, arguments, guest, spec.settings) if spec.known_suffices else None
    if known is not None:
        return known
    deadline_s = spec.settings.trial_deadline_s
    verdict = verify_object(
        data, arguments, guest.machine, cgroups=checked.cgroups, hotplug=checked.hotplug, deadline_s=deadline_s,
        trusted=partial(trusted_object, guest.kernel),
    ).verdict  # fmt: skip
    remember(verdict, data, arguments, guest, spec.settings)
    return verdict


def measure_rounds(work: PairsWork) -> Rounds:
    """Interleaved rounds in one guest, with EEVDF anew before each policy's turn."""
    guest = prepare_guest(work.settings, work.shape)
    plan = RoundPlan(work.count, work.first, work.control is not None, work.policy is not None)
    files = dict(job_files(work.workload))
    for name, policy in ((POLICY, work.policy), (CONTROL, work.control)):
        if policy is not None:
            files[name] = policy.data
    steps = score_steps(
        work.workload, plan, seed=work.seed, accel=guest.machine.accel, user_ps=guest.machine.user_ps,
        policy=_contender(POLICY, work.policy), control=_contender(CONTROL, work.control),
    )  # fmt: skip
    job = GuestJob(files, steps, work.seed + work.first)
    report = run(job, guest.machine, deadline_s=work.settings.trial_deadline_s)
    return Rounds(measure(work.workload, report.events, plan), report.kernel, report.accel)


def _contender(name: str, policy: Loadable | None) -> Contender | None:
    return None if policy is None else Contender(name, policy.arguments)

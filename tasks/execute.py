# SPDX-License-Identifier: Apache-2.0
"""Execute: one candidate built, judged and measured in one boot. `try_candidate` is what a Ray task runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from benchmarks.scoring import read_score
from benchmarks.workloads import Workload
from bpf.build import PolicyObject, compile_policy
from bpf.library import knob_arguments, read_policy
from policy_lake.guest import GuestReport
from policy_lake.model import BuildError, Candidate, Rejection, Score, Stage, Verdict
from tasks.guest import Guest, Shape, prepare_guest
from tasks.measure import Course, Loadable, Match, follow
from tasks.settings import Settings, load_settings
from tasks.spans import Span
from verifier_vm.gate import judge
from verifier_vm.qemu import Machine, qemu_version

OBJECT_SHA256 = "object_sha256"


@dataclass(frozen=True, slots=True)
class Order:
    """One candidate to try, and how: all that a worker needs to know besides its own host's settings.

    `most_pairs` above `pairs` allows more rounds where they are worth it. `control` is a second policy to measure in
    the same rounds, `floor` the ratio that A/A runs differ by, `confirms` the score that this one repeats.
    """

    candidate: Candidate
    workload: Workload
    pairs: int
    seed: int
    shape: Shape
    most_pairs: int = 0
    control: Candidate | None = None
    floor: float | None = None
    confirms: str = ""


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


def loadable(candidate: Candidate, guest: Guest) -> Loadable:
    """The candidate compiled, with its knobs as the loader wants them. BuildError when it does not compile."""
    made = compile_policy(candidate.source, name=candidate.policy, vmlinux_dir=guest.kernel.headers)
    return Loadable(made.data, arguments_of(candidate), candidate.policy)


def arguments_of(candidate: Candidate) -> tuple[str, ...]:
    """The loader's `KNOB=VALUE` words of a candidate; InputError for a knob that it has not."""
    return knob_arguments(read_policy(candidate.source, candidate.policy, "composed"), candidate.settings)


def match_of(order: Order, policy: Loadable | None, guest: Guest) -> Match:
    """What the order wants measured."""
    control = loadable(order.control, guest) if order.control else None
    return Match(order.workload, order.seed, order.pairs, order.most_pairs, policy, control)


def _boot(order: Order, made: PolicyObject, guest: Guest, settings: Settings) -> Trial:
    candidate, machine = order.candidate, guest.machine
    knobs = arguments_of(candidate)
    match = match_of(order, Loadable(made.data, knobs, candidate.policy), guest)
    start = time.time()
    judged = judge(made.data, knobs, machine, then=match.steps(machine), files=match.files(), seed=order.seed,
                   deadline_s=settings.trial_deadline_s)  # fmt: skip
    verdict, score = _with_stage(Stage("build", True, made.seconds), judged.verdict), None
    if verdict.accepted and judged.report is not None:
        course = follow(match, judged.report, machine, deadline_s=settings.trial_deadline_s)
        if isinstance(course, Rejection):
            stages = (*verdict.stages, Stage(course.stage, False, judged.report.seconds))
            verdict = replace(verdict, accepted=False, rejection=course, stages=stages)
        else:
            score = score_of(order, course, judged.report, made.sha256, machine)
    span = (start, time.time())
    return Trial(candidate, verdict, score, made.data, knobs, guest.kernel.btf_sha256, span, guest.warning)


def score_of(order: Order, course: Course, report: GuestReport, sha256: str, machine: Machine) -> Score:
    """The score of a course, with all that it takes to repeat it."""
    candidate = order.candidate
    return read_score(
        order.workload, course.measured, policy=candidate.policy, settings=candidate.settings, seed=order.seed,
        cpus=machine.cpus, topology=str(machine.topology), clock=report.clock, kernel=report.kernel,
        accel=report.accel, versions={OBJECT_SHA256: sha256, **_versions(order, machine, report)},
        run_id=candidate.run_id, candidate=candidate.id, control=order.control.policy if order.control else "",
        looks=order.most_pairs > order.pairs, floor=order.floor, confirms=order.confirms,
    )  # fmt: skip


def _versions(order: Order, machine: Machine, report: GuestReport) -> dict[str, str]:
    """What else it takes to repeat a figure, and the fingerprint by which a repetition shows that it is one."""
    topology = machine.topology
    versions = {
        "qemu": ".".join(map(str, qemu_version())),
        "image": machine.initrd.stem,
        "shape": f"{topology.cpus} {topology.llcs} {topology.smt} {topology.nodes}",
        "rounds": f"{order.pairs} {order.most_pairs}",
    }
    if order.control:
        versions["control"] = order.control.id
    if machine.clock and report.counts:
        versions |= {"clock": machine.clock.stem, "fingerprint": report.counts.fingerprint}
    return versions


def _refused_by_compiler(candidate: Candidate, error: BuildError, span: Span) -> Trial:
    rejection = Rejection("build", str(error), error.diagnostics)
    verdict = Verdict(False, rejection, (Stage("build", False, span[1] - span[0]),))
    return Trial(candidate, verdict, None, b"", (), "", span)


def _with_stage(stage: Stage, verdict: Verdict) -> Verdict:
    return replace(verdict, stages=(stage, *verdict.stages))

# SPDX-License-Identifier: Apache-2.0
"""Execute: one candidate built, judged and measured in one boot. `try_candidate` is what a Ray task runs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.guards import guard_findings
from benchmarks.scoring import read_score
from benchmarks.workloads import Workload
from bpf.build import PolicyObject, compile_policy
from bpf.library import read_policy
from policy_lake.guest import GuestJob, GuestReport
from policy_lake.knobs import knob_words
from policy_lake.model import Candidate, Finding, Rejection, Score, Stage, Verdict
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import Settings, load_settings
from tasks.run.spans import Span
from tasks.trial.known import known_verdict, remember
from tasks.trial.measure import Course, Loadable, Match, follow
from tasks.trial.static import Checked, check_statically
from verifier_vm.judge.gate import Judged, judge
from verifier_vm.machine.qemu import Machine, qemu_version
from verifier_vm.machine.vm import run
from verifier_vm.verdict import stage_of, verdict_of

OBJECT_SHA256 = "object_sha256"
FAILED_ADVICE = "the workload must end well under the policy, and the policy must stay attached and leave in good order"


@dataclass(frozen=True, slots=True)
class Order:
    """One candidate to try, and how: all that a worker needs to know besides its own host's settings.

    `most_pairs` above `pairs` allows more rounds where they are worth it. `control` is a second policy to measure in
    the same rounds, `floor` the ratio that A/A runs differ by, `confirms` the score that this one repeats. With
    `known_suffices` an object that was accepted here before is only measured: enough for a score, never for a token.
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
    known_suffices: bool = False


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
    """Check, build, judge and measure one candidate; a rejection is a value. InfraError when nothing is known of it."""
    settings = load_settings()
    guest = prepare_guest(settings, order.shape)
    start = time.time()
    candidate = order.candidate
    checked = check_statically(
        candidate.source, name=f"{candidate.policy}.bpf.c", kernel=guest.kernel, arguments=arguments_of(candidate)
    )
    if checked.made is None or not checked.ok:
        return Trial(candidate, verdict_of(checked.stages), None, b"", (), "", (start, time.time()), guest.warning)
    return _boot(order, checked, checked.made, guest, settings)


def loadable(candidate: Candidate, guest: Guest) -> Loadable:
    """The candidate compiled, with its knobs as the loader wants them. BuildError when it does not compile."""
    made = compile_policy(candidate.source, name=candidate.policy, vmlinux_dir=guest.kernel.headers)
    return Loadable(made.data, arguments_of(candidate), candidate.policy)


def arguments_of(candidate: Candidate) -> tuple[str, ...]:
    """The loader's `KNOB=VALUE` words of a candidate; InputError for a knob that it has not."""
    return knob_words(read_policy(candidate.source, candidate.policy, "composed"), candidate.settings)


def match_of(order: Order, policy: Loadable | None, guest: Guest) -> Match:
    """What the order wants measured."""
    control = loadable(order.control, guest) if order.control else None
    return Match(order.workload, order.seed, order.pairs, order.most_pairs, policy, control)


def _boot(order: Order, checked: Checked, made: PolicyObject, guest: Guest, settings: Settings) -> Trial:
    candidate = order.candidate
    knobs = arguments_of(candidate)
    match = match_of(order, Loadable(made.data, knobs, candidate.policy), guest)
    start = time.time()
    judged = _judge(order, checked, match, made.data, guest, settings)
    stages, score = [*checked.stages, *judged.verdict.stages], None
    if judged.verdict.accepted and judged.report is not None:
        stage, score = score_stage(order, match, judged.report, made.sha256, guest, settings)
        stages.append(stage)
    verdict = verdict_of(stages, ops=judged.verdict.ops, data=made.data, kernel=judged.verdict.kernel)
    kept = score if verdict.accepted else None
    span = (start, time.time())
    return Trial(candidate, verdict, kept, made.data, knobs, guest.kernel.btf_sha256, span, guest.warning)


def _judge(order: Order, checked: Checked, match: Match, data: bytes, guest: Guest, settings: Settings) -> Judged:
    """The guest's verdict and, behind it in the same report, the first rounds."""
    machine, knobs = guest.machine, arguments_of(order.candidate)
    if order.known_suffices:
        # Always in a guest of its own: what ran before in a guest is a part of its state, and so of the figures.
        verdict = known_verdict(data, knobs, guest, settings)
        if verdict is None:
            verdict = judge(data, knobs, machine, cgroups=checked.cgroups, deadline_s=settings.trial_deadline_s).verdict
            remember(verdict, data, knobs, guest, settings)
        job = GuestJob(match.files(), match.steps(machine), order.seed)
        return Judged(verdict, run(job, machine, deadline_s=settings.trial_deadline_s) if verdict.accepted else None)
    judged = judge(data, knobs, machine, cgroups=checked.cgroups, then=match.steps(machine), files=match.files(),
                   seed=order.seed, deadline_s=settings.trial_deadline_s)  # fmt: skip
    remember(judged.verdict, data, knobs, guest, settings)
    return judged


def score_stage(
    order: Order, match: Match, first: GuestReport, sha256: str, guest: Guest, settings: Settings
) -> tuple[Stage, Score | None]:
    """The stage `score` and the score, whose first rounds are in the report `first`: a workload that fails under the
    policy, or a guard rail that it breaks, rejects it.
    """
    start = time.monotonic()
    course = follow(match, first, guest.machine, deadline_s=settings.trial_deadline_s)
    if isinstance(course, Rejection):
        found = Finding("workload", "reject", course.reason, order.workload.id, FAILED_ADVICE)
        return stage_of("score", time.monotonic() - start, [found], course.evidence), None
    score = score_of(order, course, first, sha256, guest.machine)
    return stage_of("score", time.monotonic() - start, guard_findings(order.workload, score)), score


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
        "guest": "own" if order.known_suffices else "behind the suite",
    }
    if order.workload.asked:
        versions["work"] = " ".join(f"{name}={number}" for name, number in order.workload.asked.items())
    if order.control:
        versions["control"] = order.control.id
    if machine.clock and report.counts:
        versions |= {"clock": machine.clock.stem, "fingerprint": report.counts.fingerprint}
    return versions

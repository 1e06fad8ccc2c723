# SPDX-License-Identifier: Apache-2.0
"""The gate: whether a compiled policy may be measured at all, and in time be trusted.

A verdict is read from what the guest's kernel did: its BPF verifier on load, its sched_ext on attach, its watchdog and
its log while the suite runs, the record that the policy left, and what EEVDF made of the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.errors import InfraError, LostVMError
from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.model import Finding, Verdict
from policy_lake.topology import Topology
from verifier_vm.judge.aim import aimed_parts
from verifier_vm.judge.control import ENDING, doubtful, note_of, who_fails_alike, with_notes
from verifier_vm.judge.counted import begun
from verifier_vm.judge.executed import DIED, coverage_of
from verifier_vm.judge.part import OBJECT, REST, Part
from verifier_vm.judge.stages import Reader, may_be_the_host, merged, verdict_of_death
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.said import OnEvent
from verifier_vm.machine.snapshot import WarmUpError
from verifier_vm.machine.vm import run

__all__ = ["OBJECT", "ObjectVerdict", "verify_object", "verify_part"]
# On the wall clock a busy host can hold a vCPU for seconds, which looks like a stall: one found with the first limit
# counts only if the second finds it too.
STALL_LIMITS_MS = (2000, 5000)


OnPart = Callable[[str, Topology, bool | None], None]


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    """A verdict and the report of the first guest, or of the one that rejects; none when the guest's kernel died."""

    verdict: Verdict
    report: GuestReport | None


def verify_object(
    data: bytes,
    knob_arguments: Sequence[str],
    machine: Machine,
    *,
    tier: SuiteTier = "short",
    check_all: bool = False,
    cgroups: bool = False,
    hotplug: bool = True,
    then: Sequence[GuestStep] = (),
    files: Mapping[str, bytes] | None = None,
    seed: int = 0,
    deadline_s: float | None = None,
    on_event: OnEvent | None = None,
    topologies: Sequence[Topology] = (),
    trusted: Callable[[], bytes] | None = None,
    on_part: OnPart = lambda name, topology, ok: None,
) -> ObjectVerdict:
    """Load `data` through the real kernel's verifier in a fresh guest, attach it, run the suite, detach it, do `then`.

    `files` lie beside it for `then`. `check_all` reads on after a rejection as far as the guest came; `cgroups` rejects
    what does not honour cgroup weights; without `hotplug` a CPU that goes may end it, tidily. `topologies` are tried
    beside the tier's; `on_part` hears of each guest as it begins (None) and ends. A guest that dies saying why rejects
    the policy; one that is lost without a word is a LostVMError: nothing is known. Guests run one after another here,
    each in its part's topology, and `deadline_s` is each one's; to run them at once, call `verify_part` on each of
    `aimed_parts` and `merged`.
    """
    verdicts: list[Verdict] = []
    report: GuestReport | None = None
    for part in aimed_parts(data, tier, knob_arguments, topologies):
        first, topology = not verdicts, part.topology or machine.topology
        on_part(part.name, topology, None)
        result = verify_part(
            data, knob_arguments, replace(machine, topology=topology), part,
            check_all=check_all, cgroups=cgroups, hotplug=hotplug, then=then if first else (),
            files=files if first else None, seed=seed, deadline_s=deadline_s, on_event=on_event, trusted=trusted,
        )  # fmt: skip
        verdicts.append(result.verdict)
        on_part(part.name, topology, result.verdict.accepted)
        if first or not result.verdict.accepted:
            report = result.report
        if not result.verdict.accepted and not check_all:
            break
    return ObjectVerdict(merged(verdicts), report)


def verify_part(
    data: bytes,
    knob_arguments: Sequence[str],
    machine: Machine,
    part: Part,
    *,
    check_all: bool = False,
    cgroups: bool = False,
    hotplug: bool = True,
    then: Sequence[GuestStep] = (),
    files: Mapping[str, bytes] | None = None,
    seed: int = 0,
    deadline_s: float | None = None,
    on_event: OnEvent | None = None,
    trusted: Callable[[], bytes] | None = None,
) -> ObjectVerdict:
    """Verify `data` in one guest that does one part of the suite; `machine` has the part's topology.

    `deadline_s` is wall time for all of it, by default the part's own, and more for what `then` may take. `hotplug` as
    for `verify_object`. `trusted` makes the object of a policy that is known to be sound: what fails with it, too, is
    not this one's failure.
    """
    part = replace(
        part.for_policy(hotplug=hotplug).for_clock(virtual=machine.clock is not None), topology=machine.topology
    )
    request = Request(
        data, tuple(knob_arguments), check_all, cgroups, tuple(then), files or {}, seed, deadline_s, on_event
    )
    notes: list[Finding] = []
    while True:  # each turn but the last leaves an exercise out
        result, limit_ms = _with_memory(request, machine, part)
        failed = result.verdict.rejection
        exercise = doubtful(failed, part) if failed else None
        if failed is None or exercise is None:
            break
        who = who_fails_alike(failed, exercise, machine, part, limit_ms=limit_ms, seed=seed, trusted=trusted)
        if not who:
            break
        if failed.code in ENDING:  # what it would have done afterwards is not known
            raise InfraError(f"{machine.topology}, {exercise.name}: {who} fails alike: {failed.reason}")
        notes.append(note_of(failed, who))
        part = part.without(exercise)
    return replace(result, verdict=with_notes(result.verdict, notes)) if notes else result


@dataclass(frozen=True, slots=True)
class Request:
    """What `verify_part` was told of the object and of its guest."""

    data: bytes
    knob_arguments: tuple[str, ...]
    check_all: bool
    cgroups: bool
    then: tuple[GuestStep, ...]
    files: Mapping[str, bytes]
    seed: int
    deadline_s: float | None
    on_event: OnEvent | None


def _with_memory(request: Request, machine: Machine, part: Part) -> tuple[ObjectVerdict, int]:
    """As `_in_a_guest`; a policy that got no memory when it was attached is asked from another seed.

    The kernel gives BPF programs memory only where it is at hand, and not where another CPU is at its lists: any policy
    with task storage can meet that. A table that is too small is so from every seed.
    """
    first = _in_a_guest(request, machine, part)
    failed = first[0].verdict.rejection
    if failed is None or failed.code != Code.NO_MEMORY:
        return first
    result, limit_ms = _in_a_guest(replace(request, seed=request.seed ^ 1), machine, part)
    again = result.verdict.rejection
    if again is not None and again.code == Code.NO_MEMORY:
        return first
    reason = f"it got no memory once, and from another seed it did: {failed.reason}"
    note = Finding(failed.bug, "note", reason, failed.place, code=Code.NO_MEMORY)
    return replace(result, verdict=with_notes(result.verdict, [note])), limit_ms


def _in_a_guest(request: Request, machine: Machine, part: Part) -> tuple[ObjectVerdict, int]:
    """The verdict of one guest, and the limit for stalls that it had."""
    deadline_s = request.deadline_s
    if deadline_s is None:
        deadline_s = part.deadline_s + sum(step.timeout_s for step in request.then)
    # In virtual time a stall is the policy's own, and is not looked at twice.
    for limit_ms in STALL_LIMITS_MS[: 1 if machine.clock else None]:
        reader = Reader(
            request.data, part, limit_ms, request.check_all, request.cgroups, machine.memory_mib, request.knob_arguments
        )
        steps = part.steps(request.knob_arguments, limit_ms)
        at = len(steps) - len(part.ending(request.knob_arguments, limit_ms))  # what ends the policy ends the job
        steps = (*steps[:at], *request.then, *steps[at:])
        before, steps = after_ready(part, machine, steps)
        job = GuestJob({**request.files, OBJECT: begun(request.data, part.starts)}, steps, request.seed)
        try:
            report = run(job, machine, warm_ups=before, deadline_s=deadline_s, on_event=request.on_event)
            report = _made_ready(report, len(part.before(virtual=machine.clock is not None)))
        except WarmUpError:  # says nothing of the policy
            raise
        except LostVMError as error:
            died = replace(verdict_of_death(error, request.data), coverage=Coverage(DIED))
            return ObjectVerdict(died, None), limit_ms
        verdict = reader.read(report.events, kernel=report.kernel)
        covered = coverage_of(request.data, report, request.knob_arguments)
        result = ObjectVerdict(replace(verdict, coverage=covered), report)
        if not may_be_the_host(result.verdict):
            break
    return result, limit_ms


def after_ready(
    part: Part, machine: Machine, steps: tuple[GuestStep, ...]
) -> tuple[list[GuestJob], tuple[GuestStep, ...]]:
    """What makes the part's guest ready: as warm-ups, once for a snapshot, or where none is kept before the steps."""
    virtual = machine.clock is not None
    ready, kept = part.before(virtual=virtual), replace(part, rested_s=0).before(virtual=virtual)
    if not machine.snapshots:
        return [], (*ready, *steps)
    # Each rest is a snapshot of its own: a month of them takes longer than one may.
    rests = next((at for at, step in enumerate(kept) if step.label != REST), len(kept))
    jobs = [(step,) for step in kept[: rests - 1]] + [kept[max(rests - 1, 0) :]]
    return [GuestJob({}, job, stays=True) for job in jobs if job], (*ready[len(kept) :], *steps)


def _made_ready(report: GuestReport, steps: int) -> GuestReport:
    """The report from where the policy came; InfraError when a step before it failed, which says nothing of it."""
    if failed := next((event for event in report.events[:steps] if not event.ok), None):
        raise InfraError(f"step '{failed.label}': the guest could not be made ready for the policy")
    return replace(report, events=report.events[steps:])

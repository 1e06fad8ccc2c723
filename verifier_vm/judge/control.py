# SPDX-License-Identifier: Apache-2.0
"""The differential check: who fails alike where a policy failed tells whether the failure is the policy's at all.

EEVDF in the same guest tells of the guest (out of memory for threads, say), a trusted sched_ext policy of sched_ext
itself. Under the virtual clock both are as repeatable as the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.events import Detached, Ran, SchedState
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.knobs import OPS_TIMEOUT, word
from policy_lake.model import Finding, Rejection, Verdict
from policy_lake.topology import Topology
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.oracles import survived
from verifier_vm.judge.part import ATTACH, DETACH, OBJECT, Exercise, Part
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.vm import run

Control = Literal["EEVDF", "a trusted policy"]
# What a guest, or sched_ext, can bring about without any doing of the policy's.
DOUBTFUL = frozenset(
    {Code.KERNEL_WARNING, Code.LOCKUP, Code.HUNG, Code.WORKLOAD_FAILED, Code.FORK_FAILED, Code.CGROUP_FAILED,
     Code.HOTPLUG_FAILED}
)  # fmt: skip
# These end a policy: nothing of what would have come after is known. On the smallest guest the trusted policy is held
# to every situation by our own tests; elsewhere it is asked.
ENDING = frozenset({Code.STALL, Code.EXIT_ERROR, Code.FELL_OFF, Code.NO_PROGRESS})
USUAL = Topology()
OFF = Detached(label="", ok=True, seconds=0.0, sched=SchedState("disabled", "", 0))  # nothing was on


def doubtful(failed: Rejection, part: Part) -> Exercise | None:
    """The exercise to repeat without the policy; None where only the policy can have failed, or outside exercises."""
    if failed.code not in DOUBTFUL and (failed.code not in ENDING or part.topology in (None, USUAL)):
        return None
    named = [one for one in part.exercises if one.name == failed.place]
    # A stall's place is the workload of the thread that the kernel names, which may be one of several at once.
    within = [one for one in part.exercises if failed.place in one.workloads.split("+")]
    return next(iter((*named, *within)), None)


def who_fails_alike(
    failed: Rejection,
    exercise: Exercise,
    machine: Machine,
    part: Part,
    *,
    limit_ms: int,
    seed: int = 0,
    trusted: Callable[[], bytes] | None = None,
) -> Control | None:
    """Repeat the exercise in a guest under EEVDF, and then under the `trusted` policy; who fails alike, or None.

    LostVMError when such a guest is lost: nothing is known then, of the policy neither.
    """
    step = exercise.step("policy", limit_ms)
    first = part.exercises[:1] == (exercise,)  # which brings a CPU back that was off line before
    ready = replace(part, offline=part.offline and first).before(virtual=machine.clock is not None)
    if _fails(failed.code, GuestJob({}, (*ready, step), seed), machine, limit_ms):
        return "EEVDF"
    if trusted is None:
        return None
    attach = GuestStep("attach", (OBJECT, word(OPS_TIMEOUT, limit_ms)), ATTACH)
    steps = (*ready, attach, step, GuestStep("detach", (), DETACH, timeout_s=20))
    alike = _fails(failed.code, GuestJob({OBJECT: trusted()}, steps, seed), machine, limit_ms)
    return "a trusted policy" if alike else None


def note_of(failed: Rejection, who: Control) -> Finding:
    """What is left of a failure that is not the policy's."""
    reason = f"{who} fails alike, so it was not tried: {failed.reason}"
    return Finding(failed.bug, "note", reason, failed.place, code=failed.code)


def with_notes(verdict: Verdict, notes: Sequence[Finding]) -> Verdict:
    """The verdict with these notes in its stage `survive`."""
    stages = [
        replace(stage, findings=(*stage.findings, *notes)) if stage.name == "survive" else stage
        for stage in verdict.stages
    ]
    return replace(verdict, stages=tuple(stages))


def _fails(code: Code, job: GuestJob, machine: Machine, limit_ms: int) -> bool:
    report = run(job, machine)
    ran = [event for event in report.events if isinstance(event, Ran) and event.exercise]
    if not ran:
        raise LostVMError("the guest reported no end of what a control did in the policy's place")
    findings = [found for event in ran for found in survived(event, OFF, Facts(), limit_ms)]
    return any(found.level == "reject" and found.code == code for found in findings)

# SPDX-License-Identifier: Apache-2.0
"""What the runs of a score measured, event by event in the order of the steps, each with its proof of attachment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.attachment import bad_detach, check_nothing_attached, lost_attachment
from benchmarks.output import failure_of, last_line
from benchmarks.rounds import Rounds
from benchmarks.schbench import result_of
from benchmarks.workloads import Workload
from policy_lake.codes import Code
from policy_lake.errors import InfraError, InputError
from policy_lake.events import Attached, Detached, NotDone, Ran, Role, StepEvent, run_label
from policy_lake.model import Rejection
from policy_lake.printed import number

STAGE = "score"
WARM_UP = "warm-up"
_EVIDENCE = 8000  # characters: a verifier's log can have millions, and says the reason last

Outputs = list[dict[str, float]]
Measured = dict[Role, Outputs]


def measure(workload: Workload, events: Sequence[StepEvent], rounds: Rounds) -> Measured | Rejection:
    """The metrics of every run by role, or the rejection met first, in the order of the steps.

    InfraError where the report is incomplete or proves nothing, or where baseline or control failed; InputError where
    the workload's program ends with a status of its own before anything is measured.
    """
    first = next((i for i, event in enumerate(events) if event.label == WARM_UP), len(events))
    steps = _Events(events, first)
    _warm_up(workload, steps.next(Ran, WARM_UP))
    measured: Measured = {role: [] for role in rounds.roles}
    for pair, role in rounds.turns():
        if not rounds.attaches(role):
            measured[role].append(_baseline_run(workload, steps.next(Ran, run_label(role, pair))))
            continue
        metrics = _attached_run(workload, steps, pair, role)
        if isinstance(metrics, Rejection):
            if role == "control":
                raise InfraError(f"the control failed, so nothing is known of the policy: {metrics.reason}")
            return metrics
        measured[role].append(metrics)
    return measured


def measure_one(workload: Workload, events: Sequence[StepEvent], *, attached: bool) -> dict[str, float] | Rejection:
    """The metrics of one run behind a warm-up, under the policy of round 0 or under the baseline. Errors as above."""
    first = next((i for i, event in enumerate(events) if event.label == WARM_UP), len(events))
    steps = _Events(events, first)
    _warm_up(workload, steps.next(Ran, WARM_UP))
    if attached:
        return _attached_run(workload, steps, 0, "policy")
    return _baseline_run(workload, steps.next(Ran, run_label("baseline", 0)))


def attached_labels(role: Role, pair: int) -> tuple[str, str, str]:
    """The labels of the steps that attach, run and detach."""
    of = "" if role == "policy" else f"{role}-"
    return f"attach-{of}{pair}", run_label(role, pair), f"detach-{of}{pair}"


def _warm_up(workload: Workload, run: Ran) -> None:
    """A program that ends itself here takes its arguments or its data for wrong: it would at each further try."""
    if run.exit and not run.timed_out and not run.signal:
        raise InputError(f"workload '{workload.id}' exited with {run.exit} at once: {last_line(run.err)}")
    _baseline_run(workload, run)


def _baseline_run(workload: Workload, run: Ran) -> dict[str, float]:
    where = f"step '{run.label}'"
    check_nothing_attached(run, where=where)
    if failure := failure_of(run):
        raise InfraError(f"{where}: workload '{workload.id}' {failure} under the baseline: {last_line(run.err)}")
    return _metrics(workload, run)


def _attached_run(workload: Workload, steps: _Events, pair: int, role: Role) -> dict[str, float] | Rejection:
    attach_label, label, detach_label = attached_labels(role, pair)
    attach = steps.next(Attached, attach_label)
    if not attach.ok:
        reason, log = f"pair {pair}: the policy did not attach ({attach.phase})", attach.log.strip()[-_EVIDENCE:]
        return Rejection(STAGE, reason, log or "no log", code=Code.REFUSED_ON_ATTACH)
    run = steps.next(Ran, label)
    if lost := lost_attachment(attach, run, where=f"step '{label}'"):
        reason = f"pair {pair}: the policy fell off while it was measured"
        return Rejection(STAGE, reason, _evidence(lost, run, steps.peek()), code=Code.FELL_OFF)
    if failure := failure_of(run):
        reason = f"pair {pair}: workload '{workload.id}' {failure} under the policy"
        evidence = _evidence(last_line(run.err), run, steps.peek())
        return Rejection(STAGE, reason, evidence, code=Code.HUNG if run.timed_out else Code.WORKLOAD_FAILED)
    detach = steps.next(Detached, detach_label)
    if ended := bad_detach(detach):
        reason = f"pair {pair}: the policy did not end cleanly"
        code = Code.EXIT_ERROR if detach.ok else Code.NOT_DETACHED
        return Rejection(STAGE, reason, _evidence(ended, run, detach), code=code)
    return _metrics(workload, run)


def _metrics(workload: Workload, run: Ran) -> dict[str, float]:
    where = f"workload '{workload.id}', step '{run.label}'"
    out = result_of(workload, run.out, run.err, where=where)
    positive = [workload.metric, *([workload.bound] if workload.bound else [])]
    metrics = {name: number(out, name, where=where, error=InputError, zero=False) for name in positive}
    for guard in workload.guards:
        metrics[guard.metric] = number(out, guard.metric, where=where, error=InputError)
    return metrics


_Kind = TypeVar("_Kind", bound=StepEvent)


@dataclass(slots=True)
class _Events:
    """The guest's events from the warm-up on, taken in turn in the order of the steps."""

    events: Sequence[StepEvent]
    position: int

    def next(self, kind: type[_Kind], label: str) -> _Kind:
        event = self.peek()
        if event is None:
            raise InfraError(f"the guest's report ends before step '{label}'")
        self.position += 1
        if isinstance(event, NotDone) and event.label == label:
            raise InfraError(f"step '{label}': the guest could not begin it: {event.err}")
        if not isinstance(event, kind) or event.label != label:
            instead = f"{type(event).__name__} '{event.label}'"
            raise InfraError(f"step '{label}': the guest reported {instead} in its place")
        return event

    def peek(self) -> StepEvent | None:
        return self.events[self.position] if self.position < len(self.events) else None


def _evidence(words: str, run: Ran, after: StepEvent | None) -> str:
    """What was seen, the policy's own exit record if the guest got to it, and the kernel's words."""
    record = [str(after.exit_record)] if isinstance(after, Detached) else []
    return "\n".join([words, *record, *run.kmsg, *(after.kmsg if after else ())])[:_EVIDENCE]

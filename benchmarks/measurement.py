# SPDX-License-Identifier: Apache-2.0
"""What the runs of a score measured, event by event in the order of the steps, each with its proof of attachment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.attachment import bad_detach, check_nothing_attached, exit_record, lost_attachment
from benchmarks.output import last_line, number, take
from benchmarks.rounds import Rounds
from benchmarks.schbench import result_of
from benchmarks.statistics import Role
from benchmarks.workloads import Workload
from policy_lake.model import InfraError, InputError, Rejection

STAGE = "score"
WARM_UP = "warm-up"
_EVIDENCE = 8000  # characters: a verifier's log can have millions, and says the reason last

Outputs = list[dict[str, float]]
Measured = dict[Role, Outputs]


def measure(workload: Workload, events: Sequence[Mapping[str, Any]], rounds: Rounds) -> Measured | Rejection:
    """The metrics of every run by role, or the rejection met first, in the order of the steps.

    InfraError where the report is incomplete or proves nothing, or where baseline or control failed.
    """
    first = next((i for i, event in enumerate(events) if event.get("label") == WARM_UP), len(events))
    steps = _Events(events, first)
    _baseline_run(workload, steps.next("run", WARM_UP), WARM_UP)
    measured: Measured = {role: [] for role in rounds.roles}
    for pair, role in rounds.turns():
        if not rounds.attaches(role):
            label = f"{role}-{pair}"
            measured[role].append(_baseline_run(workload, steps.next("run", label), label))
            continue
        metrics = _attached_run(workload, steps, pair, role)
        if isinstance(metrics, Rejection):
            if role == "control":
                raise InfraError(f"the control failed, so nothing is known of the policy: {metrics.reason}")
            return metrics
        measured[role].append(metrics)
    return measured


def measure_one(workload: Workload, events: Sequence[Mapping[str, Any]], *, attached: bool) -> dict[str, float] | Rejection:
    """The metrics of one run behind a warm-up, under the policy of round 0 or under the baseline. Errors as above."""
    first = next((i for i, event in enumerate(events) if event.get("label") == WARM_UP), len(events))
    steps = _Events(events, first)
    _baseline_run(workload, steps.next("run", WARM_UP), WARM_UP)
    if attached:
        return _attached_run(workload, steps, 0, "policy")
    return _baseline_run(workload, steps.next("run", "baseline-0"), "baseline-0")


def attached_labels(role: Role, pair: int) -> tuple[str, str, str]:
    """The labels of the steps that attach, run and detach."""
    of = "" if role == "policy" else f"{role}-"
    return f"attach-{of}{pair}", f"{role}-{pair}", f"detach-{of}{pair}"


def _baseline_run(workload: Workload, event: Mapping[str, Any], label: str) -> dict[str, float]:
    where = f"step '{label}'"
    check_nothing_attached(event, where=where)
    if failure := _failure(event, where):
        said = last_line(event.get("err"))
        raise InfraError(f"{where}: workload '{workload.id}' {failure} under the baseline: {said}")
    return _metrics(workload, event, label)


def _attached_run(workload: Workload, steps: _Events, pair: int, role: Role) -> dict[str, float] | Rejection:
    attach_label, label, detach_label = attached_labels(role, pair)
    attach = steps.next("attach", attach_label)
    if not take(attach, "ok", bool, where=f"step '{attach_label}'"):
        phase, log = attach.get("phase", "unknown phase"), str(attach.get("log", ""))
        return Rejection(
            STAGE, f"pair {pair}: the policy did not attach ({phase})", log.strip()[-_EVIDENCE:] or "no log"
        )
    run = steps.next("run", label)
    if lost := lost_attachment(attach, run, where=f"step '{label}'"):
        reason = f"pair {pair}: the policy fell off while it was measured"
        return Rejection(STAGE, reason, _evidence(lost, run, steps.peek()))
    if failure := _failure(run, f"step '{label}'"):
        reason = f"pair {pair}: workload '{workload.id}' {failure} under the policy"
        return Rejection(STAGE, reason, _evidence(last_line(run.get("err")), run, steps.peek()))
    detach = steps.next("detach", detach_label)
    if ended := bad_detach(detach, where=f"step '{detach_label}'"):
        return Rejection(STAGE, f"pair {pair}: the policy did not end cleanly", _evidence(ended, run, detach))
    return _metrics(workload, run, label)


def _failure(run: Mapping[str, Any], where: str) -> str:
    """How the workload failed in event `run`, in words; empty if it did not."""
    if take(run, "timed_out", bool, where=where):
        return f"did not end within {number(run, 'seconds', where=where):.0f} s"
    if signal := take(run, "signal", int, where=where):
        return f"was ended by signal {signal}"
    if status := take(run, "exit", int, where=where):
        return f"exited with {status}"
    if run.get("ended") is False:
        return "left processes that would not die"
    if not take(run, "ok", bool, where=where):
        raise InfraError(f"{where}: the guest calls it failed and does not say why")
    return ""


def _metrics(workload: Workload, run: Mapping[str, Any], label: str) -> dict[str, float]:
    where = f"workload '{workload.id}', step '{label}'"
    out = result_of(workload, take(run, "out", str, where=where), str(run.get("err", "")), where=where)
    positive = [workload.metric, *([workload.bound] if workload.bound else [])]
    metrics = {name: number(out, name, where=where, error=InputError, zero=False) for name in positive}
    for guard in workload.guards:
        metrics[guard.metric] = number(out, guard.metric, where=where, error=InputError)
    return metrics


@dataclass(slots=True)
class _Events:
    """The guest's events from the warm-up on, taken one by one in the order of the steps."""

    events: Sequence[Mapping[str, Any]]
    position: int

    def next(self, verb: str, label: str) -> Mapping[str, Any]:
        if self.position >= len(self.events):
            raise InfraError(f"the guest's report ends before step '{label}'")
        event = self.events[self.position]
        self.position += 1
        if (event.get("verb"), event.get("label")) != (verb, label):
            instead = f"{event.get('verb')} '{event.get('label')}'"
            raise InfraError(f"step '{label}': the guest reported {instead} in its place")
        return event

    def peek(self) -> Mapping[str, Any]:
        return self.events[self.position] if self.position < len(self.events) else {}


def _evidence(words: str, run: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What was seen, the policy's own exit record if the guest got to it, and the kernel's words."""
    lines = [words, *([exit_record(after)[1]] if after.get("verb") == "detach" else [])]
    for event in (run, after):
        kmsg = event.get("kmsg")
        lines += [str(line) for line in kmsg] if isinstance(kmsg, list) else []
    return "\n".join(lines)[:_EVIDENCE]

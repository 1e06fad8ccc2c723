# SPDX-License-Identifier: Apache-2.0
"""The gate: whether a compiled policy may be measured at all, and in time be trusted.

A verdict is read from what the guest's kernel did: its BPF verifier on load, its sched_ext on attach, its watchdog and
its log while the policy is under stress, and the record that the policy left when it was taken off.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.model import LostVMError, Rejection, Stage, Verdict
from verifier_vm.console import kernel_death, kernel_warnings, shorten_verifier_log, verifier_complaint, why_disabled
from verifier_vm.process import OnEvent
from verifier_vm.qemu import Machine
from verifier_vm.vm import run

OBJECT = "policy.bpf.o"
# On the wall clock a busy host can hold a vCPU for seconds, which looks like a stall: one found with the first limit
# counts only if the second finds it too.
STALL_LIMITS_MS = (2000, 5000)
# The kernel finds a stall between one and one and a half times the time-out, so the stress outlasts that.
STRESS_PER_LIMIT = 1.75
UNREGISTERED = 64  # SCX_EXIT_UNREG: taken off by its loader, the only clean end
NO_RECORD = -1
EVIDENCE_LINES = 40
TIME_BOUND = re.compile(r"stall|lockup|stuck for|no progress|did not end in time")


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and the report it was read from; no report when the guest's kernel died."""

    verdict: Verdict
    report: GuestReport | None


def judge(
    data: bytes,
    knob_arguments: Sequence[str],
    machine: Machine,
    *,
    then: Sequence[GuestStep] = (),
    files: Mapping[str, bytes] | None = None,
    seed: int = 0,
    deadline_s: float | None = None,
    on_event: OnEvent | None = None,
) -> Judged:
    """Load `data` through the real kernel's verifier in a fresh guest, attach it, stress it, take it off, do `then`.

    A guest that dies saying why rejects the policy; one that is lost without a word is a LostVMError: nothing is known.
    """
    # In virtual time a stall is the policy's own, and is not looked at twice.
    for limit_ms in STALL_LIMITS_MS[: 1 if machine.clock else None]:
        job = GuestJob(
            {**(files or {}), OBJECT: data}, (*survive_steps(knob_arguments, limit_ms=limit_ms), *then), seed
        )
        try:
            report = run(job, machine, deadline_s=deadline_s, on_event=on_event)
        except LostVMError as error:
            return Judged(verdict_of_death(error, data), None)
        judged = Judged(read_verdict(report.events, data, kernel=report.kernel, limit_ms=limit_ms), report)
        if not may_be_the_host(judged.verdict):
            break
    return judged


def may_be_the_host(verdict: Verdict) -> bool:
    """Whether a rejection is one that a host too busy to run the guest could have caused."""
    found = verdict.rejection
    return found is not None and found.stage == "survive" and TIME_BOUND.search(found.reason) is not None


def survive_steps(knob_arguments: Sequence[str], *, limit_ms: int = STALL_LIMITS_MS[0]) -> tuple[GuestStep, ...]:
    """The steps that `read_verdict` reads: attach with a short stall limit, stress for longer than that, detach."""
    stress_s = limit_ms * STRESS_PER_LIMIT / 1000
    return (
        GuestStep("attach", (OBJECT, *knob_arguments, f"ops.timeout_ms={limit_ms}"), "survive", timeout_s=30),
        GuestStep("run", ("stress", str(stress_s)), "survive", timeout_s=30 + stress_s),
        GuestStep("detach", (), "survive", timeout_s=20),
    )


def read_verdict(
    events: Sequence[dict[str, Any]], data: bytes, *, kernel: str, limit_ms: int = STALL_LIMITS_MS[0]
) -> Verdict:
    """The verdict on `data` from the first events of a job that began with `survive_steps` of the same limit."""
    stages: list[Stage] = []
    rejection = None
    for name, event, found in _findings(events, limit_ms):
        stages.append(Stage(name, found is None, float(event.get("seconds", 0.0))))
        if found is not None:
            rejection = found
            break
    ops = str(events[0].get("ops", "")) if events else ""
    return Verdict(rejection is None, rejection, tuple(stages), ops, hashlib.sha256(data).hexdigest(), kernel)


def verdict_of_death(error: LostVMError, data: bytes) -> Verdict:
    """A rejection when the console tells how the guest's kernel died; otherwise the error itself is raised again."""
    death = kernel_death(error.console)
    if death is None:
        raise error
    evidence = "\n".join(error.console.splitlines()[-EVIDENCE_LINES:])
    rejection = Rejection("survive", f"the guest's kernel died: {death}", evidence)
    return Verdict(False, rejection, (Stage("survive", False, 0.0),), "", hashlib.sha256(data).hexdigest())


def _findings(
    events: Sequence[dict[str, Any]], limit_ms: int
) -> Iterator[tuple[str, dict[str, Any], Rejection | None]]:
    """Stage by stage: its name, the event that decides it, and what is wrong, if anything."""
    if len(events) < 1:
        raise LostVMError("the guest reported no step")
    attach = events[0]
    found = _attach_rejection(attach)
    yield found.stage if found else "kernel", attach, found
    if len(events) < 3:
        raise LostVMError("the guest reported an attached policy and then no end")
    stress, detach = events[1], events[2]
    exit_record = _exit_record(detach)
    # The kernel logs why it took a policy off a moment after its state changed: often during the next step.
    stress = {**stress, "kmsg": [*stress["kmsg"], *detach["kmsg"]]} if not stress["ok"] else stress
    yield "survive", stress, _stress_rejection(stress, exit_record, limit_ms)
    yield "exit", detach, _exit_rejection(detach, exit_record)


def _attach_rejection(event: dict[str, Any]) -> Rejection | None:
    warnings = kernel_warnings(event["kmsg"])
    if event["ok"] and not warnings:
        return None
    log, phase = str(event.get("log", "")), event.get("phase")
    if warnings:
        stage, why = "kernel", f"the kernel warned while it was loaded: {warnings[0]}"
    elif phase == "crash":
        ended = event.get("timed_out")
        stage, why = "object", "loading did not end within its limit" if ended else _crash(event)
    elif phase == "open":
        stage, why = "object", verifier_complaint(log).removeprefix("loader: ")
    elif phase == "load":
        stage, why = "kernel", f"the kernel's BPF verifier: {verifier_complaint(log)}"
    else:
        why = why_disabled(event["kmsg"]) or _record_reason(_exit_record(event)) or verifier_complaint(log)
        stage = "attach"
    return Rejection(stage, why, _lines([*event["kmsg"], *shorten_verifier_log(log).splitlines()]))


def _crash(event: dict[str, Any]) -> str:
    signal = event.get("loader_signal")
    return "the loader crashed on this object" + (f" (signal {signal})" if signal else "")


def _stress_rejection(event: dict[str, Any], exit_record: tuple[int, int, str, str], limit_ms: int) -> Rejection | None:
    evidence = _lines([*event["kmsg"], str(event.get("out", "")), str(event.get("err", ""))])
    if warnings := kernel_warnings(event["kmsg"]):
        return Rejection("survive", f"the kernel warned: {warnings[0]}", evidence)
    before, after = event.get("sched", {}).get("before"), event.get("sched", {}).get("after")
    if before != after or event.get("samples") != event.get("attached"):
        why = why_disabled(event["kmsg"]) or _record_reason(exit_record) or f"state went to {after}"
        return Rejection("survive", why, evidence)
    if event.get("timed_out") or not event["ok"]:
        what = "did not end in time" if event.get("timed_out") else f"failed with exit status {event.get('exit')}"
        return Rejection("survive", f"the stress workload {what} under the policy", evidence)
    told = _stress_told(event)
    if told["max_gap_ms"] > limit_ms or told["without_progress"]:
        why = f"a {told['gap_of']} made no progress for {told['max_gap_ms']:.0f} ms (limit {limit_ms} ms)"
        return Rejection("survive", why, evidence)
    return None


def _stress_told(event: dict[str, Any]) -> dict[str, Any]:
    try:
        told = json.loads(str(event["out"]).strip().splitlines()[-1])
        return {key: told[key] for key in ("max_gap_ms", "gap_of", "without_progress")}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise LostVMError(f"the stress workload's report cannot be read: {error!r}") from error


def _exit_rejection(event: dict[str, Any], exit_record: tuple[int, int, str, str]) -> Rejection | None:
    evidence = _lines(event["kmsg"])
    if warnings := kernel_warnings(event["kmsg"]):
        return Rejection("exit", f"the kernel warned while it was taken off: {warnings[0]}", evidence)
    if not event["ok"]:
        return Rejection("exit", "it could not be taken off within its limit", evidence)
    if exit_record[0] not in (UNREGISTERED, NO_RECORD):
        return Rejection("exit", f"it had ended by itself: {_record_reason(exit_record)}", evidence)
    return None


def _exit_record(event: dict[str, Any]) -> tuple[int, int, str, str]:
    """Kind, code, reason and message that the policy recorded on exit; kind NO_RECORD when it records nothing."""
    fields = str(event.get("exit_record", "")).split("\t")
    if len(fields) != 5 or fields[0] != "exit":
        return NO_RECORD, 0, "", ""
    return int(fields[1]), int(fields[2]), fields[3], fields[4]


def _record_reason(record: tuple[int, int, str, str]) -> str:
    return ": ".join(part for part in record[2:] if part)


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(line for line in lines if line.strip())[-8000:]

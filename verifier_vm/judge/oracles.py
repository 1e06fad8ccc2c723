# SPDX-License-Identifier: Apache-2.0
"""What a run under a policy shows that is wrong by itself, whatever EEVDF would have done: the stage `survive`.

Every oracle reads one event of the guest and yields findings. The limits here are those of the kernel's own watchdog,
or counts that must be 0; what is a matter of degree is compared with EEVDF (fairness.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy_lake.model import Finding, LostVMError
from verifier_vm.judge.console import kernel_warnings, why_disabled
from verifier_vm.judge.kernel_words import UNKNOWN, cause_of_exit, cause_of_stall, place_of
from verifier_vm.judge.readings import Reading, read_run

UNREGISTERED = 64  # SCX_EXIT_UNREG: taken off by its loader, the only clean end
NO_RECORD = -1
KEEP_BUILTIN_IDLE = 1  # SCX_OPS_KEEP_BUILTIN_IDLE
HOTPLUG_CODE = 1 << 32  # SCX_ECODE_RSN_HOTPLUG
# A narrow sleeper's mask lacks one CPU; a policy that never looks at masks misses it as often as chance will have it,
# while the kernel's own choice was never seen to miss in more than one wake-up of fifty.
FALLBACK_SHARE = 0.15
FEWEST_WAKES = 20
# Where a slice without end keeps the kernel's own tasks out, the CPUs do work; where a callback does, they do little.
MOST_EATEN = 0.2
# Every so often a task's slice is used up when it is picked; a policy that forgets slices has it at every switch.
REFILL_SHARE = 0.9
_MUST_BE_ZERO = {
    "fork_errors": ("F27", "fork() failed", "Return no error from init_task for want of memory or a map's entry."),
    "mkdir_errors": ("F28", "a cgroup could not be made", "Return 0 from cgroup_init unless memory is short."),
    "cgroup_errors": ("F28", "a cgroup refused a task or a setting", "Mind cgroups that are made while it is loaded."),
    "hotplug_errors": ("F30", "a CPU could not be taken off or brought back", "Let cpu_online and cpu_offline return."),
    "not_started": ("F15", "new threads never ran", "Start new tasks at the current vtime, queued like all others."),
}


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """What the policy stored when it ended; kind NO_RECORD when it stores nothing that the loader knows."""

    kind: int = NO_RECORD
    code: int = 0
    reason: str = ""
    message: str = ""

    @property
    def ended_well(self) -> bool:
        return self.kind in (UNREGISTERED, NO_RECORD)

    @property
    def words(self) -> str:
        return ": ".join(part for part in (self.reason, self.message) if part)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the loader saw in the object: its callbacks, ring buffers to a program beside it, and its flags."""

    callbacks: frozenset[str] = frozenset()
    outlets: tuple[str, ...] = ()
    flags: int = 0

    @property
    def tracks_idle_itself(self) -> bool:
        return "update_idle" in self.callbacks and not self.flags & KEEP_BUILTIN_IDLE

    @property
    def needs_a_program(self) -> bool:
        return bool(self.outlets)


def read_exit_record(event: Mapping[str, Any]) -> ExitRecord:
    """The exit record of a detach (or failed attach) event."""
    fields = str(event.get("exit_record", "")).split("\t")
    if len(fields) != 5 or fields[0] != "exit":
        return ExitRecord()
    return ExitRecord(int(fields[1]), int(fields[2]), fields[3], fields[4])


def read_facts(event: Mapping[str, Any]) -> Facts:
    """The facts that the loader told on the way; none when it did not come that far."""
    line = next((line for line in str(event.get("log", "")).splitlines() if line.startswith("has:")), "has:")
    words = line.split()[1:]
    maps = tuple(word.removeprefix("map:") for word in words if word.startswith("map:"))
    flags = next((int(word.removeprefix("flags:"), 16) for word in words if word.startswith("flags:")), 0)
    return Facts(frozenset(word for word in words if ":" not in word), maps, flags)


def survived(
    event: Mapping[str, Any], later_kmsg: tuple[str, ...], record: ExitRecord, facts: Facts, limit_ms: int
) -> Iterator[Finding]:
    """What is wrong with one run under the policy, the gravest first.

    The kernel logs why it took a policy off a moment after its state changed: often during the next step, hence
    `later_kmsg`. A run that ended early has no reading, and only its end is judged.
    """
    place = str(event.get("label", "")).partition(":")[2]
    before, after = event.get("sched", {}).get("before"), event.get("sched", {}).get("after")
    fell = before != after or event.get("samples") != event.get("attached")
    kmsg = (*event["kmsg"], *(later_kmsg if fell or not event["ok"] else ()))
    if warnings := kernel_warnings(kmsg):
        cause = cause_of_exit(warnings[0])
        yield Finding(cause.bug, "reject", f"the kernel warned: {warnings[0]}", place, cause.advice)
    if fell:
        said = "" if record.ended_well else record.words
        words = why_disabled(kmsg) or said or f"state went to {after}"
        yield _fell_off(words, place, record, facts, everybody_waited(event, limit_ms), _eaten(event))
        return
    if event.get("timed_out") or not event.get("ended", True):
        yield Finding("F36", "reject", "the workload did not end in time under the policy", place, _hang_advice())
        return
    if not event["ok"] and not str(event.get("out", "")).strip():
        status = event.get("exit")
        yield Finding("kernel", "reject", f"the workload failed with exit status {status} under the policy", place)
        return
    yield from _read_findings(read_run(event), place, facts, limit_ms, str(event.get("err", "")))


def _hang_advice() -> str:
    return "Nothing but the judge ran any more: look for loops in callbacks, and for tasks that are never dispatched."


def everybody_waited(event: Mapping[str, Any], limit_ms: int) -> bool:
    """Whether most kinds of threads were stuck when it ended, whichever of them the kernel happened to name."""
    try:
        reading = read_run(event)
    except LostVMError:
        return False
    stuck = sum(group.gap_ms > limit_ms / 2 for group in reading.groups.values())
    return reading.figure("start_ms") > limit_ms / 2 or stuck > max(1, len(reading.groups) / 2)


def _eaten(event: Mapping[str, Any]) -> float:
    """Which part of its threads' CPU time was no work of theirs, until a run ended early; 0 when it did not say so."""
    try:
        groups = read_run(event).groups.values()
    except LostVMError:
        return 0.0
    return sum(max(0.0, group.run_ms - group.work_ms) for group in groups) / max(1.0, sum(g.run_ms for g in groups))


def _fell_off(words: str, place: str, record: ExitRecord, facts: Facts, everybody: bool, eaten: float) -> Finding:
    cause = cause_of_exit(words, needs_a_program=facts.needs_a_program, everybody=everybody)
    if cause.bug == "F19" and eaten > MOST_EATEN:
        cause = cause_of_exit("soft lockup")
        words = f"{words}; callbacks took {eaten:.0%} of the CPU time"
    if cause == UNKNOWN and record.code & HOTPLUG_CODE:
        cause = cause_of_exit("cpu 0 going offline")
    return Finding(cause.bug, "reject", words, place_of(words) or place, cause.advice)


def _read_findings(reading: Reading, place: str, facts: Facts, limit_ms: int, errors: str) -> Iterator[Finding]:
    group, gap_ms = reading.longest_gap()
    if gap_ms > limit_ms:
        cause = cause_of_stall(group, needs_a_program=facts.needs_a_program)
        why = f"a {group} made no progress for {gap_ms:.0f} ms (limit {limit_ms} ms)"
        yield Finding(cause.bug, "reject", why, group.partition("-")[0], cause.advice)
    for name, (bug, what, advice) in _MUST_BE_ZERO.items():
        if count := reading.figure(name):
            said = next((f": {line}" for line in errors.splitlines() if line), "")
            yield Finding(bug, "reject", f"{what} {count:.0f} times{said}", place, advice)
    yield from _counter_findings(reading, place)


def partly(reading: Reading) -> Iterator[Finding]:
    """Says so when the policy has only tasks of SCHED_EXT; the suite's were all made such."""
    if reading.figure("partial"):
        yield Finding("partial", "note", "it schedules tasks of SCHED_EXT only (SCX_OPS_SWITCH_PARTIAL)", "ops",
                      "All others stay on EEVDF, which goes first.")  # fmt: skip


def _counter_findings(reading: Reading, place: str) -> Iterator[Finding]:
    counted, wakes = reading.counted, reading.figure("narrow_wakes")
    misses = counted.get("SELECT_CPU_FALLBACK", 0)
    if reading.cpus > 2 and wakes >= FEWEST_WAKES and misses > FALLBACK_SHARE * wakes and "W9" not in place:
        yield Finding(
            "F12", "reject",
            f"select_cpu chose a CPU that the task may not use {misses} times in {wakes:.0f} wake-ups of bound tasks",
            "W5", "Choose among p->cpus_ptr, or let scx_bpf_select_cpu_dfl choose.",
        )  # fmt: skip
    if foreign := counted.get("INSERT_NOT_OWNED", 0):
        yield Finding("F08", "reject", f"{foreign} inserts of tasks that are not the policy's to insert", place,
                      "Insert only tasks that enqueue gave you and that you still hold.")  # fmt: skip
    switches = sum(group.switches for group in reading.groups.values())
    refills = counted.get("REFILL_SLICE_DFL", 0)
    if switches >= 100 and refills > REFILL_SHARE * switches:
        yield Finding("F20", "note", f"{refills} tasks in {switches} switches had no slice left and were given the"
                      " kernel's 20 ms", place, "Insert with a slice above 0.")  # fmt: skip


def left_cleanly(event: Mapping[str, Any], record: ExitRecord, *, has_exit: bool) -> Iterator[Finding]:
    """What is wrong with taking it off."""
    if warnings := kernel_warnings(event["kmsg"]):
        cause, why = cause_of_exit(warnings[0]), f"the kernel warned while it was taken off: {warnings[0]}"
        yield Finding(cause.bug, "reject", why, "W17", cause.advice)
    if not event["ok"]:
        yield Finding("F36", "reject", "it could not be taken off within its limit", "W17", _hang_advice())
    elif not record.ended_well:
        cause = cause_of_exit(record.words)
        yield Finding(cause.bug, "reject", f"it had ended by itself: {record.words}", "exit", cause.advice)
    elif record.kind == NO_RECORD:
        what = "its exit callback stores no record that the loader knows" if has_exit else "it has no exit callback"
        advice = "Store kind, code, reason and message in a global (SX_EXIT_RECORD and sx_record_exit)."
        yield Finding("F35", "note", f"{what}: nobody will be told why it ended", "exit", advice)

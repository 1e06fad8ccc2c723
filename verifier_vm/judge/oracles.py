# SPDX-License-Identifier: Apache-2.0
"""What a run under a policy shows that is wrong by itself, whatever EEVDF would have done: the stage `survive`.

Every oracle reads one event of the guest and yields findings. The limits here are those of the kernel's own watchdog,
or counts that must be 0; what is a matter of degree is compared with EEVDF (fairness.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.events import Detached, Ran
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Finding
from verifier_vm.judge.console import is_lockup, kernel_warnings, why_disabled
from verifier_vm.judge.ended import HOTPLUG_CODE, ended_by_itself, fell_off
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.kernel_words import (
    BOUND_FIRST,
    KICK_LOST,
    PINNED,
    STORM,
    UNKNOWN,
    Cause,
    cause_of_exit,
    cause_of_stall,
    cause_of_warnings,
)
from verifier_vm.judge.likely import likely
from verifier_vm.judge.readings import Reading, read_run
from verifier_vm.judge.witness import from_watcher
from verifier_vm.object.check_tables import ADVICE as TABLES_ADVICE
from verifier_vm.object.proven import NOTHING, Proven
from verifier_vm.situations import Situation, made_by

# A narrow sleeper's mask lacks one CPU; a policy that never looks at masks misses it as often as chance will have it,
# while the kernel's own choice was never seen to miss in more than one wake-up of fifty.
FALLBACK_SHARE = 0.15
FEWEST_WAKES = 20
_TURNOVERS = frozenset({Situation.TURNOVER, Situation.LARGE_TURNOVER})
_MUST_BE_ZERO = {
    "fork_errors": (
        "F27", Code.FORK_FAILED, "fork() failed", "Return no error from init_task for want of memory or a map's entry.",
    ),
    "mkdir_errors": (
        "F28", Code.CGROUP_FAILED, "a cgroup could not be made", "Return 0 from cgroup_init unless memory is short.",
    ),
    "cgroup_errors": (
        "F28", Code.CGROUP_FAILED, "a cgroup refused a task or a setting",
        "Mind cgroups that are made while it is loaded.",
    ),
    "hotplug_errors": (
        "F30", Code.HOTPLUG_FAILED, "a CPU could not be taken off or brought back",
        "Let cpu_online and cpu_offline return.",
    ),
    "not_started": (
        "F15", Code.NEVER_RAN, "new threads never ran", "Start new tasks at the current vtime, queued like all others.",
    ),
}  # fmt: skip


def survived(event: Ran, detach: Detached, facts: Facts, limit_ms: int) -> Iterator[Finding]:
    """What is wrong with one run under the policy, the gravest first.

    `detach` is how that policy was taken off: it has its record and the kernel's dump, and the kernel logs why it took
    a policy off a moment after its state changed, often during the next step. A run that ended early has no reading,
    and only its end is checked.
    """
    place, fell = event.exercise, not event.sched.steady
    record = detach.exit_record
    kmsg = (*event.kmsg, *(detach.kmsg if fell or not event.ok else ()))
    if warnings := kernel_warnings(kmsg):
        yield _warned("the kernel warned", warnings, kmsg, place)
    if fell and facts.ends_by_hotplug and _ended_by_hotplug(why_disabled(kmsg), record, place):
        why = (
            "the kernel ended it when a CPU went or came, as it does without cpu_online and cpu_offline; EEVDF went on"
        )
        advice = "Give it both callbacks if it is to go on, or attach it again after each hotplug."
        yield Finding("F30", "note", why, place, advice, Code.ENDED_BY_HOTPLUG)
    elif fell:
        yield fell_off(event, why_disabled(kmsg) or record, facts, limit_ms, detach)
    elif event.timed_out or not event.ended:
        why = "the workload did not end in time under the policy"
        yield Finding("F36", "reject", why, place, _hang_advice(), Code.HUNG, basis="guess")
    elif not event.ok and not event.out.strip():
        why = f"the workload failed with exit status {event.exit} under the policy"
        yield Finding("kernel", "reject", why, place, code=Code.WORKLOAD_FAILED)
    else:
        yield from _read_findings(read_run(event), place, facts, limit_ms, event.err, detach.dump)


def _ended_by_hotplug(logged: ExitRecord | None, record: ExitRecord, place: str) -> bool:
    """Whether the kernel ended it for a CPU that went or came, by its log and the exit's code, and for no error.

    Of a tidy end the log has no reason. Where the policy keeps none either, or not the whole of the exit's code (the
    kernel itself never ends a policy without one), it is the CPU of this exercise.
    """
    if logged is not None and logged.kind != ExitKind.UNREG_KERN:
        return False  # the policy's own doing, whatever its message says: those are its words, not the kernel's
    ended = logged or record
    here = not {Situation.HOTPLUG, Situation.LATE_CPU}.isdisjoint(made_by(place))
    if not record.stored and logged is not None and logged.kind == ExitKind.UNREG_KERN:
        return here
    tidy = not record.stored or record.kind == ExitKind.UNREG_KERN
    cause = cause_of_exit(ended.words)
    said = bool(record.code & HOTPLUG_CODE) or (record.stored and record.code == 0 and here)
    return tidy and (cause.bug == "F30" or (cause == UNKNOWN and said))


def _warned(when: str, warnings: tuple[str, ...], kmsg: tuple[str, ...], place: str) -> Finding:
    cause = cause_of_warnings(kmsg, warnings[0])
    code = Code.LOCKUP if is_lockup(warnings[0]) else Code.KERNEL_WARNING
    return Finding(cause.bug, "reject", f"{when}: {warnings[0]}", place, cause.advice, code, basis=cause.basis)


def _hang_advice() -> str:
    return (
        "Only the verifier's own tasks still ran: look for loops in callbacks, and for tasks that are never dispatched."
    )


def _read_findings(
    reading: Reading, place: str, facts: Facts, limit_ms: int, errors: str, dump: str
) -> Iterator[Finding]:
    group, gap_ms = reading.longest_gap()
    if gap_ms > limit_ms:
        cause = cause_of_stall(group, needs_a_program=facts.needs_a_program)
        # On one CPU all are bound to it: that alone keeps nobody from it.
        bound = _bound_have_it(reading, group) or (reading.cpus == 1 and cause.bug == PINNED.bug)
        if bound and not facts.needs_a_program:
            cause = replace(BOUND_FIRST, basis="guess")
        cause = likely(cause, facts.proven, one_idled=reading.one_idled)
        why = f"a {group} made no progress for {gap_ms:.0f} ms (limit {limit_ms} ms)"
        if group == "W36-alone":  # a cgroup each
            why = f"{why}, with {reading.groups[group].n} cgroups that have work at once"
        if storm := reading.storm():
            cause, why = STORM, f"{why}: {storm}"
        yield Finding(
            cause.bug, "reject", why, group.partition("-")[0], cause.advice, Code.NO_PROGRESS, basis=cause.basis,
            witness=from_watcher(dump, group, reading),
        )  # fmt: skip
    for name, (bug, code, what, advice) in _MUST_BE_ZERO.items():
        if count := reading.figure(name):
            first_error = next((f": {line}" for line in errors.splitlines() if line), "")
            if name == "fork_errors" and not _TURNOVERS.isdisjoint(made_by(place)):
                why = f"{what} {count:.0f} times, while threads came and went one after the other{first_error}"
                yield Finding(bug, "reject", why, place, TABLES_ADVICE, code)
            else:
                yield Finding(bug, "reject", f"{what} {count:.0f} times{first_error}", place, advice, code)
    yield from _counter_findings(reading, place)


def _bound_have_it(reading: Reading, stuck: str) -> bool:
    """Whether hogs that are bound to a CPU had half of the time and more, and those that float next to nothing."""
    bound, floating = reading.groups.get("W6-pinned"), reading.groups.get("W1-hog")
    if bound is None or floating is None or stuck == "W6-pinned":
        return False
    return bound.run_ms >= reading.capacity_ms / 2 and floating.run_ms <= reading.capacity_ms / 50


def partly(reading: Reading) -> Iterator[Finding]:
    """Says so when the policy has only tasks of SCHED_EXT; the suite's were all made such."""
    if reading.figure("partial"):
        yield Finding("partial", "note", "it schedules tasks of SCHED_EXT only (SCX_OPS_SWITCH_PARTIAL)", "ops",
                      "All others stay on EEVDF, which goes first.", Code.PARTIAL)  # fmt: skip


def _counter_findings(reading: Reading, place: str) -> Iterator[Finding]:
    counted, wakes = reading.counted, reading.figure("narrow_wakes")
    misses = counted.get("SELECT_CPU_FALLBACK", 0)
    if reading.cpus > 2 and wakes >= FEWEST_WAKES and misses > FALLBACK_SHARE * wakes and "W9" not in place:
        yield Finding(
            "F12", "reject",
            f"select_cpu chose a CPU that the task may not use {misses} times in {wakes:.0f} wake-ups of bound tasks",
            "W5", "Choose among p->cpus_ptr, or let scx_bpf_select_cpu_dfl choose.", Code.WRONG_CPU,
        )  # fmt: skip
    if foreign := counted.get("INSERT_NOT_OWNED", 0):
        yield Finding("F08", "reject", f"{foreign} inserts of tasks that are not the policy's to insert", place,
                      "Insert only tasks that enqueue gave you and that you still hold.",
                      Code.FOREIGN_INSERT)  # fmt: skip


def left_cleanly(event: Detached, *, has_exit: bool, proven: Proven = NOTHING) -> Iterator[Finding]:
    """What is wrong with taking it off."""
    record = event.exit_record
    if warnings := kernel_warnings(event.kmsg):
        yield _warned("the kernel warned while it was taken off", warnings, event.kmsg, "W17")
    if not event.ok:
        why = "it could not be taken off within its limit"
        cause = cause_of_warnings(event.kmsg, "")
        cause = cause if cause == KICK_LOST else Cause("F36", _hang_advice(), "guess")
        yield Finding(cause.bug, "reject", why, "W17", cause.advice, Code.NOT_DETACHED, basis=cause.basis)
    elif not record.clean:
        yield ended_by_itself(event, proven)
    elif why := _unread(record, has_exit=has_exit):
        advice = "Store kind, code, reason and message in a global (SX_EXIT_RECORD and sx_record_exit)."
        yield Finding("F35", "note", f"{why}: why it ends will not be known", "exit", advice, Code.NO_EXIT_RECORD)


def _unread(record: ExitRecord, *, has_exit: bool) -> str:
    """Why nobody reads how it ended; empty where somebody may: what .exit keeps elsewhere the object stage has read."""
    if not has_exit:
        return "it has no exit callback"
    if record.kind == ExitKind.NONE and not (record.reason or record.message):
        return "its exit record was still empty after it had ended: it has no kind, no reason and no message"
    return ""

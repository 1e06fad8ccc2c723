# SPDX-License-Identifier: Apache-2.0
"""What a run under a policy shows that is wrong by itself, whatever EEVDF would have done: the stage `survive`.

Every oracle reads one event of the guest and yields findings. The limits here are those of the kernel's own watchdog,
or counts that must be 0; what is a matter of degree is compared with EEVDF (fairness.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.events import Attached, Detached, ExitKind, ExitRecord, Ran
from policy_lake.model import Finding
from verifier_vm.judge.console import is_lockup, kernel_warnings, why_disabled
from verifier_vm.judge.kernel_words import UNKNOWN, cause_of_exit, cause_of_stall, place_of
from verifier_vm.judge.readings import Reading, read_run
from verifier_vm.situations import Situation, made_by
from verifier_vm.verdict import HOTPLUG_CALLBACKS

KEEP_BUILTIN_IDLE = 1  # SCX_OPS_KEEP_BUILTIN_IDLE
HOTPLUG_CODE = 1 << 32  # SCX_ECODE_RSN_HOTPLUG
# A narrow sleeper's mask lacks one CPU; a policy that never looks at masks misses it as often as chance will have it,
# while the kernel's own choice was never seen to miss in more than one wake-up of fifty.
FALLBACK_SHARE = 0.15
FEWEST_WAKES = 20
# Where a slice without end keeps the kernel's own tasks out, the CPUs do work; where a callback does, they do little.
MOST_EATEN = 0.2
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
    def ends_by_hotplug(self) -> bool:
        return not self.callbacks >= HOTPLUG_CALLBACKS

    @property
    def needs_a_program(self) -> bool:
        return bool(self.outlets)


def read_facts(event: Attached) -> Facts:
    """The facts that the loader reported; none when it did not come that far."""
    line = next((line for line in event.log.splitlines() if line.startswith("has:")), "has:")
    words = line.split()[1:]
    maps = tuple(word.removeprefix("map:") for word in words if word.startswith("map:"))
    flags = next((int(word.removeprefix("flags:"), 16) for word in words if word.startswith("flags:")), 0)
    return Facts(frozenset(word for word in words if ":" not in word), maps, flags)


def survived(
    event: Ran, later_kmsg: tuple[str, ...], record: ExitRecord, facts: Facts, limit_ms: int
) -> Iterator[Finding]:
    """What is wrong with one run under the policy, the gravest first.

    The kernel logs why it took a policy off a moment after its state changed: often during the next step, hence
    `later_kmsg`. A run that ended early has no reading, and only its end is checked.
    """
    place, fell = event.exercise, not event.sched.steady
    kmsg = (*event.kmsg, *(later_kmsg if fell or not event.ok else ()))
    if warnings := kernel_warnings(kmsg):
        yield _warned("the kernel warned", warnings[0], place)
    if fell and facts.ends_by_hotplug and _ended_by_hotplug(why_disabled(kmsg), record, place):
        why = "the kernel ended it when a CPU went, as it does without cpu_online and cpu_offline; EEVDF went on"
        advice = "Give it both callbacks if it is to go on, or attach it again after each hotplug."
        yield Finding("F30", "note", why, place, advice, Code.ENDED_BY_HOTPLUG)
    elif fell:
        yield _fell_off(event, why_disabled(kmsg) or record, facts, limit_ms, code=record.code)
    elif event.timed_out or not event.ended:
        why = "the workload did not end in time under the policy"
        yield Finding("F36", "reject", why, place, _hang_advice(), Code.HUNG)
    elif not event.ok and not event.out.strip():
        why = f"the workload failed with exit status {event.exit} under the policy"
        yield Finding("kernel", "reject", why, place, code=Code.WORKLOAD_FAILED)
    else:
        yield from _read_findings(read_run(event), place, facts, limit_ms, event.err)


def _ended_by_hotplug(logged: ExitRecord | None, record: ExitRecord, place: str) -> bool:
    """Whether the kernel ended it for a CPU that went or came, by its log and the exit's code, and for no error.

    Of a tidy end the log has no reason. Where the policy keeps none either, it is the CPU that went in this exercise.
    """
    ended = logged or record
    if not record.stored and logged is not None and logged.kind == ExitKind.UNREG_KERN:
        return Situation.HOTPLUG in made_by(place)
    tidy = not record.stored or record.kind == ExitKind.UNREG_KERN
    cause = cause_of_exit(ended.words)
    return tidy and (cause.bug == "F30" or (cause == UNKNOWN and bool(record.code & HOTPLUG_CODE)))


def _warned(when: str, warning: str, place: str) -> Finding:
    cause = cause_of_exit(warning)
    code = Code.LOCKUP if is_lockup(warning) else Code.KERNEL_WARNING
    return Finding(cause.bug, "reject", f"{when}: {warning}", place, cause.advice, code)


def _hang_advice() -> str:
    return (
        "Only the verifier's own tasks still ran: look for loops in callbacks, and for tasks that are never dispatched."
    )


def everybody_waited(event: Ran, limit_ms: int) -> bool:
    """Whether most kinds of threads were stuck when it ended, whichever of them the kernel happened to name."""
    try:
        reading = read_run(event)
    except LostVMError:
        return False
    stuck = sum(group.gap_ms > limit_ms / 2 for group in reading.groups.values())
    return reading.figure("start_ms") > limit_ms / 2 or stuck > max(1, len(reading.groups) / 2)


def _eaten(event: Ran) -> float:
    """Which part of its threads' CPU time was no work of theirs, until a run ended early; 0 when it did not say so."""
    try:
        groups = read_run(event).groups.values()
    except LostVMError:
        return 0.0
    return sum(max(0.0, group.run_ms - group.work_ms) for group in groups) / max(1.0, sum(g.run_ms for g in groups))


def _fell_off(event: Ran, ended: ExitRecord, facts: Facts, limit_ms: int, *, code: int) -> Finding:
    """The policy was not the scheduler all through a run: `ended` is why, by the kernel's log or the policy's own
    record, which alone has the exit's `code`.
    """
    after, words = event.sched.after, ended.words
    if ended.clean:
        words = f"state went to {after.state}, ops '{after.ops}', enable_seq {after.enable_seq}"
    everybody = everybody_waited(event, limit_ms)
    cause = cause_of_exit(words, needs_a_program=facts.needs_a_program, everybody=everybody)
    if cause.bug == "F19" and (eaten := _eaten(event)) > MOST_EATEN:
        cause = cause_of_exit("soft lockup")
        words = f"{words}; callbacks took {eaten:.0%} of the CPU time"
    if cause == UNKNOWN and code & HOTPLUG_CODE:
        cause = cause_of_exit("cpu 0 going offline")
    kind = Code.FELL_OFF if ended.clean else _code_of(ended)
    return Finding(cause.bug, "reject", words, place_of(words) or event.exercise, cause.advice, kind)


def _code_of(ended: ExitRecord) -> Code:
    return Code.STALL if ended.kind == ExitKind.ERROR_STALL else Code.EXIT_ERROR


def _read_findings(reading: Reading, place: str, facts: Facts, limit_ms: int, errors: str) -> Iterator[Finding]:
    group, gap_ms = reading.longest_gap()
    if gap_ms > limit_ms:
        cause = cause_of_stall(group, needs_a_program=facts.needs_a_program)
        why = f"a {group} made no progress for {gap_ms:.0f} ms (limit {limit_ms} ms)"
        yield Finding(cause.bug, "reject", why, group.partition("-")[0], cause.advice, Code.NO_PROGRESS)
    for name, (bug, code, what, advice) in _MUST_BE_ZERO.items():
        if count := reading.figure(name):
            first_error = next((f": {line}" for line in errors.splitlines() if line), "")
            yield Finding(bug, "reject", f"{what} {count:.0f} times{first_error}", place, advice, code)
    yield from _counter_findings(reading, place)


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


def left_cleanly(event: Detached, *, has_exit: bool) -> Iterator[Finding]:
    """What is wrong with taking it off."""
    record = event.exit_record
    if warnings := kernel_warnings(event.kmsg):
        yield _warned("the kernel warned while it was taken off", warnings[0], "W17")
    if not event.ok:
        why = "it could not be taken off within its limit"
        yield Finding("F36", "reject", why, "W17", _hang_advice(), Code.NOT_DETACHED)
    elif not record.clean:
        cause, why = cause_of_exit(record.words), f"it had ended by itself: {record.words}"
        yield Finding(cause.bug, "reject", why, "exit", cause.advice, _code_of(record))
    elif not record.stored:
        what = "its exit callback stores no record that the loader knows" if has_exit else "it has no exit callback"
        advice = "Store kind, code, reason and message in a global (SX_EXIT_RECORD and sx_record_exit)."
        why = f"{what}: why it ends will not be known"
        yield Finding("F35", "note", why, "exit", advice, Code.NO_EXIT_RECORD)

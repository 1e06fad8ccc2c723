# SPDX-License-Identifier: Apache-2.0
"""Why a policy ended before it was taken off, told from the kernel's words, its dump, and what the run still said."""

from __future__ import annotations

from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.errors import LostVMError
from policy_lake.events import Detached, Ran
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Finding
from verifier_vm.judge.cause import explain, stuck_task
from verifier_vm.judge.dump import Dump, Task, parse_dump
from verifier_vm.judge.facts import Facts
from verifier_vm.judge.kernel_words import LOST, NOT_EMPTIED, STORM, UNKNOWN, cause_of_exit, place_of
from verifier_vm.judge.likely import likely
from verifier_vm.judge.readings import Reading, read_run
from verifier_vm.judge.scene import Explained, Scene
from verifier_vm.judge.witness import from_dump, from_reading
from verifier_vm.object.proven import NOTHING, Proven

HOTPLUG_CODE = 1 << 32  # SCX_ECODE_RSN_HOTPLUG
# Where a slice without end keeps the kernel's own tasks out, the CPUs do work; where a callback does, they do little.
MOST_EATEN = 0.2
ALL_THE_TIME = 0.98


def _read(event: Ran) -> Reading | None:
    """What a run that ended early still said."""
    try:
        return read_run(event)
    except LostVMError:
        return None


def everybody_waited(reading: Reading, limit_ms: int) -> bool:
    """Whether most kinds of threads were stuck when it ended, whichever of them the kernel happened to name."""
    stuck = sum(group.gap_ms > limit_ms / 2 for group in reading.groups.values())
    return reading.figure("start_ms") > limit_ms / 2 or stuck > max(1, len(reading.groups) / 2)


def _eaten(reading: Reading) -> float:
    """Which part of its threads' CPU time was no work of theirs, until a run ended early."""
    groups = reading.groups.values()
    return sum(max(0.0, group.run_ms - group.work_ms) for group in groups) / max(1.0, sum(g.run_ms for g in groups))


def fell_off(event: Ran, ended: ExitRecord, facts: Facts, limit_ms: int, detach: Detached) -> Finding:
    """The policy was not the scheduler all through a run: `ended` is why, by the kernel's log or the policy's own
    record, which alone has the exit's code.
    """
    after, words, reading = event.sched.after, ended.words, _read(event)
    if ended.clean:
        words = f"state went to {after.state}, ops '{after.ops}', enable_seq {after.enable_seq}"
    kind = Code.FELL_OFF if ended.clean else _code_of(ended)
    place, witness = place_of(words) or event.exercise, from_reading(reading) if reading else ()
    if kind == Code.STALL:
        dump = parse_dump(detach.dump)
        stuck = stuck_task(dump, words)
        witness = from_dump(dump, stuck, reading)
        # A CPU whose callbacks take the time looks idle, for dispatch is called there: but who is lost is lost.
        eaten = _eaten(reading) if reading else 0.0
        found = _explained(dump, stuck, facts, place, none_idled=reading is not None and _none_idled(reading))
        # Where not even the kernel's own watchdog ran, a CPU that looks idle may be held up as well: this rule's alone.
        if found and found.cause == NOT_EMPTIED and found.basis == "evidence" and cause_of_exit(words).bug == "F19":
            idled = "F19" in facts.proven.refuted or (reading is not None and reading.one_idled)
            found = replace(found, basis="guess") if idled else None
        if found and (eaten <= MOST_EATEN or found.cause == LOST):
            why = f"{words}: {found.why}"
            bug, advice = found.cause.bug, found.cause.advice
            return Finding(bug, "reject", why, place, advice, kind, basis=found.basis, witness=witness)
    everybody = reading is not None and everybody_waited(reading, limit_ms)
    cause = cause_of_exit(kernels_words(ended, words), needs_a_program=facts.needs_a_program, everybody=everybody)
    if kind == Code.STALL:
        cause = likely(cause, facts.proven, one_idled=reading is not None and reading.one_idled)
    if kind == Code.STALL and reading and cause != LOST and (storm := reading.storm()):
        cause, words = STORM, f"{words}: {storm}"
    elif kind == Code.STALL and reading and cause != LOST and (eaten := _eaten(reading)) > MOST_EATEN:
        cause = replace(cause_of_exit("soft lockup"), basis="evidence")
        words = f"{words}; callbacks took {eaten:.0%} of the CPU time"
    if cause == UNKNOWN and detach.exit_record.code & HOTPLUG_CODE:
        cause = cause_of_exit("cpu 0 going offline")
    return Finding(cause.bug, "reject", words, place, cause.advice, kind, basis=cause.basis, witness=witness)


def kernels_words(ended: ExitRecord, words: str) -> str:
    """What of them is the kernel's own: where the policy ended itself, the message is its, whatever that says."""
    if ended.kind == ExitKind.ERROR_BPF:
        return "scx_bpf_error"
    return "unregistered from BPF" if ended.kind == ExitKind.UNREG_BPF else words


def _none_idled(reading: Reading) -> bool:
    """Whether its threads had nearly all of the CPU time; not where more came than there was, with a CPU that came."""
    run_ms = sum(group.run_ms for group in reading.groups.values())
    return ALL_THE_TIME * reading.capacity_ms < run_ms <= (2 - ALL_THE_TIME) * reading.capacity_ms


def _explained(
    dump: Dump, stuck: Task | None, facts: Facts, place: str, *, none_idled: bool = False
) -> Explained | None:
    """The cause by the kernel's dump. What waits for a program beside it looks as if it were lost."""
    if stuck is None or facts.needs_a_program:
        return None
    return explain(Scene(stuck, dump, facts.flags, place, none_idled, facts.proven))


def _code_of(ended: ExitRecord) -> Code:
    return Code.STALL if ended.kind == ExitKind.ERROR_STALL else Code.EXIT_ERROR


def ended_by_itself(event: Detached, proven: Proven = NOTHING) -> Finding:
    """What ended it where no run saw it."""
    record, kind = event.exit_record, _code_of(event.exit_record)
    cause, why = cause_of_exit(kernels_words(record, record.words)), f"it had ended by itself: {record.words}"
    if kind != Code.STALL:
        return Finding(cause.bug, "reject", why, "exit", cause.advice, kind, basis=cause.basis)
    dump = parse_dump(event.dump)
    stuck = stuck_task(dump, record.words)
    cause = likely(cause, proven, one_idled=False)
    found = _explained(dump, stuck, Facts(proven=proven), "") or Explained(cause, "", cause.basis)
    why = f"{why}: {found.why}" if found.why else why
    return Finding(
        found.cause.bug, "reject", why, "exit", found.cause.advice, kind, basis=found.basis,
        witness=from_dump(dump, stuck, None),
    )  # fmt: skip

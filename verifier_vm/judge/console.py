# SPDX-License-Identifier: Apache-2.0
"""Reading what a kernel and its BPF verifier printed: which line says why, and which lines a person needs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.limits import KERNEL_LINE

DEATH = re.compile(r"Kernel panic|Oops: |general protection fault|kernel BUG at|unable to handle (?:page fault|kernel)")
WARNING = re.compile(
    r"^(?:\S+ )?(?:WARNING: |BUG: )|" + DEATH.pattern + r"|soft lockup|hard LOCKUP|rcu: .*(?:stall|starved)"
    r"|blocked for more than \d+ seconds|scheduling while atomic|list_(?:add|del) corruption"
)
LOCKUP = re.compile(r"lockup|LOCKUP|stuck for|rcu: .*(?:stall|starved)")
TIMESTAMP = re.compile(r"^\[ *\d+\.\d+\] ")
SCX_DISABLED = re.compile(r'^sched_ext: BPF scheduler "[^"]*" disabled \((?P<reason>.*)\)$')
# The kernel's scx_exit_reason() (kernel/sched/ext.c, 7.3).
EXIT_REASONS = {
    "unregistered from BPF": ExitKind.UNREG_BPF,
    "unregistered from the main kernel": ExitKind.UNREG_KERN,
    "disabled by sysrq-S": ExitKind.SYSRQ,
    "parent exiting": ExitKind.PARENT,
    "scx_bpf_error": ExitKind.ERROR_BPF,
    "runnable task stall": ExitKind.ERROR_STALL,
}
SCX_MESSAGE = re.compile(r"^sched_ext: [\w.]+: (?P<message>.*)$")
# What the BPF verifier prints for every instruction and state, as opposed to what it complains of.
TRACE = re.compile(
    r"^\s*(?:\d+: \(|; |from \d+ to |\d+: R\d|R\d+[=_]|frame\d*|mark_precise|processed \d+ insns|last_idx|regs=)"
)
STATE = re.compile(r"^\s*(?:\d+: R\d|R\d+[=_]|mark_precise|regs=|last_idx)")
NOISE = re.compile(
    r"^(?:has:|libbpf: (?:prog|map|failed|elf|loading|struct_ops)|-- (?:BEGIN|END)|processed \d+ insns|\s*$)"
)


def kernel_death(console: str) -> str | None:
    """The console line in which the guest's kernel died, without its time stamp; None when it did not say so."""
    return next((TIMESTAMP.sub("", line).strip() for line in console.splitlines() if DEATH.search(line)), None)


def kernel_warnings(kmsg: Iterable[str]) -> tuple[str, ...]:
    """The kernel log lines after which a kernel counts as damaged: warnings, lockups, RCU stalls, corruption."""
    return tuple(line for line in kmsg if WARNING.search(line))


def is_lockup(warning: str) -> bool:
    """Whether a kernel's warning says that a CPU did not get on, for which a busy host may be to blame."""
    return LOCKUP.search(warning) is not None


def why_disabled(kmsg: Iterable[str]) -> ExitRecord | None:
    """Why the kernel took a policy off, from its own log; None when it took none off in error."""
    lines = list(kmsg)
    for index, line in enumerate(lines):
        if (disabled := SCX_DISABLED.match(line)) and disabled["reason"] != "unregistered from user space":
            # The message follows on the next line; a line that is part of a backtrace has no colon form.
            message = next((m["message"] for text in lines[index + 1 :] if (m := SCX_MESSAGE.match(text))), "")
            kind = EXIT_REASONS.get(disabled["reason"], ExitKind.ERROR)
            return ExitRecord(kind, 0, disabled["reason"], message)
    return None


def verifier_complaint(log: str) -> str:
    """The one line in which the BPF verifier (or libbpf) says why it refused, with the place where it names one."""
    # The loader's own "has:" line is no complaint.
    lines = [line.strip() for line in log.splitlines() if not line.startswith("has:")]
    if not any("BEGIN PROG LOAD LOG" in line for line in lines):
        spoken = [line.removeprefix("libbpf: ") for line in lines if line]
        return spoken[0][:KERNEL_LINE] if spoken else "the kernel refused the object without saying why"
    begin = next(i for i, line in enumerate(lines) if "BEGIN PROG LOAD LOG" in line)
    lines = lines[begin + 1 :]
    # From 7.x on a written-out diagnosis follows the classic complaint; "At:" precedes the source line.
    diagnosis = next((i for i, line in enumerate(lines) if line.startswith("Verification failed:")), len(lines))
    end = next((i for i, line in enumerate(lines) if "END PROG LOAD LOG" in line), len(lines))
    words = [line for line in lines[: min(diagnosis, end)] if not TRACE.match(line) and not NOISE.match(line)]
    place = next((lines[i + 1] for i in range(diagnosis, end - 1) if lines[i] == "At:"), "")
    complaint = words[-1] if words else "program rejected"
    return (f"{complaint} (at {place})" if place else complaint)[:KERNEL_LINE]


def shorten_verifier_log(log: str, *, keep: int = 40) -> str:
    """The verifier's log without the register states it printed on the way, its last `keep` lines."""
    return "\n".join(
        [line for line in log.splitlines() if line.strip() and not STATE.match(line) and not line.startswith("has:")][
            -keep:
        ]
    )

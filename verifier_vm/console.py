# SPDX-License-Identifier: Apache-2.0
"""Reading what a kernel and its BPF verifier printed: which line says why, and which lines a person needs."""

from __future__ import annotations

import re
from collections.abc import Iterable

DEATH = re.compile(r"Kernel panic|Oops: |general protection fault|kernel BUG at|unable to handle (?:page fault|kernel)")
WARNING = re.compile(
    r"^(?:\S+ )?(?:WARNING: |BUG: )|" + DEATH.pattern + r"|soft lockup|hard LOCKUP|rcu: .*(?:stall|starved)"
    r"|blocked for more than \d+ seconds|scheduling while atomic|list_(?:add|del) corruption"
)
TIMESTAMP = re.compile(r"^\[ *\d+\.\d+\] ")
SCX_DISABLED = re.compile(r'^sched_ext: BPF scheduler "[^"]*" disabled \((?P<reason>.*)\)$')
SCX_MESSAGE = re.compile(r"^sched_ext: [\w.]+: (?P<message>.*)$")
# What the BPF verifier prints for every instruction and state, as opposed to what it complains of.
TRACE = re.compile(
    r"^\s*(?:\d+: \(|; |from \d+ to |\d+: R\d|R\d+[=_]|frame\d*|mark_precise|processed \d+ insns|last_idx|regs=)"
)
NOISE = re.compile(r"^(?:libbpf: (?:prog|map|failed|elf|loading|struct_ops)|-- (?:BEGIN|END)|processed \d+ insns|\s*$)")


def kernel_death(console: str) -> str | None:
    """The console line in which the guest's kernel died, without its time stamp; None when it did not say so."""
    return next((TIMESTAMP.sub("", line).strip() for line in console.splitlines() if DEATH.search(line)), None)


def kernel_warnings(kmsg: Iterable[str]) -> tuple[str, ...]:
    """The kernel log lines after which a kernel counts as damaged: warnings, lockups, RCU stalls, corruption."""
    return tuple(line for line in kmsg if WARNING.search(line))


def why_disabled(kmsg: Iterable[str]) -> str | None:
    """Why the kernel took a policy off, from its own log: "REASON: MESSAGE"; None when it took none off in error."""
    lines = list(kmsg)
    for index, line in enumerate(lines):
        if (found := SCX_DISABLED.match(line)) and not found["reason"].startswith("unregistered from"):
            # The message follows on the next line; a line that is part of a backtrace has no colon form.
            message = next((m["message"] for text in lines[index + 1 :] if (m := SCX_MESSAGE.match(text))), "")
            return f"{found['reason']}: {message}" if message else found["reason"]
    return None


def verifier_complaint(log: str) -> str:
    """The one line in which the BPF verifier (or libbpf) says why it refused."""
    lines = [line.strip() for line in log.splitlines()]
    inside, last = False, ""
    for line in lines:
        if "BEGIN PROG LOAD LOG" in line:
            inside, last = True, ""
        elif "END PROG LOAD LOG" in line:
            break
        elif inside and not TRACE.match(line) and not NOISE.match(line):
            last = line
    if last:
        return last
    spoken = [line.removeprefix("libbpf: ") for line in lines if line and not TRACE.match(line)]
    return spoken[0] if spoken else "the kernel refused the object without saying why"


def shorten_verifier_log(log: str, *, keep: int = 30) -> str:
    """The verifier's log without its per-state lines: source lines, the failing instruction and the complaint, last `keep`."""
    wanted = [
        line
        for line in log.splitlines()
        if line.strip() and not re.match(r"^\s*(?:\d+: R\d|R\d+[=_]|mark_pre|regs=|last_idx)", line)
    ]
    return "\n".join(wanted[-keep:])

# SPDX-License-Identifier: Apache-2.0
"""Which mistake the BPF verifier's (or libbpf's) complaint means, and what to change.

Few of them have a number in docs/bugs.md, which lists what the BPF verifier does not see.
"""

from __future__ import annotations

import re

from verifier_vm.judge.kernel_words import Cause

_CONTEXT = Cause(
    "context",
    "The kernel allows this function in other callbacks only: inserting in select_cpu, enqueue and dispatch, moving in"
    " dispatch, creating queues in init.",
)
_CAUSES = tuple(
    (re.compile(pattern), cause)
    for pattern, cause in (
        (r"kernel function \S+ is not allowed|cannot be called from", _CONTEXT),
        (r"might sleep|sleepable", Cause("context", "Only init, exit, init_task, cgroup and hotplug callbacks sleep.")),
        (r"trusted_ptr_or_null|possibly NULL|_or_null", Cause("null", "Test the pointer for NULL first.")),
        (
            r"cannot find address for kernel function|extern .*not found|unresolved|failed to find kernel",
            Cause("kernel", "The kernel has no such function: use the wrappers of sx/sx.h."),
        ),
        (
            r"infinite loop|program is too large|too many (?:states|jumps)|complexity",
            Cause("F36", "Bound the loop, or use bpf_for: the verifier must see its end."),
        ),
        (r"[Uu]nreleased reference", Cause("reference", "Release what was acquired on every path, early returns too.")),
        (
            r"only read is supported|write into|cannot write|read-only",
            Cause("memory", "A policy may only read this: use the setters (sx_set_slice, sx_insert_vtime)."),
        ),
        (
            r"invalid mem access|outside of the|out of bounds|min value|max value|unbounded|invalid access",
            Cause("memory", "Check the index or the pointer against its bounds right before it is used."),
        ),
        (r"Argument list too long|-E2BIG", Cause("ops", "timeout_ms may be 30000 at most.")),
        (
            r"Invalid argument|-EINVAL",
            Cause("ops", "An unknown flag, or a callback of the wrong kind, in the ops table."),
        ),
    )
)
_OTHER = Cause("verifier", "")


def cause_of_refusal(complaint: str) -> Cause:
    """What a complaint means; bug "verifier" and no advice where it is none of the known ones."""
    return next((cause for pattern, cause in _CAUSES if pattern.search(complaint)), _OTHER)

# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a policy that the kernel would not have: the stage `kernel`, read from one attach event."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_lake.codes import Code
from policy_lake.events import Attached
from policy_lake.model import Finding
from verifier_vm.judge.console import kernel_warnings, verifier_complaint, why_disabled
from verifier_vm.judge.ended import kernels_words
from verifier_vm.judge.kernel_words import UNKNOWN, Cause, cause_of_exit, cause_of_warnings
from verifier_vm.judge.refusal_words import cause_of_refusal
from verifier_vm.judge.too_large import map_too_large

# What a callback had no memory for, in the kernel's words: -ENOMEM.
MEMORY_MIB = 512  # of a guest that nobody asked for more
_NO_MEMORY = re.compile(r"\bops\.\w{1,40}\(\) failed \(-12\)")


def load_findings(event: Attached, data: bytes = b"", memory_mib: int = MEMORY_MIB) -> Iterator[Finding]:
    """Why `data` was not loaded or attached in a guest of that memory, or what the kernel said meanwhile."""
    if warnings := kernel_warnings(event.kmsg):
        code = Code.KERNEL_WARNING
        cause = cause_of_warnings(event.kmsg, warnings[0])
        why = f"the kernel warned while it was loaded: {warnings[0]}"
    elif event.ok:
        return
    elif event.phase == "crash":
        code = Code.LOAD_TIMEOUT if event.timed_out else Code.DAMAGED_OBJECT
        cause = Cause("elf", "Compile it anew: the object is damaged.")
        why = "loading did not end within its limit" if event.timed_out else _crash(event)
    elif event.phase == "open":
        code, complaint = Code.DAMAGED_OBJECT, verifier_complaint(event.log).removeprefix("loader: ")
        cause, why = Cause("elf", "It must be an object with one struct sched_ext_ops."), complaint
    elif event.phase == "load":
        code, complaint = Code.REFUSED_BY_VERIFIER, verifier_complaint(event.log)
        large = map_too_large(event.log, data, memory_mib)
        why, cause = large or (f"the kernel's BPF verifier: {complaint}", cause_of_refusal(complaint))
    else:
        disabled = why_disabled(event.kmsg) or event.exit_record
        why = disabled.words or verifier_complaint(event.log)
        code = Code.NO_MEMORY if _NO_MEMORY.search(why) else Code.REFUSED_ON_ATTACH
        cause = cause_of_exit(kernels_words(disabled, why))
        if cause == UNKNOWN:
            cause = cause_of_refusal(why)
    yield Finding(cause.bug, "reject", why, _place_in(why) or "load", cause.advice, code, basis=cause.basis)


def _place_in(complaint: str) -> str:
    """FILE:LINE of "... (at function @ FILE:LINE:COLUMN)"."""
    match = re.search(r"@ (?P<place>[^\s:]+:\d+)", complaint)
    return match["place"] if match else ""


def _crash(event: Attached) -> str:
    signal = f" (signal {event.loader_signal})" if event.loader_signal else ""
    return f"the loader crashed on this object{signal}"

# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a policy that the kernel would not have: the stage `kernel`, read from one attach event."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policy_lake.model import Finding
from verifier_vm.judge.console import kernel_warnings, verifier_complaint, why_disabled
from verifier_vm.judge.kernel_words import UNKNOWN, Cause, cause_of_exit
from verifier_vm.judge.oracles import read_exit_record
from verifier_vm.judge.refusal_words import cause_of_refusal


def load_findings(event: Mapping[str, Any]) -> Iterator[Finding]:
    """Why it was not loaded or attached, or what the kernel said meanwhile."""
    log, phase = str(event.get("log", "")), event.get("phase")
    if warnings := kernel_warnings(event["kmsg"]):
        cause = cause_of_exit(warnings[0])
        why = f"the kernel warned while it was loaded: {warnings[0]}"
    elif event["ok"]:
        return
    elif phase == "crash":
        cause = Cause("elf", "Compile it anew: the object is damaged.")
        why = "loading did not end within its limit" if event.get("timed_out") else _crash(event)
    elif phase == "open":
        complaint = verifier_complaint(log).removeprefix("loader: ")
        cause, why = Cause("elf", "It must be an object with one struct sched_ext_ops."), complaint
    elif phase == "load":
        complaint = verifier_complaint(log)
        cause, why = cause_of_refusal(complaint), f"the kernel's BPF verifier: {complaint}"
    else:
        why = why_disabled(event["kmsg"]) or read_exit_record(event).words or verifier_complaint(log)
        cause = cause_of_exit(why)
        if cause == UNKNOWN:
            cause = cause_of_refusal(why)
    yield Finding(cause.bug, "reject", why, _place_in(why) or "load", cause.advice)


def _place_in(complaint: str) -> str:
    """FILE:LINE of "... (at function @ FILE:LINE:COLUMN)"."""
    found = re.search(r"@ (?P<place>[^\s:]+:\d+)", complaint)
    return found["place"] if found else ""


def _crash(event: Mapping[str, Any]) -> str:
    signal = event.get("loader_signal")
    return "the loader crashed on this object" + (f" (signal {signal})" if signal else "")

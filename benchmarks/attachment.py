# SPDX-License-Identifier: Apache-2.0
"""Proof that a measured run was under the policy, or under nothing but the kernel's own scheduler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.output import take
from policy_lake.model import InfraError

# The kernel's enum scx_exit_kind: SCX_EXIT_UNREG, user space took the policy off, as we do after each run; and
# SCX_EXIT_NONE, or the guest's -1, of a policy that keeps no record.
_CLEAN_ENDS = (64, 0, -1)


def lost_attachment(attach: Mapping[str, Any], run: Mapping[str, Any], *, where: str) -> str:
    """Why the policy of event `attach` was not the scheduler all through event `run`; empty if it was.

    Both ends must show it enabled under the name it attached with and the same enable_seq (which the kernel raises at
    every attachment), and so must every sample between. InfraError where the guest shows too little to tell.
    """
    ops = take(attach, "ops", str, where=where)
    enable_seq = take(attach, "enable_seq", int, where=where)
    if not ops:
        raise InfraError(f"{where}: field 'ops' of the attachment is empty: no proof of attachment")
    for end in ("before", "after"):
        state = take(run, f"sched.{end}.state", str, where=where)
        if state != "enabled":
            return f"{end} the run sched_ext was '{state}', not 'enabled'"
        if (seen := take(run, f"sched.{end}.ops", str, where=where)) != ops:
            return f"{end} the run '{seen}' was attached, not '{ops}'"
        if (seq := take(run, f"sched.{end}.enable_seq", int, where=where)) != enable_seq:
            return f"{end} the run enable_seq was {seq}, not {enable_seq}: it was attached anew"
    samples, attached = _samples(run, where)
    if samples == 0:
        raise InfraError(f"{where}: field 'sched.samples' is 0: no proof of attachment during the run")
    return "" if attached == samples else f"attached in only {attached} of {samples} samples during the run"


def check_nothing_attached(run: Mapping[str, Any], *, where: str) -> None:
    """InfraError unless no policy was attached during event `run`: disabled at both ends, and no attachment between.

    The samples need not be asked: whatever was attached between would have raised enable_seq.
    """
    for end in ("before", "after"):
        state = take(run, f"sched.{end}.state", str, where=where)
        if state != "disabled":
            raise InfraError(f"{where}: {end} the run sched_ext was '{state}', not 'disabled': no baseline")
    before, after = (take(run, f"sched.{end}.enable_seq", int, where=where) for end in ("before", "after"))
    if before != after:
        raise InfraError(f"{where}: enable_seq went from {before} to {after}, so a policy was attached: no baseline")


def bad_detach(detach: Mapping[str, Any], *, where: str) -> str:
    """Why the policy of event `detach` did not end by our own hand; empty if it did, or keeps no exit record."""
    if not take(detach, "ok", bool, where=where):
        return "detaching it failed"
    kind, words = exit_record(detach)
    return "" if kind in _CLEAN_ENDS else f"it ended by itself: {words}"


def exit_record(detach: Mapping[str, Any]) -> tuple[int, str]:
    """The kind of the policy's exit, and its record in words; kind -1 where there is no record to be read.

    The guest tells it as tab-separated text, "exit KIND CODE REASON MESSAGE".
    """
    fields = str(detach.get("exit_record", "")).split("\t")
    if len(fields) != 5 or not re.fullmatch(r"-?\d{1,19}", fields[1]):
        return -1, "no exit record"
    return int(fields[1]), f"exit kind {fields[1]}, code {fields[2]}: {' '.join(fields[3:]).strip()}"


def _samples(run: Mapping[str, Any], where: str) -> tuple[int, int]:
    samples, attached = (take(run, f"sched.{name}", int, where=where) for name in ("samples", "attached"))
    if not 0 <= attached <= samples:
        raise InfraError(f"{where}: fields 'sched.attached' and 'sched.samples' make no sense: {attached} of {samples}")
    return samples, attached

# SPDX-License-Identifier: Apache-2.0
"""Proof that a measured run was under the policy, or under nothing but the kernel's own scheduler."""

from __future__ import annotations

from policy_lake.errors import InfraError
from policy_lake.events import Attached, Detached, Ran


def lost_attachment(attach: Attached, run: Ran, *, where: str) -> str:
    """Why the policy that `attach` attached was not the scheduler all through `run`; empty if it was.

    Both ends must show it enabled under the name it attached with and the same enable_seq (which the kernel raises at
    every attachment), and so must every sample between. InfraError where the guest shows too little to tell.
    """
    if not attach.ops:
        raise InfraError(f"{where}: field 'ops' of the attachment is empty: no proof of attachment")
    watch = run.sched
    for end, sched in (("before", watch.before), ("after", watch.after)):
        if sched.state != "enabled":
            return f"{end} the run sched_ext was '{sched.state}', not 'enabled'"
        if sched.ops != attach.ops:
            return f"{end} the run '{sched.ops}' was attached, not '{attach.ops}'"
        if sched.enable_seq != attach.enable_seq:
            return f"{end} the run enable_seq was {sched.enable_seq}, not {attach.enable_seq}: it was attached anew"
    if watch.samples == 0:
        raise InfraError(f"{where}: field 'sched.samples' is 0: no proof of attachment during the run")
    if watch.attached != watch.samples:
        return f"attached in only {watch.attached} of {watch.samples} samples during the run"
    return ""


def check_nothing_attached(run: Ran, *, where: str) -> None:
    """InfraError unless no policy was attached during `run`: disabled at both ends, and no attachment between.

    The samples need not be asked: whatever was attached between would have raised enable_seq.
    """
    before, after = run.sched.before, run.sched.after
    for end, sched in (("before", before), ("after", after)):
        if sched.state != "disabled":
            raise InfraError(f"{where}: {end} the run sched_ext was '{sched.state}', not 'disabled': no baseline")
    if before.enable_seq != after.enable_seq:
        seqs = f"from {before.enable_seq} to {after.enable_seq}"
        raise InfraError(f"{where}: enable_seq went {seqs}, so a policy was attached: no baseline")


def bad_detach(detach: Detached) -> str:
    """Why the policy did not end by our own hand; empty if it did, or keeps no exit record."""
    if not detach.ok:
        return "detaching it failed"
    return "" if detach.exit_record.clean else f"it ended by itself: {detach.exit_record}"

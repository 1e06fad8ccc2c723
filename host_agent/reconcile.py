# SPDX-License-Identifier: Apache-2.0
"""Journal and kernel compared: one of five words for what this host is in, and what is to be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from host_agent.journal import Action
from host_agent.kernel import Scx


class Status(StrEnum):
    """The words that schedctl has for the same."""

    IDLE = "idle"  # nothing is attached, and nothing should be
    RUNNING = "running"  # what should be attached is
    ORPHANED = "orphaned-kernel-state"  # something is attached that is not ours
    DETACHED = "managed-detached"  # ours should be attached, and nothing is
    MISMATCH = "managed-mismatch"  # ours should be attached, and something else is


@dataclass(frozen=True, slots=True)
class Finding:
    """The word, and why in one line."""

    status: Status
    reason: str


def compare(actions: Sequence[Action], scx: Scx, *, paused: bool = False) -> Finding:
    """What the journal's open actions and the kernel's state come to together.

    An attachment that began and was not done counts as ours where the kernel enabled one policy since. `paused`: it
    was taken off for a window and is to come back.
    """
    attach = next((action for action in reversed(actions) if action.kind == "attach"), None)
    there = f"the kernel has {scx.ops or 'a policy'} ({scx.state}, number {scx.enable_seq})"
    if attach is None and not paused:
        if not scx.on:
            return Finding(Status.IDLE, "nothing is attached")
        return Finding(Status.ORPHANED, f"{there}, which was not attached from here")
    if not scx.on:
        return Finding(Status.DETACHED, "paused" if paused else "the journal has a policy, the kernel none")
    if attach is not None and same_policy(attach, scx):
        return Finding(Status.RUNNING, there)
    return Finding(Status.MISMATCH, f"{there}, which is not what was attached from here")


def same_policy(attach: Action, scx: Scx) -> bool:
    """Whether what the kernel has is what this action attached: by name and by the number of its enabling."""
    if not attach.done:  # it ended between effect and record: all that is known is the number from before
        return scx.enable_seq == int(attach.given.get("enable_seq", -2)) + 1
    return (scx.ops, scx.enable_seq) == (attach.came_to.get("ops"), attach.came_to.get("enable_seq"))

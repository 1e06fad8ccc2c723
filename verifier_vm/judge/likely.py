# SPDX-License-Identifier: Apache-2.0
"""The likeliest cause of a stall that no evidence explains: none that the object is proven not to be."""

from __future__ import annotations

from dataclasses import replace

from verifier_vm.judge.kernel_words import (
    BACKWARDS,
    LAST_FIRST,
    LAST_IDLES,
    LOCAL_FIRST,
    LOST,
    NOT_EMPTIED,
    UNKNOWN,
    Cause,
)
from verifier_vm.object.proven import Proven

BY_HEAD = frozenset(
    {"F03", "F13", "F19"}
)  # guesses that an insert at the head, or a look from the end, explains better


def likely(cause: Cause, proven: Proven, *, one_idled: bool) -> Cause:
    """`cause`, or where it is a guess that does not fit what is known the next likely one.

    `one_idled` if a CPU's time was left: that a CPU idles is no guess to be made where none did.
    """
    if cause.basis == "evidence":
        return cause
    fits = cause.bug not in proven.refuted and (cause.bug != LAST_IDLES.bug or one_idled)
    if (proven.at_head or proven.backwards) and (cause.bug in BY_HEAD or not fits):
        return replace(LAST_FIRST, basis="guess")
    others = (LOST, NOT_EMPTIED, BACKWARDS, LOCAL_FIRST)
    next_likely = next((other for other in others if other.bug not in proven.refuted), UNKNOWN)
    return cause if fits else replace(next_likely, basis="guess")

# SPDX-License-Identifier: Apache-2.0
"""Guests in which a time of few bits begins anew while many wait: up for so long that it does so early in the mix.

Where one of the tier's own guests is up for that long anyway, it is the one. What begins anew after longer than a tier
has time for, or at no moment that is known, is not tried; then none of them counts as tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from verifier_vm.judge.chosen import KEPT_S
from verifier_vm.judge.part import Part
from verifier_vm.judge.suite import MIX, SuiteTier
from verifier_vm.object.check_times import Wrap
from verifier_vm.situations import Situation

ATTACHED_S = 1.2  # after the rest (part.py)
STALL_S = 2.4  # longer than one takes to be found
EARLY_S = 0.5  # in the mix: by then all its threads wait or run
MOST = 2  # guests
LONGEST_REST_S = {"short": 6 * 3600, "full": 24 * 3600}  # that no guest is kept for: 2 s and 8 s of the host's


def with_wraps(known: Sequence[Part], wraps: frozenset[Wrap], tier: SuiteTier) -> tuple[Part, ...]:
    """The parts, and further guests; which of them say that they meet it, for all that begin anew are met."""
    at_once = {wrap: [part for part in known if _covers(part, wrap)] for wrap in wraps}
    alone = {wrap: _guest(wrap, tier) for wrap in wraps if not at_once[wrap]}
    reached = [part for part in alone.values() if part is not None]
    if not wraps or len(reached) < len(alone) or len(reached) > MOST:
        return (*known, *reached[:MOST])
    meeting = [part for parts in at_once.values() for part in parts]
    return (*(_meets(part) if part in meeting else part for part in known), *map(_meets, reached))


def _meets(part: Part) -> Part:
    return replace(part, meets=(*part.meets, Situation.WRAPPED))


def _covers(part: Part, wrap: Wrap) -> bool:
    """Whether it begins anew in a part's mix, early enough for a stall to be found."""
    names = [one.name for one in part.exercises]
    if not part.up_s or not wrap.period_s or MIX.name not in names:
        return False
    at = names.index(MIX.name)
    begins_s = part.up_s + ATTACHED_S + sum(one.seconds + one.nap_s for one in part.exercises[:at])
    rounds = max(0, -((wrap.first_s - begins_s) // wrap.period_s))
    return wrap.first_s + rounds * wrap.period_s <= begins_s + part.exercises[at].seconds - STALL_S


def _guest(wrap: Wrap, tier: SuiteTier) -> Part | None:
    if not wrap.period_s:
        return None
    uptime_s = int(wrap.first_s - ATTACHED_S - EARLY_S)
    kept_s = max((kept for kept in KEPT_S if kept <= uptime_s), default=0)
    if uptime_s - kept_s > LONGEST_REST_S[tier]:
        return None
    mix = replace(MIX, seconds=EARLY_S + 1 + MIX.seconds)  # a second, for it is up for whole ones
    return Part(
        f"up until a time of {wrap.bits} bits begins anew", (mix,), uptime_s=kept_s, rested_s=uptime_s - kept_s,
        counts=False, asked_for=True,
    )  # fmt: skip

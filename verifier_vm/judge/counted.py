# SPDX-License-Identifier: Apache-2.0
"""Guests for counts that run out: where the count begins in .data, it begins shortly before that; else it is made to
run as far, by two that yield, as long as a tier has time for. What is out of reach is not tried.
"""

from __future__ import annotations

from itertools import islice

from verifier_vm.judge.part import Exercise, Part, Start
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.object.counts import BYTES, Closing, closings, name_of
from verifier_vm.object.elf import read_sections, section_named
from verifier_vm.object.facts import Facts
from verifier_vm.situations import Situation

MOST = 2  # guests
LEFT = 200  # steps, so that it turns while many wait
YIELDS_PER_S = 16_000  # of W15 in virtual time, 50 us each, and each a dispatch
LONGEST_S = {"short": 6.0, "full": 60.0}  # of yields, each of which costs the host 100 us
STALL_S = 2.4  # longer than one takes to be found


def counted_parts(facts: Facts, tier: SuiteTier) -> tuple[Part, ...]:
    """A guest for each count that closes a queue, where there is a way to bring it there."""
    return tuple(islice((part for one in closings(facts) if (part := _part(facts, one, tier))), MOST))


def _part(facts: Facts, closing: Closing, tier: SuiteTier) -> Part | None:
    turn, count = closing.turn, closing.turn.count
    yields_s = turn.steps / YIELDS_PER_S
    starts: tuple[Start, ...] = ()
    if count.begins_in_data and turn.steps > LEFT:
        _, section, offset = count.place
        value = count.after(turn.steps - LEFT).to_bytes(BYTES[count.bits], "little")
        starts, yields_s = ((str(section), offset, value),), LEFT / YIELDS_PER_S
    if yields_s > LONGEST_S[tier]:
        return None
    name = (
        f"{name_of(facts, count.place, 'a count')}, {LEFT} steps before it turns"
        if starts
        else f"{turn.steps} dispatches"
    )
    exercises = (Exercise("W15-counted", "W15", round(yields_s + STALL_S, 1)), Exercise("W1", "W1", STALL_S))
    return Part(
        name, exercises, counts=False, asked_for=True, starts=starts, meets=(Situation.COUNTED_OUT,),
        deadline_s=240.0 + 10 * yields_s,
    )  # fmt: skip


def begun(data: bytes, starts: tuple[Start, ...]) -> bytes:
    """The object with other values in its data at first; they must lie within it."""
    made = bytearray(data)
    for name, offset, value in starts:
        section = section_named(read_sections(data), name)
        if section is None or offset + len(value) > len(section.data):
            raise ValueError(f"{name}+{offset} lies outside the object's data")
        made[section.offset + offset : section.offset + offset + len(value)] = value
    return bytes(made)

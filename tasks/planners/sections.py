# SPDX-License-Identifier: Apache-2.0
"""A question of bounded length: its sections by priority, each cut where it is too long, with a word that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOTE_BYTES = 60  # of the word that says what was left out
CUT = "[cut: {left} of {all} {unit} are not shown]"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a question: `items` in the order in which they are worth showing, at most `most` bytes of them.

    The first in a list of sections takes of the room first. `unit` is what an item is called where some are cut, and
    `joint` what stands between two.
    """

    name: str
    items: tuple[str, ...]
    most: int
    unit: str = "lines"
    joint: str = "\n"

    def within(self, room: int) -> str:
        """As many of its first items as go into that many bytes, and into its own limit."""
        room = min(room, self.most)
        whole = self.joint.join(self.items)
        if _bytes(whole) <= room:
            return whole
        kept: list[str] = []
        used = NOTE_BYTES
        for item in self.items:
            used += _bytes(item) + _bytes(self.joint)
            if used > room:
                break
            kept.append(item)
        if not kept and self.items and room > 3 * NOTE_BYTES:  # a part of the first says more than nothing
            return middle_out(self.items[0], room - NOTE_BYTES) + self.joint + self._note(1)
        return self.joint.join([*kept, self._note(len(kept))])

    def _note(self, kept: int) -> str:
        return CUT.format(left=len(self.items) - kept, all=len(self.items), unit=self.unit)


def fitted(sections: Sequence[Section], room: int) -> dict[str, str]:
    """Every section's text by its name, in all at most `room` bytes where that has room for a note on each."""
    texts: dict[str, str] = {}
    room = max(0, room - NOTE_BYTES * len(sections))
    for section in sections:
        texts[section.name] = text = section.within(room)
        room = max(0, room - _bytes(text))
    return texts


def middle_out(text: str, most: int) -> str:
    """The text, or its beginning and its end with a word between them that says how much is not shown."""
    data = text.encode(errors="replace")
    if len(data) <= most:
        return text
    half = max(0, most - NOTE_BYTES) // 2
    head, tail = data[:half].decode(errors="ignore"), data[len(data) - half :].decode(errors="ignore")
    return f"{head}\n[cut: {len(data) - 2 * half} of {len(data)} bytes are not shown]\n{tail}"


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))

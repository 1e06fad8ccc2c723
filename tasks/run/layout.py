# SPDX-License-Identifier: Apache-2.0
"""Text for people in lines of at most 100 columns."""

from __future__ import annotations

import re
import textwrap

WIDTH = 100


def wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """The text in lines of at most WIDTH columns, the first one behind `first`, the others behind `rest`.

    A list of values without blanks breaks behind its commas. A longer word (a path, a digest) stays whole: it is there
    to be copied.
    """
    room = WIDTH - max(len(first), len(rest))
    words = " ".join(part for word in text.split() for part in _parts(word, room))
    return textwrap.wrap(
        words, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    ) or [first.rstrip()]  # fmt: skip


def folded(text: str, *, indent: str) -> list[str]:
    """Each line of a log or a listing behind `indent`, cut where it is too wide: its own blanks stay."""
    room = WIDTH - len(indent)
    pieces = (line[at : at + room] for line in text.splitlines() for at in range(0, max(1, len(line)), room))
    return [f"{indent}{piece}".rstrip() for piece in pieces]


def _parts(word: str, room: int) -> list[str]:
    return re.findall(r"[^,]*,?", word)[:-1] if len(word) > room and "," in word else [word]

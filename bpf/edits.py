# SPDX-License-Identifier: Apache-2.0
"""A source changed by exact edits: text that stands there once, and what is to stand there instead."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from policy_lake.errors import InputError

MOST_EDITS = 32
Fault = Literal["none", "many", "empty", "absent", "ambiguous", "same", "overlap"]


@dataclass(frozen=True, slots=True)
class Edit:
    """`find` stands in the source exactly once, blanks and line ends included; `replace` takes its place."""

    find: str
    replace: str


class EditError(InputError):
    """An edit does not fit the source; `code` is why, `number` which one, from 1."""

    def __init__(self, code: Fault, number: int, message: str) -> None:
        super().__init__(f"edit {number}: {message}" if number else message)
        self.code: Fault = code
        self.number = number


def apply_edits(source: str, edits: Sequence[Edit]) -> str:
    """The source with all edits made, or EditError and nothing: an edit that does not fit is never left out.

    Each `find` is looked for in the source as it was, so that the order of edits does not matter.
    """
    if not edits:
        raise EditError("none", 0, "there is no edit")
    if len(edits) > MOST_EDITS:
        raise EditError("many", 0, f"{len(edits)} edits are more than {MOST_EDITS}: write the policy anew")
    spans = sorted((_found(source, edit, number), number) for number, edit in enumerate(edits, 1))
    for ((_, end), first), ((start, _), second) in itertools.pairwise(spans):
        if start < end:
            raise EditError("overlap", max(first, second), f"it changes what edit {min(first, second)} changes, too")
    for (start, end), number in reversed(spans):
        source = source[:start] + edits[number - 1].replace + source[end:]
    return source


def _found(source: str, edit: Edit, number: int) -> tuple[int, int]:
    if not edit.find:
        raise EditError("empty", number, "its anchor is empty")
    if edit.find == edit.replace:
        raise EditError("same", number, "it changes nothing")
    at = source.find(edit.find)
    if at < 0:
        near = _near(source, edit.find)
        hint = f"; line {near} is like its first line, with other blanks" if near else ""
        raise EditError("absent", number, f"its anchor is not in the source{hint}")
    lines = []
    while at >= 0:
        lines.append(source.count("\n", 0, at) + 1)
        at = source.find(edit.find, at + 1)
    if len(lines) > 1:
        places = ", ".join(map(str, lines[:8]))
        raise EditError("ambiguous", number, f"its anchor begins in lines {places}: take more of what stands round it")
    start = source.find(edit.find)
    return start, start + len(edit.find)


def _near(source: str, find: str) -> int:
    """The first line that is the anchor's first one but for blanks; 0 if none is."""
    wanted = next((" ".join(line.split()) for line in find.splitlines() if line.strip()), "")
    for number, line in enumerate(source.splitlines(), 1):
        if wanted and " ".join(line.split()) == wanted:
            return number
    return 0

# SPDX-License-Identifier: Apache-2.0
"""Which outcome of a condition a way of its branch is, by the text of the `if` that stands there.

A compiler may turn a condition round, so its jump does not say. What does is where its two ways lead: into what the
`if` guards, or past it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from policy_lake.coverage import END

MOST_LINES = 40  # of a condition, or of what it guards
_IF = re.compile(r"\bif\s*\(")
_LEAVES = re.compile(r"\{?\s*(return|break|continue|goto)\b")
_NO_CODE = re.compile(r'//.*|/\*.*?\*/|"(?:[^"\\]|\\.)*"')


def outcome(lines: Sequence[str], line: int, to: int, other: int) -> bool | None:
    """Whether the way that leads `to` a line is the one of a condition that holds; None where that is not known.

    `line` is the condition's and `other` where its other way leads; lines count from 1. `lines` is the whole file.
    """
    found = _guarded(lines, line)
    if found is None or to == other:
        return None
    first, last, leaves = found
    inside = [first <= way <= last for way in (to, other)]
    if inside[0] != inside[1]:
        return inside[0]
    after = _next(lines, last + 1)
    if leaves == "return" and END in (to, other):
        return to == END
    if 0 in (to, other):  # what was put in from another file stands for what is guarded
        return to == 0 if (to or other) in (after, END) and not leaves else None
    return to != after if leaves and after in (to, other) else None


def _guarded(lines: Sequence[str], line: int) -> tuple[int, int, str] | None:
    """The first and last line of what the `if` of a condition guards, and the word by which that leaves at once."""
    start = next((at for at in range(line, max(line - MOST_LINES, 0), -1) if _IF.search(_code(lines, at))), None)
    if start is None:
        return None
    opens = [found.end() for found in _IF.finditer(_code(lines, start))]
    closed = _closing(lines, start, opens[-1] - 1, "()")
    if closed is None or closed[0] < line:
        return None
    first, rest = closed[0], _code(lines, closed[0])[closed[1] + 1 :].strip()
    leaves = _LEAVES.match(rest)
    if rest in ("", "{"):
        first = _next(lines, closed[0] + 1)
        leaves = _LEAVES.match(_code(lines, first).strip())
        if rest == "" and _code(lines, first).strip() == "{":
            rest, first = "{", _next(lines, first + 1)
            leaves = _LEAVES.match(_code(lines, first).strip())
    elif first == line:
        return None if leaves is None else (0, line, leaves[1])
    last = _last(lines, closed[0], first, braces=rest.startswith("{"))
    return first, last, leaves[1] if leaves else ""


def _last(lines: Sequence[str], from_line: int, first: int, *, braces: bool) -> int:
    if not braces:
        return next((at for at in range(first, first + MOST_LINES) if ";" in _code(lines, at)), first)
    at = next((at for at in range(from_line, first + 1) if "{" in _code(lines, at)), first)
    closed = _closing(lines, at, _code(lines, at).rfind("{"), "{}")
    return closed[0] if closed else first


def _closing(lines: Sequence[str], line: int, column: int, pair: str) -> tuple[int, int] | None:
    """(line, column) of what closes the bracket that stands there."""
    depth = 0
    for at in range(line, line + MOST_LINES):
        text = _code(lines, at)
        for index in range(column if at == line else 0, len(text)):
            depth += (text[index] == pair[0]) - (text[index] == pair[1])
            if depth == 0 and text[index] == pair[1]:
                return at, index
    return None


def _next(lines: Sequence[str], line: int) -> int:
    """The next line that has more than a closing brace."""
    return next((at for at in range(line, line + MOST_LINES) if _code(lines, at).strip(" \t}")), line)


def _code(lines: Sequence[str], line: int) -> str:
    """A line without comments and strings, which hold brackets as they like."""
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    return _NO_CODE.sub(lambda found: " " * len(found[0]), text)

# SPDX-License-Identifier: Apache-2.0
"""How C is laid out as the files of bpf/library are: tabs of eight, lines of up to 120 columns."""

from __future__ import annotations

from collections.abc import Iterable

COLUMNS = 120
TAB = 8


def width(line: str) -> int:
    """How many columns a line takes."""
    return len(line.expandtabs(TAB))


def indented(lines: Iterable[str]) -> list[str]:
    """Lines of a body, a tab deeper; an empty one stays empty."""
    return [f"\t{line}" if line else "" for line in lines]


def function(head: str, lines: Iterable[str], comment: str = "") -> str:
    """A function's text, with its comment before it."""
    opening = [comment] if comment else []
    return "\n".join([*opening, head, "{", *(wrapped(line) for line in indented(lines)), "}"])


def body(declared: Iterable[str], statements: Iterable[str]) -> list[str]:
    """Declarations and statements, with the empty line between that the kernel's style asks for."""
    first, then = list(declared), list(statements)
    return [*first, "", *then] if first and then else [*first, *then]


def wrapped(line: str) -> str:
    """A line that is too long, broken in as few brackets as can be, aligned with what stands in the same brackets."""
    if width(line) <= COLUMNS:
        return line
    breaks = [
        at
        for at in range(1, len(line))
        if line[:at].endswith((", ", "|| ", "&& ")) and width(line[: at - 1]) <= COLUMNS
    ]
    if not breaks:
        return line
    at = min(breaks, key=lambda at: (len(_open(line[:at])), -at))
    column = width(line[: _open(line[:at])[-1] + 1])
    rest = "\t" * (column // TAB) + " " * (column % TAB) + line[at:]
    return f"{line[: at - 1]}\n{wrapped(rest)}"


def _open(text: str) -> list[int]:
    """Where the brackets stand that are still open at the end of a text; its indentation, where none is."""
    brackets = [len(text) - len(text.lstrip()) - 1]
    for at, one in enumerate(text):
        if one == "(":
            brackets.append(at)
        elif one == ")" and len(brackets) > 1:
            brackets.pop()
    return brackets

# SPDX-License-Identifier: Apache-2.0
"""Which files a source asks for: read off its preprocessor lines, those that no parser takes, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from verifier_vm.source.tree import Found

# Comments and literals in one go, so that neither is taken for the other.
_TOKENS = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t\f\v]*(?:#|%:)[ \t\f\v]*(\w+)([^\n]*)", re.MULTILINE)
_ASKS = re.compile(r"__has_(?:include|include_next|embed)\s*\(\s*[\"<]([^\">\n]*)")
_NAME = re.compile(r"\s*[\"<]([^\">\n]*)[\">]")
_SPLICE = re.compile(r"\\[ \t]*\r?\n")


_MARK = "a file is asked for: "


class Asked(NamedTuple):
    """A directive that asks for a file where it may not: its finding, and where it stands in the text."""

    found: Found
    start: int
    end: int


def check(source: str, taken: Callable[[str], frozenset[int] | None]) -> Iterator[Found]:
    """Names that lead out of the include directories, and files taken in as data, in branches that are compiled.

    `taken` says of a text with such directives marked (`reached`) which marks a preprocessor comes by; None if it
    cannot tell. Nothing is looked up for it: a directive is gone from that text. In a condition (`__has_include`) the
    question itself is the looking, and always rejects.
    """
    splices = [match.end() for match in _SPLICE.finditer(source)]
    lengths = [match.end() - match.start() for match in _SPLICE.finditer(source)]
    text = _TOKENS.sub(_blank, _SPLICE.sub("", source))

    def line(at: int) -> int:
        return _line(source, splices, lengths, at)

    asked = list(_directives(text, line))
    seen: frozenset[int] | None = frozenset()
    if asked:  # a condition that asks for its own line could see that this is not the source
        seen = None if "__LINE__" in text else taken(_marked(text, asked, splices, lengths))
    for number, one in enumerate(asked):
        if seen is None or number in seen:
            yield one.found
    for match in _ASKS.finditer(text):
        if _leads_out(match[1]):
            yield _out(match[1], line(match.start()))


def _marked(text: str, asked: list[Asked], splices: list[int], lengths: list[int]) -> str:
    """The text with an error in place of each directive, and each line at its number in the source."""
    edits = [(one.start, one.end, f'#error "{_MARK}{number}"') for number, one in enumerate(asked)]
    joined = 0
    for end, length in zip(splices, lengths, strict=True):
        joined += length
        newline = text.find("\n", end - joined)
        edits.append((newline, newline, "\n") if newline >= 0 else (len(text), len(text), ""))
    marked, at = "", 0
    for start, end, put in sorted(edits):
        marked, at = f"{marked}{text[at:start]}{put}", max(at, end)
    return marked + text[at:]


def reached(errors: Iterable[str]) -> frozenset[int]:
    """The marks that stand in clang's errors."""
    pattern = re.compile(re.escape(_MARK) + r"(\d+)")
    return frozenset(int(match[1]) for error in errors if (match := pattern.search(error)))


def _directives(text: str, line: Callable[[int], int]) -> Iterator[Asked]:
    for match in _DIRECTIVE.finditer(text):
        what, found = match[1], None
        if what == "embed":
            found = Found("include", "reject", "#embed takes a file in as data", line(match.start(1)), "leave it out")
        elif what in ("include", "include_next", "import"):
            name = _NAME.match(match[2])
            if name and _leads_out(name[1]):
                found = _out(name[1], line(match.start(1)))
        if found:
            yield Asked(found, match.start(), match.end())


def _blank(match: re.Match[str]) -> str:
    """A comment as spaces, a literal as it is: places stay where they are."""
    token = match[0]
    return token if token[0] in "\"'" else re.sub(r"[^\n]", " ", token)


def _line(source: str, splices: list[int], lengths: list[int], at: int) -> int:
    """The line in the source of an offset in the text without its splices."""
    for end, length in zip(splices, lengths, strict=True):
        if at + length < end:
            break
        at += length
    return source.count("\n", 0, at) + 1


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "~")) or ".." in name.replace("\\", "/").split("/")


def _out(name: str, line: int) -> Found:
    reason = f"it asks for '{name[:80]}', outside of the include directories"
    return Found("include", "reject", reason, line, "include headers by their name below an include directory (-I)")

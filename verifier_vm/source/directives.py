# SPDX-License-Identifier: Apache-2.0
"""Which files a source asks for: read off its preprocessor lines, those that no parser takes, too (skipped.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verifier_vm.source.tree import Found

# Comments and literals in one go, so that neither is taken for the other.
_TOKENS = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t\f\v]*(?:#|%:)[ \t\f\v]*(\w+)([^\n]*)", re.MULTILINE)
_ASKS = re.compile(r"__has_(?:include|include_next|embed)\s*\(\s*[\"<]([^\">\n]*)")
_NAME = re.compile(r"\s*[\"<]([^\">\n]*)[\">]")
_SPLICE = re.compile(r"\\[ \t]*\r?\n")


def check(source: str) -> Iterator[Found]:
    """Names that lead out of the include directories, and files taken in as data."""
    splices = [match.end() for match in _SPLICE.finditer(source)]
    lengths = [match.end() - match.start() for match in _SPLICE.finditer(source)]
    text = _TOKENS.sub(_blank, _SPLICE.sub("", source))

    def line(at: int) -> int:
        return _line(source, splices, lengths, at)

    for match in _DIRECTIVE.finditer(text):
        what = match[1]
        if what == "embed":
            yield Found("include", "reject", "#embed takes a file in as data", line(match.start(1)), "leave it out")
        elif what in ("include", "include_next", "import"):
            name = _NAME.match(match[2])
            if name and _leads_out(name[1]):
                yield _out(name[1], line(match.start(1)))
    for asked in _ASKS.finditer(text):
        if _leads_out(asked[1]):
            yield _out(asked[1], line(asked.start()))


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

# SPDX-License-Identifier: Apache-2.0
"""Text from outside made fit to be shown: one function for each surface. A leaf that every package may import.

Names of tasks, files and policies, what a policy or a kernel said, what a model answered: nothing of it may move a
cursor, hide, turn round or break a line, become markup, or pass for a part of the question that a model is asked. What
cannot be shown as it is stands there as an escape, as in Python's own literals: `\\x1b[31m`, `\\n`, `\\u202e`.
"""

from __future__ import annotations

import logging
import re
import unicodedata

from policy_lake.limits import LOG_CHARACTERS, PROMPT_CHARACTERS

# Printable by Unicode's categories, and yet nothing is seen of them, or they change what stands beside them.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | frozenset(
    map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
_MOST_MARKS = 3  # on one letter: more of them grow over the lines above and below
_PLAIN = re.compile(r"[ -~]*")
_MARKDOWN = re.compile(
    r"[\\`*|<~$]"  # code, emphasis, cells, HTML, strike-through, formulas
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore within a word stands for itself
    r"|\](?=[(\[:]|$)"  # the end of a link's text
    r"|&(?=[#\w])"  # entities
    r"|:(?=//)|(?<=www)\.|(?<=\w)@(?=\w)"  # addresses, which become links by themselves
    r"|(?:^|(?<= ))(?:#{1,6}(?= |$)|>|\+(?= |$)|[=-]+(?= |$)|\d{1,9}[.)](?= |$))",  # what opens a block when folded
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKER = re.compile(r"\[\[(?=\s*##)|##(?=\s*\]\])")


def for_terminal(text: object) -> str:
    """The text in one line in which every character is seen; `\\n` for a newline."""
    line = str(text)
    if _PLAIN.fullmatch(line):
        return line
    out, marks = [], 0
    for character in line:
        if unicodedata.combining(character):
            marks += 1
        else:
            marks = 0
        seen = character.isprintable() and character not in _UNSEEN and marks <= _MOST_MARKS
        out.append(character if seen else character.encode("unicode_escape", "surrogatepass").decode())
    return "".join(out)


def lines_for_terminal(text: object) -> str:
    """Several lines, such as a compiler's or a console's: newlines stay, tabs are spaces, the rest is escaped."""
    return "\n".join(for_terminal(line.expandtabs()) for line in str(text).replace("\r\n", "\n").split("\n"))


def for_markdown(text: object) -> str:
    """The text in one line of Markdown, in a paragraph or a cell, where it reads as it is: no markup, HTML or links."""
    return _MARKDOWN.sub(_escaped, " ".join(for_terminal(text).split()))


def code_for_markdown(text: object) -> str:
    """Text of several lines as an indented block of code, in which Markdown knows no markup."""
    return "\n".join(f"    {line}" for line in lines_for_terminal(text).split("\n"))


def for_prompt(text: object, most: int = PROMPT_CHARACTERS) -> str:
    """The text in one line of at most `most` characters; nothing in it looks like the frame of a question."""
    line = for_terminal(shortened(text, most))
    return _MARKER.sub(lambda match: " ".join(match[0]), line)


def block_for_prompt(text: object) -> str:
    """Several lines, such as a source: tabs and line ends stay, nothing in it looks like the frame of a question."""
    lines = ("\t".join(for_terminal(part) for part in line.split("\t")) for line in str(text).split("\n"))
    return _MARKER.sub(lambda match: " ".join(match[0]), "\n".join(lines))


def name_shown(name: str) -> str:
    """A task's name, which may be empty or blank, as something that is seen; not yet escaped."""
    return name if name.strip() else f"'{name}'" if name else "(no name)"


def bytes_printed(text: str) -> str:
    """What was printed by one who has a character, up to U+00FF, for each byte: as text, and `\\xe7` for no UTF-8.

    A guest's init does so, and its programs in their JSON. Text with any other character is of another, and stays.
    """
    try:
        return text.encode("latin-1").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        return text


def is_utf8(text: str) -> bool:
    """Whether the text can be written: arguments and file names of other bytes come to us with halves of surrogates."""
    return not _SURROGATE.search(text)


def shortened(text: object, most: int) -> str:
    """The text, or its first characters and `…`: at most `most` in all."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def logger(name: str) -> logging.Logger:
    """The logger of that name, whose lines can be shown anywhere: they go to terminals and to Prefect's pages."""
    made = logging.getLogger(name)
    if not any(isinstance(known, _Shown) for known in made.filters):
        made.addFilter(_Shown())
    return made


class _Shown(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = " ".join(shortened(record.getMessage(), LOG_CHARACTERS).splitlines())
        record.msg, record.args = for_terminal(text), None
        return True


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    return f"{found[:-1]}\\{found[-1]}" if found[0].isdigit() else f"\\{found}"


def written(value: object) -> str:
    """Any value as text; a number that Python does not write out, for its length, is named."""
    try:
        return str(value)
    except ValueError:
        return "a number of thousands of digits"

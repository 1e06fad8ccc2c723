# SPDX-License-Identifier: Apache-2.0
"""How the command line speaks: results on stdout, progress and complaints on stderr, JSON when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from policy_lake.show import for_terminal, lines_for_terminal, name_shown

if TYPE_CHECKING:
    from rich.console import Console


def print_json(command: str, record: Any) -> None:
    """What `command --json` prints: the record as one JSON object, with the name of its schema first.

    NaN and infinities are an error, since JSON has none. TypeError for a record that is not the command's.
    """
    from control_plane.contract import as_json  # pydantic, 0.3 s that `schedcp --help` must not pay

    sys.stdout.write(json.dumps(as_json(command, record), indent=2, allow_nan=False) + "\n")


def take_any_text() -> None:
    """Let stdout and stderr take every character, as an escape where their encoding has none (LANG=C, file names)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def escape(text: object) -> str:
    """Text from outside as a part of a line for the consoles: one line, and no instruction to rich or a terminal."""
    from rich.markup import escape as literal

    return literal(for_terminal(text))


def column(name: str, width: int) -> str:
    """A task's name escaped and padded to so many columns, as they are seen: escapes and wide letters count."""
    from rich.cells import cell_len
    from rich.markup import escape as literal

    text = for_terminal(name_shown(name))
    return literal(text + " " * (width - cell_len(text)))


def escape_lines(text: object) -> str:
    """The same for text of several lines, which stay lines."""
    from rich.markup import escape as literal

    return literal(lines_for_terminal(text))


def out() -> Console:
    """The console for results."""
    return _console(stderr=False)


def err() -> Console:
    """The console for progress and complaints."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    class Shown(Console):
        """Lets no control character through, whoever forgot to escape one: rich takes out only some of them."""

        def render_str(self, text: str, **options: Any) -> Any:
            return super().render_str(lines_for_terminal(text), **options)

    return Shown(stderr=stderr, highlight=False)


@contextmanager
def working(first: str) -> Iterator[Any]:
    """Show what goes on while something long does: call what this yields with what comes next. A pipe gets plain lines.

    The first is no line there: a complaint about the input should stand alone.
    """
    from control_plane.progress import shown

    with shown(err(), first) as progress:
        last = ""

        def say(text: str) -> None:
            nonlocal last
            if text != last and not progress.live:
                progress.line(text)
            last = text
            progress.now(text)

        yield say

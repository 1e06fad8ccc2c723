# SPDX-License-Identifier: Apache-2.0
"""How the command line speaks: results on stdout, progress and complaints on stderr, JSON when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_json(command: str, record: Any) -> None:
    """What `command --json` prints: the record as one JSON object, with the name of its schema first.

    NaN and infinities are an error, since JSON has none. TypeError for a record that is not the command's.
    """
    from control_plane.contract import as_json  # pydantic, 0.3 s that `schedcp --help` must not pay

    sys.stdout.write(json.dumps(as_json(command, record), indent=2, allow_nan=False) + "\n")


def out() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> Console:
    """The console for progress and complaints."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


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

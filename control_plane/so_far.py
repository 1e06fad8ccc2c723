# SPDX-License-Identifier: Apache-2.0
"""What a verification that is interrupted had come to: what had ended is told, and that there is no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console

from control_plane.ending import ENDINGS
from control_plane.output import escape


@dataclass(slots=True)
class SoFar:
    """Stages and guests that have ended, each with whether it passed, and what goes on now."""

    done: list[tuple[str, bool]] = field(default_factory=list)
    now: str = ""

    def ended(self, name: str, ok: bool) -> None:
        """Keep one that has ended."""
        self.done.append((name, ok))

    def show(self, console: Console) -> None:
        """Print it."""
        for name, ok in self.done:
            console.print(f"  {'[green]ok  [/]' if ok else '[red]FAIL[/]'} {escape(name)}", soft_wrap=True)
        bad = [name for name, ok in self.done if not ok]
        said = (
            f"rejected at {bad[0]}" if bad else "nothing rejects it in what ran" if self.done else "nothing has ended"
        )
        ending = f"not ended: {escape(self.now)}; no verdict, no token"
        console.print(f"interrupted: {escape(said)}; {ending}", soft_wrap=True)


@contextmanager
def told_if_interrupted(so_far: SoFar, console: Console) -> Iterator[None]:
    """Print what it had come to where a signal ends the work within; the end itself goes on."""
    try:
        yield
    except KeyboardInterrupt:
        so_far.show(console)
        raise
    except SystemExit as ending:
        if ending.code in ENDINGS:
            so_far.show(console)
        raise

# SPDX-License-Identifier: Apache-2.0
"""Long work on stderr: lines that stay, and what goes on just now with the time that it has taken.

On a terminal the last line is drawn anew several times a second. Where stderr is a file or a pipe nothing is drawn
anew: after a minute without a line there is one, so that a log stays short, and whoever follows it (or ends what is
silent, as CI systems do after ten minutes) sees that work goes on. A terminal that cannot move its cursor gets one
every ten seconds, as does one that a command of the user's writes to meanwhile.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from policy_lake.doing import is_doing
from policy_lake.show import for_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

QUIET_S, DUMB_QUIET_S = 60.0, 10.0
LOGGERS = ("control_plane", "tasks", "verifier_vm", "policy_lake")


class Shown(logging.Handler):
    """Takes log records and `say`: what is being done is shown as such, other lines stay."""

    def __init__(
        self, console: Console, first: str, *, began: float | None, level: int, label: str = "", alone: bool = True
    ) -> None:
        super().__init__(logging.INFO)
        self.console, self._began, self._least, self._label = console, began, level, label
        self.live = alone and console.is_terminal and not console.is_dumb_terminal
        self._quiet_s = DUMB_QUIET_S if console.is_terminal else QUIET_S
        self._text, self._since, self._said = first, time.monotonic(), time.monotonic()
        self._start, self._over = time.time(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        text = " ".join(record.getMessage().split())
        if is_doing(record):
            self.now(text)
        elif record.levelno >= self._least:
            self.line(text)

    def now(self, text: str) -> None:
        """What goes on from now on."""
        if text != self._text:
            self._text, self._since = text, time.monotonic()

    def line(self, text: str) -> None:
        """A line that stays; wrapped by the terminal, not by us, so that it can be copied."""
        self._said = time.monotonic()
        try:
            self.console.print(for_terminal(self._stamp() + text), markup=False, highlight=False, soft_wrap=True)
        except OSError:  # nobody reads stderr any more, which is no reason to end the work
            self._over.set()

    def drawn(self) -> Text:
        """What a terminal shows below the lines."""
        from rich.text import Text

        return Text(for_terminal(f"{self._time()} {self._text}"), no_wrap=True, overflow="ellipsis", style="dim")

    def beat(self) -> None:
        """Where nothing is drawn: a line when there was none for long. Returns at the end of the work."""
        while not self._over.wait(min(1.0, self._quiet_s)):
            if time.monotonic() - self._said >= self._quiet_s:
                self.line(f"still: {self._text} ({int(time.monotonic() - self._since)} s)")

    def end(self) -> None:
        """No further line."""
        self._over.set()

    def _stamp(self) -> str:
        return "" if self._began is None else f"{self._time()} "

    def _time(self) -> str:
        seconds = int(time.time() - (self._start if self._began is None else self._began))
        return f"[{self._label}{seconds // 60}:{seconds % 60:02d}]"


@contextmanager
def shown(
    console: Console, first: str, *, began: float | None = None, level: int = logging.WARNING, label: str = "",
    alone: bool = True,
) -> Iterator[Shown]:  # fmt: skip
    """Show on the console what goes on while the `with` lasts.

    With `began` (seconds since the epoch) lines bear the time since then, `label` before it. Records of the log from
    `level` on become lines. Where others write to the terminal meanwhile (not `alone`), nothing is drawn anew.
    """
    handler = Shown(console, first, began=began, level=level, label=label, alone=alone)
    with listening(handler), _drawing(handler):
        try:
            yield handler
        finally:
            handler.end()


@contextmanager
def listening(handler: logging.Handler) -> Iterator[None]:
    """Let the handler have what our loggers say, and nobody else, while the `with` lasts."""
    # In a wheel this is `schedcp.control_plane`, and the others lie below `schedcp`, too.
    above = (__package__ or "").removesuffix("control_plane")
    loggers = [logging.getLogger(f"{above}{name}") for name in LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


@contextmanager
def _drawing(handler: Shown) -> Iterator[None]:
    if not handler.live:
        thread = threading.Thread(target=handler.beat, name="progress", daemon=True)
        thread.start()
        yield
        return
    from rich.live import Live

    # What goes to stdout meanwhile is left alone, unless both are this terminal and would be in each other's way.
    settings: dict[str, Any] = {"transient": True, "refresh_per_second": 2, "redirect_stdout": sys.stdout.isatty()}
    with Live(get_renderable=handler.drawn, console=handler.console, **settings):
        yield

# SPDX-License-Identifier: Apache-2.0
"""What long work shows on stderr: on a terminal, on one that cannot move its cursor, and where nobody looks."""

from __future__ import annotations

import io
import logging
import re
import time

import pytest
from hostile import NAMES, unseen
from rich.console import Console

from control_plane import progress
from policy_lake.doing import doing

log = logging.getLogger("tasks.something")


@pytest.fixture
def stderr(monkeypatch):
    """What is shown on a console of the kind that `of` is asked for; minutes of silence are tenths of a second here."""
    written = io.StringIO()

    def of(**kind):
        console = Console(file=written, width=80, **kind)
        monkeypatch.setattr(progress, "QUIET_S", 0.2)
        monkeypatch.setattr(progress, "DUMB_QUIET_S", 0.2)
        return console, written

    return of


def test_a_terminal_shows_what_goes_on_and_the_time_anew_and_keeps_the_lines(stderr):
    console, written = stderr(force_terminal=True)
    with progress.shown(console, "starting", began=time.time() - 61, level=logging.INFO):
        doing("execute: %d of %d left", 2, 3)
        log.info("execute: one\nresult")
        time.sleep(1.3)
    text = written.getvalue()
    assert "[1:01] execute: one result" in text
    drawn = set(re.findall(r"\[1:\d\d\] [^\x1b\r]+", text))
    assert {"[1:01] execute: 2 of 3 left", "[1:02] execute: 2 of 3 left"} <= drawn
    assert text.endswith("\x1b[2K")  # the last line is wiped away


@pytest.mark.parametrize("kind", [{"force_terminal": False}, {"force_terminal": True, "_environ": {"TERM": "dumb"}}])
def test_where_nothing_can_be_drawn_anew_silence_is_broken_by_a_line(stderr, kind):
    console, written = stderr(**kind)
    with progress.shown(console, "starting"):
        doing("measuring: 4 runs done")
        time.sleep(0.9)
    lines = written.getvalue().splitlines()
    assert set(lines) == {"still: measuring: 4 runs done (0 s)"} and 1 <= len(lines) <= 4
    assert "\x1b" not in written.getvalue()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_from_outside_is_shown_and_does_nothing(stderr, name):
    console, written = stderr(force_terminal=False)
    with progress.shown(console, name, level=logging.INFO) as shown:
        assert not unseen(shown.drawn().plain)
        log.info("%s", name)  # by a logger that lets everything through
        shown.line(name)
        shown.now(name)
        assert not unseen(shown.drawn().plain)
    lines = written.getvalue().split("\n")[:-1]
    assert len(lines) == 2 and not any(unseen(line) for line in lines)


def test_no_heartbeat_beside_lines_of_its_own(stderr):
    console, written = stderr(force_terminal=False)
    with progress.shown(console, "starting", began=time.time(), level=logging.INFO):
        for number in range(8):
            log.info("line %d", number)
            time.sleep(0.05)
    assert written.getvalue().splitlines() == [f"[0:00] line {number}" for number in range(8)]


def test_only_warnings_are_lines_where_nobody_asked_for_more(stderr):
    console, written = stderr(force_terminal=False)
    with progress.shown(console, "starting"):
        log.info("a detail")
        log.warning("100 %% of it")
    assert written.getvalue() == "100 %% of it\n"
    log.warning("after it")
    assert "after it" not in written.getvalue()


def test_a_reader_that_is_gone_does_not_end_the_work(stderr, monkeypatch):
    console, _ = stderr(force_terminal=False)
    with progress.shown(console, "starting") as shown:
        monkeypatch.setattr(shown.console, "print", lambda *_, **__: (_ for _ in ()).throw(BrokenPipeError()))
        shown.line("lost")

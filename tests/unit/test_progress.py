# SPDX-License-Identifier: Apache-2.0
"""What long work shows on stderr: on a terminal, on one that cannot move its cursor, and where nobody looks."""

from __future__ import annotations

import io
import logging
import queue
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile import NAMES, unseen
from rich.console import Console

from control_plane import progress
from control_plane import record as recording
from policy_lake.doing import doing
from policy_lake.errors import InputError

log = logging.getLogger("tasks.something")


class Clock:
    """Seconds that pass only where a test lets them: in the place of `time`, and of the event that `beat` waits for."""

    def __init__(self):
        self.passed, self.until = 0.0, 0.0

    def monotonic(self):
        return 500 + self.passed

    def time(self):
        return 1_700_000_000 + self.passed

    def wait(self, seconds):
        over = self.passed + seconds > self.until
        self.passed += 0 if over else seconds
        return over

    def beat(self, shown, seconds):
        """Have it beat for so many seconds from now."""
        self.until, shown._over = self.passed + seconds, self
        shown.beat()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def stderr(clock):
    """What is shown on a console of the kind that `of` is asked for."""
    written = io.StringIO()
    return lambda **kind: (Console(file=written, width=80, **kind), written)


def test_a_terminal_shows_what_goes_on_and_the_time_anew_and_keeps_the_lines(stderr, clock):
    console, written = stderr(force_terminal=True)
    with progress.shown(console, "starting", began=clock.time() - 61, level=logging.INFO) as shown:
        doing("execute: %d of %d left", 2, 3)
        log.info("execute: one\nresult")
        clock.passed += 1.3
        assert shown.drawn().plain == "[1:02] execute: 2 of 3 left"
    text = written.getvalue()
    assert "[1:01] execute: one result" in text
    drawn = set(re.findall(r"\[1:\d\d\] [^\x1b\r]+", text))
    assert "[1:02] execute: 2 of 3 left" in drawn
    assert text.endswith("\x1b[2K")  # the last line is wiped away


LOG, DUMB, SHARED = (
    {"force_terminal": False},
    {"force_terminal": True, "_environ": {"TERM": "dumb"}},
    {"force_terminal": True},
)


@pytest.mark.parametrize(
    ("kind", "alone", "every_s"),
    [(LOG, True, 60), (DUMB, True, 10), (SHARED, False, 10), (LOG, False, 60)],
    ids=["log", "dumb", "beside a command", "a command's log"],
)
def test_where_nothing_can_be_drawn_anew_silence_is_broken_by_a_line(stderr, clock, kind, alone, every_s):
    console, written = stderr(**kind)
    shown = progress.Shown(console, "starting", began=None, level=logging.WARNING, alone=alone)
    shown.now("measuring: 4 runs done")
    clock.beat(shown, every_s - 1)
    assert written.getvalue() == ""
    clock.beat(shown, 2 * every_s)
    lines = written.getvalue().splitlines()
    assert lines == [f"still: measuring: 4 runs done ({seconds} s)" for seconds in (every_s, 2 * every_s)]


@pytest.mark.parametrize(("kind", "alone", "beats"), [(LOG, True, 1), (SHARED, False, 1), (SHARED, True, 0)])
def test_a_heart_beats_where_nothing_is_drawn(stderr, monkeypatch, kind, alone, beats):
    console, _ = stderr(**kind)
    beaten = queue.SimpleQueue()
    monkeypatch.setattr(progress.Shown, "beat", lambda self: beaten.put(self) or None)
    with progress.shown(console, "starting", alone=alone) as shown:
        assert not beats or beaten.get(timeout=5) is shown
    assert beaten.empty()


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


def test_no_heartbeat_beside_lines_of_its_own(stderr, clock):
    console, written = stderr(force_terminal=False)
    shown = progress.Shown(console, "starting", began=clock.time(), level=logging.INFO)
    for number in range(8):
        shown.line(f"line {number}")
        clock.beat(shown, 50)
    assert [line[7:] for line in written.getvalue().splitlines()] == [f"line {number}" for number in range(8)]


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


@pytest.mark.parametrize(("kind", "first"), [(SHARED, ["recording make until it ends"]), (LOG, [])])
def test_while_a_command_is_recorded_silence_is_broken_and_nothing_drawn(stderr, clock, monkeypatch, kind, first):
    console, written = stderr(**kind)
    lines = []

    @contextmanager
    def heard(*args, **more):
        with progress.shown(*args, **more) as shown:
            yield shown
            shown.line(f"still: {shown._text}")
            lines.extend(written.getvalue().splitlines())
            assert not shown.live

    def recorded(command, *, on_phase, **_):
        on_phase(True)
        on_phase(False)
        raise InputError("enough")

    monkeypatch.setattr(recording, "err", lambda: console)
    monkeypatch.setattr(recording, "shown", heard)
    monkeypatch.setattr(recording, "record", recorded)
    with pytest.raises(InputError, match="enough"):
        recording.record_command(
            ["make"], Path("a.parquet"), hashed=False, allow_failure=False, check=False, as_json=False
        )
    assert lines == [*first, "still: recording make until it ends"]

# SPDX-License-Identifier: Apache-2.0
"""What an MCP client is told of other people's texts, whatever they hold; and that lists end where their limit says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.mcp import limits
from control_plane.mcp.data import NAME, PLACE, knobs_of, last_of, named, one_line, place_of, quoted, quoted_source
from control_plane.mcp.job_records import Tuned
from control_plane.mcp.said import of_profile, of_stage, warnings_of
from control_plane.mcp.work import of_run
from policy_lake.model import Finding, Stage
from policy_lake.profile import CommandProfile, WorkloadProfile
from policy_lake.scores import Ratio
from policy_lake.tuned import TunedCandidate, TunedIteration, TuneResult

TEXTS = st.text() | st.text(alphabet="/\x1b\u202e\r\n\t .:_aZ0-+<>'\"")


@given(TEXTS)
def test_no_text_moves_a_cursor_and_no_name_is_more_than_a_word(text: str) -> None:
    for said in (quoted(text, "lake"), quoted_source(text, 1000), last_of(text, "log", 1000)):
        assert all(character.isprintable() or character in "\n\t" for character in said.text)
    assert one_line(text, 100).isprintable() and len(one_line(text, 100)) <= 100
    assert re.fullmatch(NAME, named(text)) and re.fullmatch(PLACE, place_of(text))


@pytest.mark.parametrize("length", [limits.TEXT_CHARACTERS - 1, limits.TEXT_CHARACTERS, limits.TEXT_CHARACTERS + 1])
def test_a_text_is_cut_at_its_limit_and_says_by_how_much(length: int) -> None:
    said = quoted("x" * length, "lake")
    assert (len(said.text) + said.left_out, said.left_out) == (length, max(0, length - limits.TEXT_CHARACTERS))
    end = last_of("a" + "x" * (length - 1), "log", limits.TEXT_CHARACTERS)
    assert end.left_out == said.left_out and end.text.startswith("a") is not bool(end.left_out)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no /tmp/my data/lake", "no <path>/lake"), ("see /usr/include/a.h:7: no", "see <path>:7: no"),
        ("-I/usr/include -isystem /tmp/a", "-I<path> -isystem <path>"), ("file:///etc/passwd", "file://<path>"),
        ("'/var/lib/x'", "'<path>'"), ("arch/x86/lib/x.c:3", "arch/x86/lib/x.c:3"), ("/sys/kernel/x", "/sys/kernel/x"),
        ("kernel/sched/ext.c", "kernel/sched/ext.c"), ("1/2 and 3 / 4", "1/2 and 3 / 4"), ("/usrx", "/usrx"),
    ],
)  # fmt: skip
def test_places_of_this_host_are_hidden_and_others_are_not(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDCP_DATA_DIR", "/tmp/my data")
    assert quoted(text, "log").text == said


def test_a_text_among_knob_values_is_data() -> None:
    assert knobs_of({"slice_ns": 5, "on": True, "names": "a,b"}) == {
        "slice_ns": 5, "on": True, "names": quoted("a,b", "lake"),
    }  # fmt: skip


@pytest.mark.parametrize("more", [0, 1])
def test_lists_end_at_their_limits_and_say_so(more: int) -> None:
    notes = [Finding("F41", "note", f"n{number}") for number in range(limits.FINDINGS - 1 + more)]
    situations = tuple(f"s{number}" for number in range(limits.SITUATIONS + more))
    stage = of_stage(Stage("object", False, 0.1, (*notes, Finding("F01", "reject", "no", situations=situations))))
    assert (len(stage.findings), stage.left_out, stage.findings[0].level) == (limits.FINDINGS, more, "reject")
    assert len(stage.findings[0].situations) == limits.SITUATIONS
    assert len(warnings_of(["w"] * (limits.WARNINGS + more))) == limits.WARNINGS

    commands = [
        CommandProfile(f"c{n}", 1, float(n), *[0.0] * 3, *[0] * 2, *[0.0] * 4) for n in range(limits.COMMANDS + more)
    ]
    profile = of_profile(WorkloadProfile("p", "batch", 2, 1.0, 1.0, 1.0, 1.0, tuple(commands), "g", "t"))
    assert (len(profile.commands), profile.left_out) == (limits.COMMANDS, more)
    assert profile.commands[0].comm.text == commands[-1].comm, "most CPU time first"

    tuned = run_of(limits.CANDIDATES + more)
    assert (len(tuned.tried), tuned.left_out, tuned.tried[0].candidate) == (limits.CANDIDATES, more, "best")


def run_of(count: int) -> Tuned:
    """A run of so many candidates, of which the last is the best."""

    def candidate(id: str, ratio: Ratio | None) -> TunedCandidate:
        return TunedCandidate(id, "fifo", {}, "p", "r", ratio, "win" if ratio else None, None, None, None)

    tried = [candidate(f"c{n}", Ratio(0.9, (0.8, 1.0)) if n else None) for n in range(count - 1)]
    rounds = (TunedIteration(1, (*tried, candidate("best", Ratio(1.5, (1.4, 1.6))))),)
    return of_run(TuneResult("r", "batch", rounds, None, count, 0, 0, {"total": 1.0}, None))

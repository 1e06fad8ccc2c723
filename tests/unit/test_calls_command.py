# SPDX-License-Identifier: Apache-2.0
"""`schedcp calls`: all of them, those of a run, one whole, and what they came to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane import calls as command
from policy_lake.calls import Fate, Message, ModelCall
from policy_lake.embed import embedder
from policy_lake.errors import InputError
from policy_lake.lake import Lake

ONE = ModelCall(
    "call-1", "batch-2026", "batch", 2, 1, "2026-11-28T10:00:00.000+00:00", "tiny", "http://h/v1", "p1", "night-3",
    (Message("system", "be [bold]bold[/]"), Message("user", "two\nlines\x1b[2J")), "the answer", "answered", 100, 20,
    False, None, 1.5, answered_by="a test", fates=(Fate("plan 1 (write)", "write", "refused", "", "static", "lost"),),
)  # fmt: skip
TWO = replace(
    ONE, id="call-2", run_id="wakeup-2026", fates=(), status="failed", reason="HTTP 503", usd=0.25, counted=True
)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    made = Lake(tmp_path / "lake", embedder=embedder("hash"))
    monkeypatch.setattr(command, "open_lake", lambda settings: made)
    monkeypatch.setattr(command, "load_settings", lambda: None)
    return made


def told(capsys: pytest.CaptureFixture[str], which: str = "", **more: Any) -> str:
    command.calls_command(which, **({"as_json": False} | more))
    return " ".join(capsys.readouterr().out.split())


def test_without_calls_it_says_what_makes_some(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no calls yet: set SCHEDCP_MODEL" in told(capsys)
    assert json.loads(told(capsys, as_json=True))["calls"] == []
    with pytest.raises(InputError, match="no call and no run with calls is called 'x'"):
        command.calls_command("x", as_json=False)


def test_all_are_listed_or_those_of_a_run_with_what_they_came_to(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.put(ONE, TWO)
    every = json.loads(told(capsys, as_json=True))
    assert [call["id"] for call in every["calls"]] == ["call-1", "call-2"]
    assert every["use"] == {
        "calls": 2,
        "tokens_in": 200,
        "tokens_out": 40,
        "seconds": 3.0,
        "usd": 0.25,
        "priced": False,
    }
    own = json.loads(told(capsys, "batch", as_json=True))
    assert [call["id"] for call in own["calls"]] == ["call-1"] and own["calls"][0]["messages"][1][
        "content"
    ] == "two\nlines\x1b[2J"
    shown = told(capsys)
    assert "2 calls to a model: 200 tokens in, 40 out, 3.0 s, price unknown: only tokens are capped" in shown
    assert "call-1" in shown and "call-2" in shown and "$0.2500" in told(capsys, "wakeup")


def test_one_is_shown_whole_and_nothing_in_it_is_obeyed(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    lake.put(ONE, TWO)
    shown = told(capsys, "call-1")
    for part in ("tiny at http://h/v1, answered by a test", "prompt p1 night-3", "be [bold]bold[/]",
                 "two lines\\x1b[2J",
                 "the answer", "plan 1 (write): refused : static: lost"):  # fmt: skip
        assert part in shown
    assert "\x1b[2J" not in shown

# SPDX-License-Identifier: Apache-2.0
"""Variables SCHEDCP_… that no setting has."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from control_plane import cli, ending
from control_plane.misnamed import misnamed
from tasks.host.settings import Settings

ROOT = Path(__file__).parents[2]
TYPO = "no such setting, ignored: SCHEDCP_TEIR (is SCHEDCP_TIER meant?)"


def test_every_setting_is_known_in_any_case_and_so_is_what_others_read() -> None:
    assert misnamed({f"SCHEDCP_{name.upper()}": "1" for name in Settings.model_fields}) == ""
    assert misnamed({"schedcp_tier": "smoke", "SchedCP_cpus": "2", "PATH": "/", "MY_SCHEDCP_TEIR": "1"}) == ""
    read = re.compile(r'(?:environ\.get\(|environ\[|getenv\(|MARK = |CHECK_OPTIONS = )"(SCHEDCP_\w+)"')
    places = [path for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts]
    found = {name for path in places for name in read.findall(path.read_text())}
    assert {"SCHEDCP_BENCH_MARK", "SCHEDCP_CHECK_OPTIONS", "SCHEDCP_TEST_MARK", "SCHEDCP_IMAGE_BASE"} <= found
    assert misnamed(dict.fromkeys(found, "1")) == ""


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SCHEDCP_TEIR": "full"}, TYPO),
        ({"SCHEDCP_TEIR": ""}, ""),
        ({"schedcp_datadir": "x"}, "no such setting, ignored: schedcp_datadir (is SCHEDCP_DATA_DIR meant?)"),
        ({"SCHEDCP_QQQQ": "x"}, "no such setting, ignored: SCHEDCP_QQQQ"),
        ({"SCHEDCP_": "x"}, "no such setting, ignored: SCHEDCP_"),
        ({f"SCHEDCP_QQ{n}": "x" for n in range(5)},
         "no such setting, ignored: SCHEDCP_QQ0, SCHEDCP_QQ1, SCHEDCP_QQ2 and 2 more"),
    ],
)  # fmt: skip
def test_any_other_is_told_with_what_it_resembles(environment: dict[str, str], told: str) -> None:
    assert misnamed(environment) == told


def test_a_hostile_name_is_one_short_line() -> None:
    told = misnamed({"SCHEDCP_\x1b[2J\n" + "x" * 100_000: "1"})
    assert told.isprintable() and len(told) < 200


@pytest.mark.parametrize(
    ("words", "said"),
    [(["policies", "--json"], True), (["policies"], True), (["policies", "--help"], False), (["--version"], False)],
)
def test_the_command_line_says_it_once_on_stderr_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: bool
) -> None:
    for name in [name for name in os.environ if name.startswith("SCHEDCP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCHEDCP_TEIR", "full")
    monkeypatch.setattr(sys, "argv", ["schedcp", *words])
    ending.run(cli.app, "schedcp")
    out, err = capsys.readouterr()
    assert err == (f"schedcp: warning: {TYPO}\n" if said else "") and "TEIR" not in out
    if "--json" in words:
        assert json.loads(out)["schema"] == "schedcp/policies/1"

# SPDX-License-Identifier: Apache-2.0
"""`schedcp machines`: listed, shown with their sources, scaled; what is wrong is one line and exit status 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract_cases import contract
from hostile import unseen
from machine_cases import MINE, write
from typer.testing import CliRunner

from benchmarks.machines import machine, machine_files
from control_plane import cli
from policy_lake.errors import InputError


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))


def run(*words: str) -> str:
    done = CliRunner().invoke(cli.app, words, catch_exceptions=False, standalone_mode=False)
    return done.stdout


def test_the_list_has_the_projects_and_this_host() -> None:
    listed = contract(run("machines", "--json"))["machines"]
    assert [one["name"] for one in listed] == [*machine_files(), "host"]
    assert all(f"{name}: " in run("machines") for name in machine_files())


def test_one_is_shown_with_a_source_for_each_number() -> None:
    shown = contract(run("machines", "show", "desktop", "--json"))
    given = {name for name, value in shown["costs"].items() if value is not None}
    assert given | {"topology"} == shown["sources"].keys() and shown["costs"]["smt"] == pytest.approx(0.61, abs=0.001)
    text = run("machines", "show", "desktop")
    assert all(source in text for source in machine("desktop").sources.values())


def test_one_is_shown_as_a_guest_has_it() -> None:
    shown = contract(run("machines", "show", "server", "--cpus", "16", "--json"))
    assert (shown["cpus"], shown["llcs"], shown["said"]) == (16, 2, "16 of 64 CPUs: 2 of 8 LLCs")
    assert "16 of 64 CPUs: 2 of 8 LLCs" in run("machines", "show", "server", "--cpus", "16")


def test_this_host_says_where_its_costs_come_from() -> None:
    assert "none are measured" in contract(run("machines", "show", "host", "--json"))["said"]


def test_a_file_of_ones_own_is_shown_and_cannot_command_a_terminal(tmp_path: Path) -> None:
    evil = MINE.replace('title = "Mine"', 'title = "\\u001b[31m[bold]x\\u202e"').replace(
        '"its label"', '"a\\nb\\u0007"'
    )
    text = run("machines", "show", str(write(tmp_path, evil)))
    assert "[bold]x" in text and not unseen(text, lines=True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "destkop"), "is 'desktop' meant"),
        (("show", "/nowhere/x.toml"), "No such file"),
        (("show", "desktop", "--cpus", "65"), "cpus: 65"),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        run("machines", *words)

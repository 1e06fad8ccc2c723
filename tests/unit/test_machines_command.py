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
from tasks.host.settings import load_settings


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


def test_a_broken_file_of_this_host_hides_no_other_machine(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", "name = 3", "machine.toml")
    done = CliRunner().invoke(cli.app, ["machines"], standalone_mode=False)
    text = " ".join(done.stdout.split())
    assert done.return_value == 2 and all(f"{name}: " in text for name in machine_files())
    assert "host: cannot be told: " in text and "machine.toml: field 'name'" in text
    listed = contract(run("machines", "--json"))
    assert len(listed["machines"]) == len(machine_files()) and "machine.toml" in listed["host_wrong"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("machines", "measure", "-o", "x.toml"), "schedcp machine measure -o FILE"),
        (("machine", "show", "desktop", "--cpus", "4"), "schedcp machines show NAME"),
    ],
)
def test_one_command_typed_for_the_other_names_it(words: tuple[str, ...], meant: str) -> None:
    with pytest.raises(InputError, match=meant):
        run(*words)
    assert words[1] not in run(words[0], "--help").partition("Commands")[2].replace(meant, "")


@pytest.mark.parametrize(
    ("name", "says"),
    [("there.toml", "is there already"), ("host.toml", "name"), ("desktop.toml", "name"), ("My.toml", "name")],
)
def test_a_measurement_overwrites_nothing_and_takes_no_other_s_name(tmp_path: Path, name: str, says: str) -> None:
    there = write(tmp_path, MINE, "there.toml")
    for more in ((), ("--force",)):
        with pytest.raises(InputError, match=says):
            run("machine", "measure", "-o", str(tmp_path / name), *more)
    assert there.read_text() == MINE and not (tmp_path / "host.toml").exists()


def test_a_name_is_never_a_file_and_a_file_never_has_another_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("desktop", "mine"):
        write(tmp_path, MINE, name)
    assert machine("desktop").title.startswith("desktop with") and machine("./mine").name == "mine"
    with pytest.raises(InputError, match=r"no machine 'mine': .*\(\./mine is a path\)"):
        machine("mine")
    for name in ("desktop", "flat", "host"):
        write(tmp_path, MINE.replace('name = "mine"', f'name = "{name}"'))
        with pytest.raises(InputError, match=f"mine.toml: field 'name': '{name}' is the name of another machine"):
            machine("mine.toml", also=("host",))
    assert machine(str(machine_files()["desktop"])).name == "desktop"


def test_a_setting_is_checked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(machine=tmp_path / "a.toml").machine == str(tmp_path / "a.toml")
    with pytest.raises(InputError, match=r"^--machine 'nosuch': no machine 'nosuch': known are"):
        load_settings(machine="nosuch")
    monkeypatch.setenv("SCHEDCP_MACHINE", "destkop")
    with pytest.raises(InputError, match=r"^SCHEDCP_MACHINE='destkop': .*is 'desktop' meant"):
        load_settings()

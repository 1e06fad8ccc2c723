# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/rollout.md are commands and options that there are, its plan is one, and both can be run."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
from page_commands import as_canary, fenced, for_one_host

from control_plane.cli import app
from tasks.rollout.plan_file import read_plan


def commands(script: str) -> list[list[str]]:
    lines = [line.partition("#")[0].partition("|")[0].strip() for line in script.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("schedcp ")]


def test_five_commands_of_ours_and_the_last_is_the_rollout() -> None:
    words = [command[1:3] for command in commands(fenced("sh"))]
    assert [first for first, _ in words] == ["verifierd", "fleet", "host", "verify", "rollout"]


def test_each_is_a_command_with_the_options_that_it_has() -> None:
    for command in commands(fenced("sh")):
        group = typer.main.get_command(app)
        words = command[1:]
        while hasattr(group, "commands"):
            group = group.commands[words.pop(0)]
        known = {name for option in group.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known, command


def test_it_is_a_script_of_bash_and_stays_one_for_one_host() -> None:
    for script in (fenced("sh"), for_one_host(fenced("sh")), as_canary(for_one_host(fenced("sh")), fenced("toml"))[0]):
        subprocess.run(["bash", "-n", "-c", script], check=True)
    one = for_one_host(fenced("sh"))
    assert re.findall(r"--host \S+", one) == ["--host fleet-1"] and "--hosts 1 --cpus 1 " in one


def test_the_plan_of_the_page_is_one_also_as_far_as_a_canary(tmp_path: Path) -> None:
    place = tmp_path / "plan.toml"
    place.write_text(fenced("toml"))
    assert [step.name for step in read_plan(place).steps] == ["shadow", "one", "all"]
    place.write_text(as_canary(for_one_host(fenced("sh")), fenced("toml"))[1])
    assert [(step.name, step.hosts, step.pause) for step in read_plan(place).steps] == [
        ("shadow", "one", False), ("one", "one", False),
    ]  # fmt: skip


def test_a_page_without_such_a_block_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("```\nx\n```\n")
    with pytest.raises(AssertionError, match="0 blocks of sh"):
        fenced("sh", tmp_path / "a.md")

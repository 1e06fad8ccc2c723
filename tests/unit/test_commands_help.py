# SPDX-License-Identifier: Apache-2.0
"""What the commands say of themselves: examples that are commands of ours, summaries that are whole, a version."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from control_plane import cli
from control_plane.commands import EXAMPLES

ROOT = typer.main.get_command(cli.app)


def every_command(group=ROOT, context=None, above=""):
    context = context or group.make_context("schedcp", ["x"], resilient_parsing=True)
    for name in group.list_commands(context):
        command, path = group.get_command(context, name), f"{above} {name}".strip()
        if command.hidden:  # a slip of the pen that is answered with what is meant
            continue
        yield path, command
        if hasattr(command, "list_commands"):
            below = command.make_context(name, [], parent=context, resilient_parsing=True)
            yield from every_command(command, below, path)


def parse(words):
    """The command that the words name, after it has taken all of them."""
    command, context = ROOT, None
    while True:
        context = command.make_context(command.name, list(words), parent=context)
        if not hasattr(command, "resolve_command") or not context._protected_args:
            return context.command_path
        _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


COMMANDS = dict(every_command())


@pytest.mark.parametrize(
    "path", [path for path in COMMANDS if path not in ("audit", "fleet", "host", "lake", "machine", "token")]
)
def test_a_commands_help_ends_with_examples_that_it_takes(path):
    shown = COMMANDS[path].get_help(COMMANDS[path].make_context(path, [], resilient_parsing=True))
    assert shown.rstrip().endswith(EXAMPLES[path][-1]), shown
    for example in EXAMPLES[path]:
        words = [word for word in shlex.split(example) if not re.match(r"[A-Z_]+=", word)]
        assert words[0] == "schedcp"
        parse(words[1:])


def test_no_example_is_of_a_command_that_is_gone():
    assert set(EXAMPLES) <= set(COMMANDS)


@pytest.mark.parametrize("path", ["", "lake", "workloads", "machines", "machine", "token", "fleet"])
@pytest.mark.parametrize("columns", [40, 80])
def test_a_list_of_commands_has_each_summary_whole(path, columns):
    shown = CliRunner().invoke(cli.app, [*path.split(), "--help"], env={"COLUMNS": str(columns)}).output
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.", "", shown)
    for name, command in COMMANDS.items():
        if name.rpartition(" ")[0] == path:
            summary = (command.help or "").split("\n\n")[0].split(". ")[0].rstrip(".")
            assert summary and " ".join(summary.split()) in " ".join(shown.split()), name


def test_the_version_is_that_of_the_package():
    done = CliRunner().invoke(cli.app, ["--version"])
    assert done.exit_code == 0 and re.fullmatch(r"schedcp \d+\.\d+\.\d+\n", done.output)

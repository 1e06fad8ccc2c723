# SPDX-License-Identifier: Apache-2.0
"""Arrows upward that the import check cannot see: a command, `-m` module or entrypoint that a string names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("control_plane", "flows", "tasks", "policy_lake verifier_vm bpf benchmarks")
# The program as a command: alone, by a path, or with arguments behind it.
COMMAND = re.compile(r"(\S*/)?schedcp( .*)?")
# Strings that name the project and start nothing.
NAMES = {
    ("tasks/host/settings.py", "schedcp"),  # the folder below XDG_DATA_HOME
    ("policy_lake/audience.py", "schedcp "),  # hashed into the host's name
    ("tasks/hosts/given.py", "usr/lib/schedcp"),  # where a host has the agent's files
    ("policy_lake/errors.py", "schedcp setup"),  # what a message says to do
    ("tasks/nights/tell.py", "schedcp"),  # the webhook's name in Prefect
    ("tasks/run/scope.py", "schedcp"),  # the package whose version a run has
}


def arrows_upward(source: str, above: tuple[str, ...]) -> Iterator[str]:
    """The strings of a module that start `schedcp` or name a module of a folder above it; docstrings are prose."""
    module = re.compile(rf"({'|'.join(above)})(\.\w+)+") if above else None
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    # Keys of documents that others read, such as the predicate of a token.
    prose |= {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    prose |= {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            text = node.value
            if COMMAND.fullmatch(text) or (module and module.fullmatch(text)):
                yield text


def modules() -> Iterator[tuple[Path, tuple[str, ...]]]:
    for floor, folders in enumerate(FLOORS[1:], 1):
        for folder in folders.split():
            for path in sorted((ROOT / folder).rglob("*.py")):
                yield path, FLOORS[:floor]


def test_nothing_below_the_control_plane_starts_the_command_line_or_a_module_above_itself() -> None:
    arrows = {
        (str(path.relative_to(ROOT)), text)
        for path, above in modules()
        for text in arrows_upward(path.read_text(encoding="utf-8"), above)
    }
    assert arrows - NAMES == set()
    assert arrows >= NAMES, "a name that is no longer there needs no exception"


@pytest.mark.parametrize(
    "line",
    [
        'run(["schedcp", "score"])',
        'SCHEDCP = Path(sys.executable).parent / "schedcp"',
        'run("/usr/bin/schedcp verify x", shell=True)',
        'run([python, "-m", "control_plane.cli"])',
        'entrypoint = "flows.tune.tune"',
    ],
)
def test_each_way_of_starting_it_is_seen(line: str) -> None:
    assert list(arrows_upward(line, ("control_plane", "flows")))


def test_prose_and_keys_are_no_arrows() -> None:
    assert not list(arrows_upward('"""`schedcp score`"""\nx = {"schedcp": 1}["schedcp"]\n', ("control_plane",)))

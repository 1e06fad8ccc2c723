# SPDX-License-Identifier: Apache-2.0
"""Each child gets an environment of its own.

One that is left to read ours may find it moving: a thread that calls setenv(3) at that moment makes exec fail (EFAULT,
"Bad address"), and Ray's start, on a thread, does call it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "bpf", "control_plane", "flows", "policy_lake", "tasks", "verifier_vm")
# What reads the environment where it lies, and cannot be given another.
FORBIDDEN = {"execv", "execl", "execvp", "spawnv", "posix_spawn", "system", "popen", "getoutput"}
ALONE = {"bpf/confine.py"}  # a script of one thread
STARTS = {"Popen", "run", "call", "check_call", "check_output"}


def files() -> list[Path]:
    return [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py")) if "bench" not in path.parts]


def careless(source: str) -> list[int]:
    """The lines that start a child without saying which environment it gets."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        named = {keyword.arg for keyword in node.keywords}
        if owner == "subprocess" and node.func.attr in STARTS and "env" not in named:
            found.append(node.lineno)
        if owner in ("os", "subprocess") and node.func.attr in FORBIDDEN:
            found.append(node.lineno)
    return found


def test_every_child_is_given_an_environment() -> None:
    found = {str(path.relative_to(ROOT)): careless(path.read_text()) for path in files()}
    assert {name: lines for name, lines in found.items() if lines and name not in ALONE} == {}


@pytest.mark.parametrize("call", ["subprocess.run(['x'])", "subprocess.Popen(['x'], cwd='/')", "os.system('x')"])
def test_a_careless_start_is_found(call: str) -> None:
    assert careless(f"import os, subprocess\n{call}\n") == [2]

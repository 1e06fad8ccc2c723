# SPDX-License-Identifier: Apache-2.0
"""Each child gets an environment of its own, and no key of the user's with it.

One that is left to read ours may find it moving: a thread that calls setenv(3) at that moment makes exec fail (EFAULT,
"Bad address"), and Ray's start, on a thread, does call it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from policy_lake.secrets import child_environment, secret_names

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "bpf", "control_plane", "flows", "host_agent", "policy_lake", "tasks", "verifier_vm")
# What reads the environment where it lies, and cannot be given another.
FORBIDDEN = {"execv", "execl", "execvp", "spawnv", "posix_spawn", "system", "popen", "getoutput"}
ALONE = {"bpf/confine.py", "tasks/hosts/repeat.py"}  # scripts of one thread; the latter runs on a host
STARTS = {"Popen", "run", "call", "check_call", "check_output"}
# What gets all of ours: the user's command that `record` runs, and the resident process, which asks for embeddings.
ENTRUSTED = {
    "tasks/traces/command.py": ["dict(os.environ)"],
    "control_plane/resident_client.py": ["_environment(settings)"],
    "control_plane/mcp/jobs.py": ["environment(job.asked)"],  # child_environment's, and for a tune the model's key
    "verifier_vm/tokens/verifying.py": ["environment"],  # child_environment's, less our own settings
}


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


def trusting(source: str) -> list[str]:
    """The environments given to children that may hold a key: neither written out nor child_environment's."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    given = [word.value for call in calls for word in call.keywords if word.arg == "env"]
    return [ast.unparse(value) for value in given if not harmless(value)]


def harmless(value: ast.expr) -> bool:
    if isinstance(value, ast.Dict):
        return all(
            name is not None or (item and harmless(item)) for name, item in zip(value.keys, value.values, strict=True)
        )
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "child_environment"


def test_no_child_is_given_a_key() -> None:
    found = {str(path.relative_to(ROOT)): trusting(path.read_text()) for path in files()}
    assert {name: values for name, values in found.items() if values} == ENTRUSTED


@pytest.mark.parametrize("given", ["os.environ", "dict(os.environ)", "{**os.environ}", "env", "{'A': '1', **own()}"])
def test_a_trusting_start_is_found(given: str) -> None:
    assert len(trusting(f"import os, subprocess\nsubprocess.run(['x'], env={given})\n")) == 1


@pytest.mark.parametrize("given", ["{}", "{'A': '1'}", "child_environment()", "{'A': '1', **child_environment()}"])
def test_one_that_gives_no_key_is_not(given: str) -> None:
    assert trusting(f"import subprocess\nsubprocess.run(['x'], env={given})\n") == []


def test_a_key_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCHEDCP_MODEL_API_KEY", "schedcp_model_api_key", "OPENAI_API_KEY", "ANOTHER_API_KEY"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("API_KEYBOARD", "qwerty")
    child = child_environment(MORE="1")
    assert "sesame" not in child.values() and child["MORE"] == "1" and child["API_KEYBOARD"] == "qwerty"
    assert {"schedcp_model_api_key", "ANOTHER_API_KEY"} <= set(secret_names())


def test_every_child_is_given_an_environment() -> None:
    found = {str(path.relative_to(ROOT)): careless(path.read_text()) for path in files()}
    assert {name: lines for name, lines in found.items() if lines and name not in ALONE} == {}


@pytest.mark.parametrize("call", ["subprocess.run(['x'])", "subprocess.Popen(['x'], cwd='/')", "os.system('x')"])
def test_a_careless_start_is_found(call: str) -> None:
    assert careless(f"import os, subprocess\n{call}\n") == [2]

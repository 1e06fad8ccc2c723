# SPDX-License-Identifier: Apache-2.0
"""The agent's files as a host gets them: `host_agent` and, of our other folders, the modules that it imports.

Found by reading import statements: a module that the agent comes to need is there with the next start of a host, and
nothing is that it does not need.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from policy_lake.errors import InfraError

AGENT, UNIT = "host_agent", "schedcpd.service"
FOLDERS = (AGENT, "policy_lake", "verifier_vm")
ROOT = Path(__file__).parents[2]
# An __init__.py of ours is a docstring; that of the wheel's own package would import the whole library.
EMPTY = b""


def agent_files(root: Path = ROOT) -> dict[str, bytes]:
    """Path below the host's folder of Python files -> content; empty where there is no agent. InfraError."""
    pending = sorted(path.relative_to(root) for path in (root / AGENT).rglob("*.py"))
    files: dict[str, bytes] = {}
    while pending:
        place = pending.pop()
        if str(place) in files:
            continue
        try:
            source = (root / place).read_bytes()
            files[str(place)] = source
            pending += [found for name in _imported(source) if (found := _place(root, name))]
        except (OSError, SyntaxError) as error:
            raise InfraError(f"{place}: cannot be given to a host: {error}") from error
        for parent in place.parents:
            if parent != Path():
                files.setdefault(str(parent / "__init__.py"), EMPTY)
    return files


def _imported(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _place(root: Path, module: str) -> Path | None:
    parts = module.split(".")
    place = Path(*parts).with_suffix(".py")
    return place if parts[0] in FOLDERS and (root / place).is_file() else None

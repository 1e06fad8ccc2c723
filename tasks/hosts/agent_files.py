# SPDX-License-Identifier: Apache-2.0
"""The agent's files as a host gets them: `host_agent` and, of our other folders, the modules that it imports.

Found by reading import statements: a module that the agent comes to need is there with the next start of a host, and
nothing is that it does not need.
"""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.files import atomic_write, beyond, scratch
from policy_lake.secrets import child_environment

AGENT, UNIT = "host_agent", "schedcpd.service"
FOLDERS = (AGENT, "policy_lake", "verifier_vm")
ROOT = Path(__file__).parents[2]
# An __init__.py of ours is a docstring; that of the wheel's own package would import the whole library.
EMPTY = b""
HOLD = "schedcp-hold"
MAKE_S = 120.0
KEPT_BYTES = 64 << 20


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


def hold_program(cache_dir: Path, root: Path = ROOT) -> bytes:
    """The static program that holds a policy's link on a host, by its own Makefile, built once for its sources.

    InfraError in make's words.
    """
    folder = root / AGENT / "hold"
    parts = sorted(
        part for place in (folder, root / "verifier_vm/guest") for part in place.glob("*") if _is_source(part)
    )
    digest = hashlib.sha256(b"".join(hashlib.sha256(part.read_bytes()).digest() for part in parts)).hexdigest()
    path = cache_dir / "programs" / f"{HOLD}-{digest[:32]}"
    if not path.is_file():
        with scratch("program") as work:
            made = Path(work) / HOLD
            command = ["make", "-s", "-C", str(folder), f"OUT={made}"]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=MAKE_S, check=False, env=child_environment()
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise InfraError(f"cannot build {HOLD}: {error}") from error
            if done.returncode or not made.is_file():
                last = (done.stderr.strip() or "make made no such file").splitlines()[-1]
                raise InfraError(f"cannot build {HOLD}: {last[:300]}")
            atomic_write(path, made.read_bytes(), mode=0o755)
        for old in beyond(path.parent.iterdir(), room=KEPT_BYTES):
            old.unlink(missing_ok=True)
    return path.read_bytes()


def _is_source(path: Path) -> bool:
    return path.name == "Makefile" or path.suffix in (".c", ".h")


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

# SPDX-License-Identifier: Apache-2.0
"""What a wheel has of this repository: everything below one package, `schedcp`.

In the repository, `tasks`, `flows` and `bpf` lie at top level. Installed so, they would take these names from whatever
else has a package `tasks`, and could be taken from us by it. So the wheel has them as `schedcp.tasks` and so on, and
the build changes their imports: as pip does with what it vendors, by a rule and not by hand. The face
(control_plane/face/schedcp) is `schedcp` itself in both.

Only import statements are changed, found by their syntax tree. A string that names one of our modules (a `-m` command,
an entrypoint) would be wrong in a wheel without anybody's notice: it fails the build, and is to be made from
`__name__` or `__package__`.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools.command.build_py import build_py

FACE = "schedcp"
FOLDERS = ("benchmarks", "bpf", "control_plane", "flows", "host_agent", "policy_lake", "tasks", "verifier_vm")
SUFFIXES = (".py", ".c", ".h", ".toml", ".parquet", ".sh", ".service", ".html", ".css")
MAKEFILE = "Makefile"  # of schedcp-hold, which is built where it is wanted
# They need the checkout: its tests, its docs, its Makefile.
WITHOUT = (
    "control_plane/bench", "control_plane/face", "control_plane/setup.sh", "control_plane/write_schemas.py",
    "verifier_vm/object/fuzz.py",
)  # fmt: skip
# Read by the program, too, which looks for it beside the module (tasks/authoring/reading.py).
GUIDE, ITS_PLACE = "docs/authoring.md", "tasks/authoring/authoring.md"
_NAMES_MODULE = re.compile(rf"({'|'.join(FOLDERS)})(\.[a-z_]\w*)+")


class WheelError(Exception):
    """A module cannot be moved below `schedcp`; the message names the file and the line."""


def shipped_files(root: Path) -> Iterator[tuple[Path, Path]]:
    """(file, place in the wheel), by name: the face, then all that the folders have of our kinds of files."""
    face = root / "control_plane/face" / FACE
    for path in sorted(face.rglob("*")):
        if path.suffix in SUFFIXES or path.name == "py.typed":
            yield path, Path(FACE) / path.relative_to(face)
    yield root / GUIDE, Path(FACE) / ITS_PLACE
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            place = path.relative_to(root)
            is_ours = path.suffix in SUFFIXES or path.name == MAKEFILE
            if is_ours and not any(place.is_relative_to(without) for without in WITHOUT):
                yield path, Path(FACE) / place


def below_face(source: str, where: str) -> str:
    """A module's text with every import of one of our folders made one below `schedcp`.

    WheelError for `import tasks.x`, which binds the name `tasks`, and for a string that names one of our modules.
    """
    lines = [line.encode() for line in source.splitlines(keepends=True)]  # the tree counts columns in bytes
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_ours(node.module or ""):
            _replace(lines, node, b"from ", f"from {FACE}.".encode())
        elif isinstance(node, ast.Import) and any(_is_ours(alias.name) for alias in node.names):
            (alias, *more) = node.names
            if more or "." in alias.name or alias.asname:
                raise WheelError(f"{where}:{node.lineno}: write `from … import …`")
            _replace(lines, node, b"import ", f"from {FACE} import ".encode())
        elif isinstance(node, ast.Constant) and id(node) not in prose and _names_module(node.value):
            raise WheelError(f"{where}:{node.lineno}: {node.value!r} names a module: make it from __name__")
    return b"".join(lines).decode()


def _names_module(value: object) -> bool:
    return isinstance(value, str) and _NAMES_MODULE.fullmatch(value) is not None


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in FOLDERS


def _replace(lines: list[bytes], node: ast.stmt, begins: bytes, instead: bytes) -> None:
    line, at = lines[node.lineno - 1], node.col_offset
    assert line[at:].startswith(begins)
    lines[node.lineno - 1] = line[:at] + instead + line[at + len(begins) :]


class BuildPy(build_py):  # type: ignore[misc]  # setuptools is not annotated
    """setuptools' step that lays out a wheel; an editable install leaves everything where it lies."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            return
        # setuptools builds in a directory that an earlier build may have left, with what has been removed since.
        shutil.rmtree(Path(self.build_lib) / FACE, ignore_errors=True)
        for path, place in shipped_files(Path.cwd()):
            target = Path(self.build_lib) / place
            target.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            target.write_bytes(below_face(data.decode(), str(path)).encode() if path.suffix == ".py" else data)

    def get_source_files(self) -> list[str]:
        """What a source distribution holds of the packages: every file of theirs that git would have."""
        root = Path.cwd()
        files = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file())
        return [str(path.relative_to(root)) for path in files if "__pycache__" not in path.parts]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """The files of the wheel."""
        if self.editable_mode:
            return list(super().get_outputs(include_bytecode))
        return [str(Path(self.build_lib) / place) for _, place in shipped_files(Path.cwd())]

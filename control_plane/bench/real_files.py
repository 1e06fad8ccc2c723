# SPDX-License-Identifier: Apache-2.0
"""Real programs of this host for a guest: the same files, by the same paths, with the libraries that they load."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.files import atomic_write
from verifier_vm.machine.cpio import tree_entries

_LOADED = re.compile(r"(?:=> )?(/\S+) \(0x")
# A test as projects have them: it imports the framework, and does text, data structures and a sort.
TEST = """
import json, re, unittest
class Test(unittest.TestCase):
    def test_json(self):
        rows = [{"id": i, "name": f"n{i}", "values": [i * 0.5, i % 7]} for i in range(6000)]
        self.assertEqual(json.loads(json.dumps(rows)), rows)
    def test_words(self):
        text = " ".join(f"w{i % 97}x{i}" for i in range(20000))
        self.assertEqual(len(re.findall(r"w(\\d+)x", text)), 20000)
    def test_sort(self):
        values = [(i * 7919) % 10007 for i in range(60000)]
        self.assertEqual(sorted(values), sorted(values, reverse=True)[::-1])
unittest.main(argv=["test"], verbosity=0, exit=__name__ != "tried")
"""
# Run by the interpreter itself: its library as far as the test loads it, compiled, without sources that have times.
_KEEP = """
import os, py_compile, shutil, sys
test, into = sys.argv[1:]
exec(compile(open(test).read(), test, "exec"), {"__name__": "tried"})
lib = os.path.dirname(os.__file__)
for name, module in list(sys.modules.items()):
    path = getattr(module, "__file__", None) or ""
    if not path.startswith(lib):
        continue
    to = os.path.join(into, os.path.relpath(path, os.path.dirname(lib)))
    os.makedirs(os.path.dirname(to), exist_ok=True)
    if path.endswith(".py"):
        py_compile.compile(path, to + "c", invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    else:
        shutil.copy(path, to)
"""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter with as much of its library as the test needs: the words that run the test, and all its files."""

    words: tuple[str, ...]
    files: tuple[Path, ...]


def loaded(listing: str) -> list[Path]:
    """The files that `ldd` lists, the loader among them."""
    return [Path(match[1]) for match in map(_LOADED.search, listing.splitlines()) if match]


def with_libraries(programs: Iterable[Path]) -> list[Path]:
    """The programs and everything that they load; links are followed, so that the paths stay as they are asked for."""
    files = list(programs)
    for program in list(files):
        listing = _said(["ldd", str(program)])
        files += loaded(listing)
    return sorted(set(files))


def tool(name: str) -> Path:
    """A program of gcc's (cc1, as), or one in PATH. InfraError where there is none."""
    said = _said(["gcc", f"-print-prog-name={name}"]).strip()
    found = said if Path(said).is_absolute() else shutil.which(name)
    if not found:
        raise InfraError(f"no {name} here")
    return Path(found)


def python_with_test(folder: Path, interpreter: str = "/usr/bin/python3") -> Python:
    """The system's interpreter, its library below `folder`, and the test. InfraError where it does not run that way."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    test, keep = folder / "test.py", folder / "keep.py"
    test.write_text(TEST)
    keep.write_text(_KEEP)
    binary = Path(interpreter).resolve()
    _said([str(binary), "-I", "-S", "-B", str(keep), str(test), str(folder / "lib")])
    keep.unlink()
    words = (f"PYTHONHOME={folder}", str(binary), "-S", "-B", str(test))
    _said(["env", "-i", *words])
    kept = [path for path in folder.rglob("*") if path.is_file()]
    extensions = [path for path in kept if path.suffix == ".so"]
    return Python(words, (*kept, *with_libraries([binary, *extensions])))


def image_with(image: Path, files: Sequence[Path], cache_dir: Path) -> Path:
    """The guest's image with these files of the host in it, by their own paths."""
    resolved = {str(path): path.resolve() for path in files}
    digest = hashlib.sha256(image.stem.encode())
    for name, path in sorted(resolved.items()):
        digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    path = cache_dir / "images" / f"real-{digest.hexdigest()[:32]}.cpio"
    if not path.is_file():
        atomic_write(path, _parts(image, resolved))
    return path


def _parts(image: Path, files: dict[str, Path]) -> Iterator[bytes]:
    yield image.read_bytes()
    yield from tree_entries(files.items())


def _said(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        raise InfraError(f"{' '.join(command)[:80]}: {str(told).strip().splitlines()[-1:]}") from error


if __name__ == "__main__":
    sys.exit(print("\n".join(map(str, python_with_test(Path(sys.argv[1])).files))))

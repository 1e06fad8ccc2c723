# SPDX-License-Identifier: Apache-2.0
"""What else a guest's file system holds: an archive behind the image's own, which the kernel unpacks over it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.kernel_source import source, source_files
from benchmarks.toolchain import toolchain_files
from policy_lake.errors import InfraError
from policy_lake.files import atomic_write
from policy_lake.show import logger
from verifier_vm.machine.cpio import tree_entries

log = logger(__name__)
Files = Sequence[tuple[str, Path]]


def with_root(image: Path, name: str, cache_dir: Path) -> Path:
    """The image with the files called `name` in it; made once for the same files (by path, size and time of change).

    InfraError, with the command that mends it, when they cannot be had.
    """
    files = ROOTS[name](cache_dir)
    path = cache_dir / "images" / f"{name}-{_digest(image, files)}.cpio"
    if path.is_file():
        return path
    log.info("putting %d files (%s) into a guest's image", len(files), name)
    atomic_write(path, _archive(image, files))
    for old in path.parent.glob(f"{name}-*.cpio"):
        if old != path:  # a guest that has it open keeps it
            old.unlink(missing_ok=True)
    return path


def _archive(image: Path, files: Files) -> Iterator[bytes]:
    try:
        yield image.read_bytes()
        yield from tree_entries(files)
    except OSError as error:
        raise InfraError(f"{error.filename}: {error.strerror}") from error


def _digest(image: Path, files: Files) -> str:
    digest = hashlib.sha256(image.stem.encode())
    for name, path in files:
        try:
            stat = path.lstat()
        except OSError as error:
            raise InfraError(f"{path}: {error.strerror}") from error
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _kernel_source(cache_dir: Path) -> Files:
    tree = source(cache_dir)
    return [*toolchain_files(), *((f"/src/{path}", tree / path) for path in source_files(tree))]


ROOTS: dict[str, Callable[[Path], Files]] = {"kernel-source": _kernel_source}

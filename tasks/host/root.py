# SPDX-License-Identifier: Apache-2.0
"""What else a guest's file system holds: an archive behind the image's own, which the kernel unpacks over it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.kernel_source import source, source_files
from benchmarks.toolchain import toolchain_files
from policy_lake.model import InfraError
from verifier_vm.machine.cpio import tree_entries

log = logging.getLogger(__name__)
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
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out, image.open("rb") as own:
            shutil.copyfileobj(own, out)
            for entry in tree_entries(files):
                out.write(entry)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InfraError(f"{error.filename or path}: {error.strerror}") from error
    for old in path.parent.glob(f"{name}-*.cpio"):
        if old != path:  # a guest that has it open keeps it
            old.unlink(missing_ok=True)
    return path


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

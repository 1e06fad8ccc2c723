# SPDX-License-Identifier: Apache-2.0
"""Files that are no headers whatever their names: to open a FIFO may wait for ever, and a device may never end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

MOST = 20_000  # entries that are looked at below one directory
KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def kind_of(path: Path) -> str:
    """What a file is that is neither a regular file nor a directory; empty for these, and for one that is gone."""
    try:
        return KINDS.get(stat.S_IFMT(path.lstat().st_mode), "")
    except OSError:
        return ""


def special_files(directory: Path) -> list[Path]:
    """The special files below a directory, in the first MOST entries; links are not followed."""
    return [Path(entry.path) for entry in _entries(directory) if _is_special(entry)]


def without(directory: Path, special: list[Path]) -> Iterator[Path]:
    """What to allow to have all that is below a directory but these: itself, or what lies in it.

    No symbolic links: to allow one is to allow what it points to, wherever that lies.
    """
    if not any(path.is_relative_to(directory) for path in special):
        yield directory
        return
    with os.scandir(directory) as entries:
        inner = [Path(entry.path) for entry in entries]
    for path in inner:
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from without(path, special)
        elif path not in special:
            yield path


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    todo, seen = [str(directory)], 0
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MOST:
                        return
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    yield entry
        except OSError:
            continue


def _is_special(entry: os.DirEntry[str]) -> bool:
    known = entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False) or entry.is_symlink()
    return not known

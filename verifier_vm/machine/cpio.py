# SPDX-License-Identifier: Apache-2.0
"""Archives in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

TRAILER = "TRAILER!!!"


def entry(name: str, mode: int, data: bytes) -> bytes:
    """One file, directory or symbolic link (whose target is `data`); the last of an archive is `TRAILER`."""
    encoded = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)


def tree_entries(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """An archive of files of this host by their paths in the guest, sorted, with the directories that they need.

    Symbolic links stay links. Whatever is neither a file nor a link is left out.
    """
    made = {PurePosixPath(".")}
    for name, path in sorted(files):
        inside = PurePosixPath(name.lstrip("/"))
        for parent in reversed(inside.parents):
            if parent not in made:
                made.add(parent)
                yield entry(str(parent), 0o040755, b"")
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield entry(str(inside), 0o120777, str(path.readlink()).encode())
        elif stat.S_ISREG(mode):
            yield entry(str(inside), 0o100000 | stat.S_IMODE(mode) & 0o777, path.read_bytes())
    yield entry(TRAILER, 0, b"")

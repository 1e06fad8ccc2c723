# SPDX-License-Identifier: Apache-2.0
"""The audit log's files: the one that grows, and older ones, each of which the next one's first line follows.

`audit.jsonl`, and `audit.N.jsonl`, N being the number of its first entry. An entry `rotated` begins each new file and
names where the oldest file that is kept begins: what was dropped is dropped by a line of the chain, or it is a hole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from host_agent.chain import ChainError, Fault, Head, Line, head_of, read_chain
from policy_lake.errors import InfraError
from policy_lake.files import fsync_directory

LOG = "audit.jsonl"
SEGMENT_BYTES = 2 << 20  # beyond which a new file is begun
MOST_OLD = 8  # files beside the one that grows
_OLD = re.compile(r"audit\.([0-9]{16})\.jsonl", re.ASCII)


def old_files(directory: Path) -> list[Path]:
    """The older files, in order."""
    return sorted(path for path in directory.glob("audit.*.jsonl") if _OLD.fullmatch(path.name))


def walk(directory: Path) -> Iterator[tuple[Path, list[Line], int]]:
    """Each file's lines and their size, in order; ChainError where one does not follow the one before it."""
    older = old_files(directory)
    head = None if older else Head()
    for path in (*older, directory / LOG):
        lines, size = read_chain(path, head)
        if path.name != LOG and size != path.stat().st_size:
            raise ChainError(f"{path}: its last line is cut off", Fault.EDITED, len(lines) + 1)
        yield path, lines, size
        head = head_of(lines, head or Head())


def check_beginning(start: Head, rotated: dict[str, Any] | None, path: Path) -> None:
    """ChainError unless the log begins where its last `rotated` entry lets it; without one, with its first entry.

    Older files than that are no fault: they were to be dropped when something ended the agent.
    """
    kept = Head()
    if rotated is not None:
        try:
            kept = Head(int(rotated["seq"]), str(rotated["sha256"]))
        except (KeyError, TypeError, ValueError):
            raise ChainError(f"{path}: its entry of a rotation is damaged", Fault.EDITED) from None
    if start.seq > kept.seq:
        words = f"{path}: it begins with entry {start.seq + 1}: those from entry {kept.seq + 1} on were removed"
        raise ChainError(words, Fault.REMOVED, 1)
    if start.seq == kept.seq and start.sha256 != kept.sha256:
        raise ChainError(f"{path}: it does not begin as its own entry of a rotation says", Fault.REPLACED, 1)


def put_aside(directory: Path, first: int, size: int) -> Head:
    """Gives the file that grew its old name, `first` being its first entry; the head before the oldest that is kept.

    InfraError, and all as before, where the disk will not.
    """
    path = directory / LOG
    try:
        os.truncate(path, size)  # what a crash left of a line would be in the middle of the log from now on
        path.rename(directory / f"audit.{first:016}.jsonl")
        fsync_directory(directory)
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error
    oldest, _ = read_chain(old_files(directory)[-MOST_OLD:][0], None)
    return Head(oldest[0].seq - 1, oldest[0].previous)


def drop_old(directory: Path) -> None:
    """Removes the files that are too many, the oldest first."""
    for path in old_files(directory)[:-MOST_OLD]:
        path.unlink(missing_ok=True)

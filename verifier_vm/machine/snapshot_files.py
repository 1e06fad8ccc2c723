# SPDX-License-Identifier: Apache-2.0
"""A snapshot's files: whether they are what was saved, their copies, and which of them are kept."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from policy_lake.files import atomic_write
from policy_lake.show import logger

KEPT_BYTES = 8 << 30  # on disk; one takes some 100 MiB: enough for every workload on a few topologies
STATE, TABLE = "state", "snapshot.json"
FIRST, OTHER = ".first", "other-"  # beside a snapshot: what came out first under its name, and once something else did
CHUNK = 1 << 22
log = logger(__name__)
_checked: dict[Path, list[tuple[int, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Table:
    """What lies beside a snapshot's files: the address of the guest's context switch, its steps' lines, and hashes."""

    switch_address: int
    steps: tuple[str, ...]
    files: dict[str, str]


def read_table(place: Path) -> Table:
    """ValueError and others when it is no table."""
    table = json.loads((place / TABLE).read_text())
    address, steps, files = table["switch_address"], table["steps"], table["files"]
    if not isinstance(address, int) or not isinstance(steps, list) or not isinstance(files, dict) or STATE not in files:
        raise ValueError("its table is no table")
    return Table(address, tuple(map(str, steps)), files)


def trust(place: Path) -> None:
    """Count a snapshot as checked that this process has just hashed and put there."""
    _checked[place] = [_identity(place / name) for name in sorted(read_table(place).files)]


def holds(place: Path) -> bool:
    """Whether the snapshot is there and every byte is what was saved."""
    try:
        files = read_table(place).files
        identities = [_identity(place / name) for name in sorted(files)]
        if _checked.get(place) == identities:
            return True
        for name, digest in files.items():
            if digest_of_data(place / name) != digest:
                log.warning("snapshot %s: %s is damaged; it is taken anew", place.name, name)
                return False
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("snapshot %s: cannot be read (%s); it is taken anew", place.name, error)
        return False
    _checked[place] = identities
    return True


def _identity(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def digest_of_data(path: Path) -> str:
    """Hash of a sparse file: its size, and each stretch of data with its place."""
    digest = hashlib.sha256(str(path.stat().st_size).encode())
    with path.open("rb") as file:
        at = 0
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but holes from here
                return digest.hexdigest()
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            digest.update(f"{at} {end}".encode())
            file.seek(at)
            while at < end:
                part = file.read(min(CHUNK, end - at))
                digest.update(part)
                at += len(part)


def as_at_first(place: Path, files: dict[str, str]) -> bool:
    """Whether the guest's memory is what came out under this name before, also where that was pruned since.

    The first time it is kept. Not the devices' state: QEMU writes the host's counter into it, which no guest sees here.
    """
    memory = {name: digest for name, digest in sorted(files.items()) if name != STATE}
    first = place.with_name(place.name + FIRST)
    try:
        return bool(json.loads(first.read_text()) == memory)
    except FileNotFoundError:
        atomic_write(first, json.dumps(memory).encode())
        return True
    except (OSError, ValueError, RecursionError):  # what came out first is not known: not to be taken for the same
        return False


def copy_data(source: Path, target: Path) -> None:
    """A sparse file's copy that stays sparse."""
    with source.open("rb") as reader, target.open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        writer.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(reader.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but holes from here
                return
            end = os.lseek(reader.fileno(), at, os.SEEK_HOLE)
            while at < end:
                done = os.copy_file_range(reader.fileno(), writer.fileno(), end - at, at, at)
                if not done:
                    raise OSError(errno.EIO, "the file ended while it was copied")
                at += done


def prune(directory: Path, *, keep: Path) -> None:
    """Remove the longest unused beyond KEPT_BYTES; a guest that runs on a removed one keeps what it has mapped."""
    places = {path.parent: path.stat().st_mtime_ns for path in directory.glob(f"*/{TABLE}")}
    room = KEPT_BYTES
    for place in sorted(places, key=lambda path: (path != keep, -places[path])):
        room -= sum(path.stat().st_blocks * 512 for path in place.iterdir())
        if room < 0 and place != keep:
            shutil.rmtree(place, ignore_errors=True)
            (directory / f"{place.name}.lock").unlink(missing_ok=True)

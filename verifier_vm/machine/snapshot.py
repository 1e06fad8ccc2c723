# SPDX-License-Identifier: Apache-2.0
"""Booted guests, kept: one per kernel, image, topology and everything else that a boot depends on.

A snapshot is a directory named after the hash of what it was made from: a RAM file per node, which guests map
privately (so that what they share is in memory once), the devices' state, and a table of hashes. It is checked before
its first use in a process and whenever a file has changed since, and made anew when it does not hold.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from policy_lake.model import InfraError
from verifier_vm.machine.process import GuestProcess, Origin
from verifier_vm.machine.qemu import Machine, Memory, command_line, qemu_version
from verifier_vm.machine.qmp import Qmp
from verifier_vm.machine.wire import PROTOCOL

BOOT_DEADLINE_S = 420.0
SAVE_LIMIT_S = 60.0
KEPT = 8  # some 100 MiB each: enough for a campaign over topologies
STATE, TABLE = "state", "snapshot.json"
CHUNK = 1 << 22
log = logging.getLogger(__name__)
_checked: dict[Path, list[tuple[int, ...]]] = {}


def origin_of(machine: Machine) -> Origin:
    """From where to start `machine`: a snapshot, taken now if there is none that holds; a boot if it keeps none."""
    if machine.snapshots is None:
        return Origin()
    place = machine.snapshots / _key(machine)
    with _locked(machine.snapshots):
        if not _holds(place):
            _take(machine, place)
        os.utime(place / TABLE)
        address, _ = _read_table(place)
    return Origin(Memory(place), place / STATE, address)


def _key(machine: Machine) -> str:
    # Paths and descriptors do not matter, what is in the files does; the clock's object is named after its sources.
    parts = [
        str(PROTOCOL), str(qemu_version()), *command_line(machine, 0, plugin="", memory=Memory())[2:],
        _content_of(machine.kernel), _content_of(machine.initrd),
    ]  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _content_of(path: Path) -> str:
    try:
        return _digest_of(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error


@lru_cache(maxsize=16)
def _digest_of(path: Path, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time: a second that wants the same guest waits for it instead of booting another."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise InfraError(f"{directory}: snapshots cannot be kept there: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _holds(place: Path) -> bool:
    """Whether the snapshot is there and every byte is what was saved."""
    try:
        _, files = _read_table(place)
        seen = [_identity(place / name) for name in sorted(files)]
        if _checked.get(place) == seen:
            return True
        for name, digest in files.items():
            if _digest_of_data(place / name) != digest:
                log.warning("snapshot %s: %s is damaged; it is taken anew", place.name, name)
                return False
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("snapshot %s: cannot be read (%s); it is taken anew", place.name, error)
        return False
    _checked[place] = seen
    return True


def _read_table(place: Path) -> tuple[int, dict[str, str]]:
    """The address of the guest's context switch, and the files' hashes; ValueError and others when it is no table."""
    table = json.loads((place / TABLE).read_text())
    address, files = table["switch_address"], table["files"]
    if not isinstance(address, int) or not isinstance(files, dict) or STATE not in files:
        raise ValueError("its table is no table")
    return address, files


def _identity(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _digest_of_data(path: Path) -> str:
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


def _take(machine: Machine, place: Path) -> None:
    log.info("booting a guest (%s) to start others from", machine.topology)
    for left in place.parent.glob("taking-*"):  # of a process that was killed: who holds the lock takes alone
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="taking-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            origin = Origin(Memory(made, shared=True))
            with GuestProcess(machine, None, origin, qmp=theirs) as guest:
                ready = guest.await_ready(time.monotonic() + BOOT_DEADLINE_S)
                with Qmp(ours, SAVE_LIMIT_S) as qmp:
                    qmp.save(made / STATE)
                    qmp.quit()
                guest.exited(SAVE_LIMIT_S)
        names = sorted(path.name for path in made.iterdir())
        table = {
            "switch_address": ready.switch_address,
            "kernel": ready.kernel,
            "files": {name: _digest_of_data(made / name) for name in names},
        }
        for name in names:
            (made / name).chmod(0o444)
        (made / TABLE).write_text(json.dumps(table))
        shutil.rmtree(place, ignore_errors=True)
        try:
            made.rename(place)
        except OSError as error:
            raise InfraError(f"{place}: the snapshot cannot be kept: {error.strerror}") from error
    _prune(place.parent)


def _prune(directory: Path) -> None:
    """Keep the latest used; a guest that runs on a removed one keeps what it has mapped."""
    places = [path.parent for path in directory.glob(f"*/{TABLE}")]
    for old in sorted(places, key=lambda path: (path / TABLE).stat().st_mtime_ns)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)

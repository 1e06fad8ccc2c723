# SPDX-License-Identifier: Apache-2.0
"""What SchedCP keeps on a host and where, and its removal; what a live process uses stays."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from policy_lake import files
from policy_lake.errors import InfraError
from tasks.host.in_use import LOCK, alone
from tasks.host.settings import Settings

# By name alone: a directory that the user names may hold files of others.
CACHE = ("snapshots", "images", "clock", "probes", "programs", "observations", "timelines", "verdicts", "kvm.json",
         "machine-ranking.json", "kernel-source", "apt-tools", "apt-install.log", "hosts")  # fmt: skip
DATA = (
    "lake", "runs", "tokens", "objects", "evidence", "workloads", "keys", "host", "machine.toml", "fleet", "model-use",
    "prices.toml", "campaigns",
)  # fmt: skip
KERNELS, SETUP_LOCK = "kernels", "setup.lock"
RAY = "ray"
SCRATCH = f"{files.SCRATCH}{RAY}-"  # and the process id of the run that Ray's directory is of
SHARED = "/tmp"  # where it lies if the usual place has too long a name
_OURS = re.compile(rf"{files.SCRATCH}([a-z]+)-([0-9]+)-.+")
# Of versions before 27 November 2026, as tempfile names them: whose they are, only their age can tell.
_NAMELESS = re.compile(rf"{files.SCRATCH}(front|link|image|clock|program|record)-[a-z0-9_]{{8}}")
_OLD_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A path with its size on disk in bytes, and why it stays (empty: it goes)."""

    path: Path
    size: int
    why: str = ""


@dataclass(slots=True)
class Cleaned:
    """What went (or would) and what stayed."""

    removed: list[Kept] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)


def clean(
    settings: Settings, *, everything: bool = False, dry_run: bool = False, stay: Mapping[Path, str] | None = None
) -> Cleaned:
    """Remove what is made again when it is needed; with `everything` also the kernel, and all that was ever found.

    That is the lake, reports, tokens, objects, the user's workloads, and the keys. A dry run only says so. A directory
    that a live process holds stays whole, and so does one with a path of `stay` in it, for the reason that is given
    there. InfraError when something cannot be removed.
    """
    cleaned = Cleaned()
    _clean(settings.cache_dir, list(_cached(settings.cache_dir, everything)), cleaned, dry_run)
    if everything:
        data = [settings.data_dir / name for name in DATA]
        held = {path: why for path in data for inner, why in (stay or {}).items() if inner.is_relative_to(path)}
        cleaned.kept += [Kept(path, size_of(path), why) for path, why in held.items()]
        _clean(settings.data_dir, [path for path in data if path not in held], cleaned, dry_run)
        for path in (settings.lake, settings.key_store):
            if path is not None and path.exists() and settings.data_dir not in path.parents:
                cleaned.kept.append(Kept(path, size_of(path), "its place is one that you chose: remove it yourself"))
    for path in _scratch():
        _remove(path, cleaned, dry_run)
    return cleaned


def _cached(directory: Path, everything: bool) -> Iterator[Path]:
    yield from (directory / name for name in CACHE)
    if everything:
        yield directory / KERNELS
        yield directory / SETUP_LOCK
        return
    current = _current(directory / KERNELS)
    for path in sorted((directory / KERNELS).glob("*")):
        if path.is_dir():  # of the one in use only its precompiled headers; of another all
            yield from sorted(path.glob("pch-*")) if path == current else (path,)


def _current(kernels: Path) -> Path | None:
    """The kernel that set-up fetched: without it there is no guest until the next set-up."""
    try:
        return kernels / Path(json.loads((kernels / "current.json").read_text())["directory"]).name
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clean(directory: Path, paths: list[Path], cleaned: Cleaned, dry_run: bool) -> None:
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if not there:
        return
    try:
        with alone(directory) as holders:
            why = _in_use(holders) if holders is not None else _setting_up(directory / SETUP_LOCK)
            if why:
                cleaned.kept += [Kept(path, size_of(path), why) for path in there]
                return
            for path in there:
                _remove(path, cleaned, dry_run)
            if not dry_run and {path.name for path in directory.iterdir()} <= {LOCK}:
                (directory / LOCK).unlink()
                directory.rmdir()
    except OSError as error:
        raise InfraError(f"{error.filename or directory}: {error.strerror}") from error


def _in_use(holders: list[int]) -> str:
    who = f"process {', '.join(map(str, holders))}" if holders else "a process of another container"
    return f"in use by {who}"


def _setting_up(lock: Path) -> str:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return ""
    except BlockingIOError:
        return "in use by a set-up"
    return ""


def _remove(path: Path, cleaned: Cleaned, dry_run: bool) -> None:
    cleaned.removed.append(Kept(path, size_of(path)))
    if dry_run:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_dead_scratch(kind: str) -> None:
    """Remove what processes that were killed left of one kind of temporary directory, as far as that can be done."""
    for path in _scratch(kind):
        shutil.rmtree(path, ignore_errors=True)


def _scratch(kind: str = "") -> Iterator[Path]:
    """What processes that were killed left, of one kind or all; that of a process that lives is its own."""
    for place in sorted({tempfile.gettempdir(), SHARED}):
        for path in sorted(Path(place).glob(f"{files.SCRATCH}{kind or '*'}-*")):
            with suppress(OSError):
                if path.lstat().st_uid == os.getuid() and _is_left(path):
                    yield path


def _is_left(path: Path) -> bool:
    if ours := _OURS.fullmatch(path.name):
        return not Path("/proc", ours[2]).exists()
    if not _NAMELESS.fullmatch(path.name) or not stat.S_ISDIR(path.lstat().st_mode):
        return False
    changed = max(part.lstat().st_mtime for part in (path, *path.rglob("*")))
    return time.time() - changed >= _OLD_S


def size_of(path: Path) -> int:
    """Bytes on disk, of a directory with all that is in it; links are not followed."""
    total = 0
    for part in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        with suppress(OSError):
            total += part.lstat().st_blocks * 512
    return total

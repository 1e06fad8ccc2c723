# SPDX-License-Identifier: Apache-2.0
"""Control groups in v1, v2 and hybrid mounts: where one is, which processes it holds, what its cpu.stat says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from policy_lake.errors import InfraError, InputError
from policy_lake.files import read_outside
from policy_lake.observed import CgroupLoad

LARGEST = 4 << 20
MOST_FOLDERS = 20_000


@dataclass(frozen=True, slots=True)
class Mount:
    """A hierarchy: `controllers` of v1 (or `name=…`), empty for v2."""

    at: Path
    version: Literal["v1", "v2"]
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One group in every hierarchy that has it."""

    path: str
    places: tuple[tuple[Mount, Path], ...]

    def processes(self) -> set[int]:
        """Ids of the processes in it and below it. A group that ends meanwhile has none.

        Under hybrid mounts the hierarchies may differ; a process counts by the first that has the group.
        """
        found: set[int] = set()
        for folder in _folders(self.places[0][1]):
            with suppress(InputError):
                found |= {int(word) for word in read_outside(folder / "cgroup.procs", LARGEST).split()}
        return found - {0}  # of another PID namespace


def mounts(proc: Path = Path("/proc")) -> tuple[Mount, ...]:
    """Every cgroup hierarchy, v2 first, then v1's of CPU time; InfraError where the host has none."""
    found = []
    for line in read_outside(proc / "self/mounts", LARGEST).decode(errors="replace").splitlines():
        _, at, kind, options, *_ = [*line.split(), "", "", "", ""]
        if kind == "cgroup2":
            found.append(Mount(Path(_plain(at)), "v2", frozenset()))
        elif kind == "cgroup":
            found.append(Mount(Path(_plain(at)), "v1", frozenset(options.split(","))))
    if not found:
        raise InfraError("no control groups are mounted on this host (/proc/self/mounts)")
    return tuple(sorted(found, key=_order))


def find_cgroup(path: str, hierarchies: tuple[Mount, ...]) -> Cgroup:
    """The group of that path, below the mount or with it (`/sys/fs/cgroup/a/b`, `/a/b`, `a/b`); InputError if none."""
    if ".." in Path(path).parts or "\0" in path:
        raise InputError(f"--cgroup {path}: '..' names no control group")
    for mount in sorted(hierarchies, key=lambda mount: -len(str(mount.at))):
        if Path(path).is_relative_to(mount.at):
            path = str(Path(path).relative_to(mount.at))
            break
    relative = path.strip("/").removeprefix(".")
    places = tuple((mount, mount.at / relative) for mount in hierarchies if _is_group(mount.at / relative))
    if not places:
        where = ", ".join(str(mount.at) for mount in hierarchies)
        raise InputError(f"--cgroup {path}: no such control group below {where}")
    return Cgroup("/" + relative, places)


def search_cgroup(wanted: str, hierarchies: tuple[Mount, ...], *, part: bool = False) -> Cgroup | None:
    """The group whose last name is `wanted` (or has it as a `part`), the one nearest to the root; None if none.

    InputError where two of one depth answer to it.
    """
    found: set[str] = set()
    for mount in hierarchies:
        for folder in _folders(mount.at):
            if (wanted in folder.name) if part else folder.name == wanted:
                found.add(str(folder.relative_to(mount.at)))
    if not found:
        return None
    nearest = min(path.count("/") for path in found)
    first, *more = sorted(path for path in found if path.count("/") == nearest)
    if more:
        raise InputError(f"'{wanted}' is two control groups: {first} and {more[0]}: say which with --cgroup")
    return find_cgroup(first, hierarchies)


def cgroup_of(pid: int, hierarchies: tuple[Mount, ...], proc: Path = Path("/proc")) -> Cgroup | None:
    """The group of a process, by the first hierarchy in which it is not at the root."""
    for line in read_outside(proc / str(pid) / "cgroup", LARGEST).decode(errors="replace").splitlines():
        _, _, path = line.split(":", 2)
        if path.strip("/"):
            with suppress(InputError):
                return find_cgroup(path, hierarchies)
    return None


@dataclass(frozen=True, slots=True)
class CpuStat:
    """cpu.stat since the group was made; times in s, `usage_s` None where no controller of CPU time is on."""

    version: Literal["v1", "v2"]
    usage_s: float | None
    periods: int
    throttled: int
    throttled_s: float


def read_cpu_stat(group: Cgroup) -> CpuStat | None:
    """From v2's cpu.stat, else from v1's cpu.stat and cpuacct.usage; None where neither tells. InfraError if odd."""
    usage_s: float | None = None
    quota: dict[str, int] = {}
    seen: Literal["v1", "v2"] | None = None
    for mount, folder in group.places:
        if mount.version == "v2" and (stat := _numbers(folder / "cpu.stat")) and "usage_usec" in stat:
            return CpuStat("v2", stat["usage_usec"] / 1e6, stat.get("nr_periods", 0), stat.get("nr_throttled", 0),
                           stat.get("throttled_usec", 0) / 1e6)  # fmt: skip
        if "cpuacct" in mount.controllers and usage_s is None:
            with suppress(InputError, ValueError):
                usage_s, seen = int(read_outside(folder / "cpuacct.usage", 64)) / 1e9, "v1"
        if "cpu" in mount.controllers and (stat := _numbers(folder / "cpu.stat")):
            quota, seen = stat, "v1"
    if seen is None:
        return None
    return CpuStat(seen, usage_s, quota.get("nr_periods", 0), quota.get("nr_throttled", 0),
                   quota.get("throttled_time", 0) / 1e9)  # fmt: skip


def growth(group: Cgroup, before: CpuStat, after: CpuStat) -> CgroupLoad:
    """What a group used between two looks."""
    usage_s = None if before.usage_s is None or after.usage_s is None else after.usage_s - before.usage_s
    return CgroupLoad(
        group.path, after.version, usage_s, after.periods - before.periods, after.throttled - before.throttled,
        after.throttled_s - before.throttled_s,
    )  # fmt: skip


def _numbers(path: Path) -> dict[str, int]:
    try:
        words = [line.split() for line in read_outside(path, LARGEST).decode(errors="replace").splitlines()]
        return {name: int(value) for name, value, *_ in (pair for pair in words if len(pair) >= 2)}
    except InputError:
        return {}
    except ValueError:
        raise InfraError(f"{path}: a line of it is no name with a number") from None


def _order(mount: Mount) -> tuple[int, str]:
    v1 = ("cpu", "cpuacct", "name=systemd")
    rank = 0 if mount.version == "v2" else next((n for n, c in enumerate(v1, 1) if c in mount.controllers), 9)
    return rank, str(mount.at)


def _is_group(folder: Path) -> bool:
    return (folder / "cgroup.procs").is_file()


def _folders(top: Path) -> Iterator[Path]:
    """The folder and all below it, no link followed; InfraError beyond a limit."""
    for count, (name, _, _) in enumerate(os.walk(top), 1):
        if count > MOST_FOLDERS:
            raise InfraError(f"{top}: has more than {MOST_FOLDERS} control groups")
        yield Path(name)


def _plain(mounted: str) -> str:
    """A path of /proc/self/mounts without its octal escapes."""
    return mounted.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")

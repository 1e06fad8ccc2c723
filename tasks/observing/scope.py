# SPDX-License-Identifier: Apache-2.0
"""What is observed: a process, a control group, a service, a container, a command, or the whole host."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.observed import ScopeKind
from policy_lake.secrets import child_environment
from tasks.observing.cgroups import Cgroup, cgroup_of, find_cgroup, mounts, search_cgroup
from tasks.observing.containers import process_of_container

PROC = Path("/proc")
SYSTEMCTL_S = 5.0
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}")
_ID = re.compile(r"[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class Scope:
    """`roots` with their descendants, all in `cgroup`, or `everyone`; `resolved` says how the name was found."""

    kind: ScopeKind
    name: str
    resolved: str
    roots: tuple[int, ...] = ()
    cgroup: Cgroup | None = None
    everyone: bool = False

    def processes(self) -> set[int]:
        """Ids of the processes that belong to it now."""
        if self.everyone:
            return {int(place.name) for place in PROC.iterdir() if place.name.isdigit()}
        if self.cgroup is not None:
            return self.cgroup.processes()
        return descendants(self.roots)


def of_host() -> Scope:
    return Scope("host", "", "all tasks of this host", everyone=True)


def of_pid(pid: int) -> Scope:
    """A process with its descendants. InputError where there is none."""
    if not (PROC / str(pid) / "stat").exists():
        raise InputError(f"--pid {pid}: no such process")
    return Scope("pid", str(pid), f"process {pid}, with those that it starts", (pid,))


def of_cgroup(path: str) -> Scope:
    found = find_cgroup(path, mounts())
    return Scope("cgroup", path, _where(found), cgroup=found)


def of_service(unit: str) -> Scope:
    """A systemd unit by its control group: systemd's own word, else a group of that name. InputError if none."""
    if not _UNIT.fullmatch(unit):
        raise InputError(f"--service '{unit[:60]}': no name of a unit")
    unit = unit if "." in unit else f"{unit}.service"
    if told := _told_by_systemd(unit):
        found = find_cgroup(told, mounts())
        return Scope("service", unit, f"by systemd: {_where(found)}", cgroup=found)
    by_name = search_cgroup(unit, mounts())
    if by_name is None:
        raise InputError(
            f"--service {unit}: systemd tells of no control group of it, and none has that name: is it started?"
        )
    return Scope("service", unit, f"by its name: {_where(by_name)}", cgroup=by_name)


def of_container(name: str) -> Scope:
    """A container by the Docker engine, else, for an id, by the control group named after it. InputError if neither."""
    pid, silent = process_of_container(name)
    if pid:
        group = cgroup_of(pid, mounts())
        if group is None:  # the engine gave it none of its own
            return Scope("container", name, f"by the Docker engine: process {pid}", (pid,))
        return Scope("container", name, f"by the Docker engine: {_where(group)}", cgroup=group)
    if not _ID.fullmatch(name):
        raise InputError(
            f"--container {name}: {silent}; without the engine give its id, of 12 hexadecimal digits or more"
        )
    by_id = search_cgroup(name, mounts(), part=True)
    if by_id is None:
        raise InputError(f"--container {name}: {silent}, and no control group has that id in its name")
    return Scope("container", name, f"by its id ({silent}): {_where(by_id)}", cgroup=by_id)


def of_command(words: tuple[str, ...], pid: int) -> Scope:
    return Scope("command", " ".join(words), f"process {pid}, with those that it starts", (pid,))


def descendants(roots: tuple[int, ...], proc: Path = PROC) -> set[int]:
    """Processes in `roots` that are there, and all below them (proc(5))."""
    children: dict[int, list[int]] = {}
    there: set[int] = set()
    for place in proc.iterdir():
        if place.name.isdigit():
            with suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
                words = (place / "stat").read_bytes().rpartition(b") ")[2].split()
                children.setdefault(int(words[1]), []).append(int(place.name))
                there.add(int(place.name))
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in there]
    while waiting:
        found.add(pid := waiting.pop())
        waiting += [child for child in children.get(pid, ()) if child not in found]
    return found


def _told_by_systemd(unit: str) -> str:
    """The unit's control group, empty where systemd does not run or does not know of one."""
    systemctl = shutil.which("systemctl")
    if not systemctl or not Path("/run/systemd/system").is_dir():
        return ""
    words = [systemctl, "show", "--property=ControlGroup", "--value", "--", unit]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False, env=child_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"systemctl does not answer: {error}") from None
    return done.stdout.strip() if done.returncode == 0 else ""


def _where(group: Cgroup) -> str:
    kinds = ", ".join(sorted({mount.version for mount, _ in group.places}))
    return f"control group {group.path} ({kinds})"

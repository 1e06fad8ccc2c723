# SPDX-License-Identifier: Apache-2.0
"""Machines by name: those that come with the project, and the one that a file describes."""

from __future__ import annotations

import difflib
from pathlib import Path

from benchmarks.machine_file import read_machine
from policy_lake.errors import InputError
from policy_lake.machine_model import MachineModel
from policy_lake.show import for_terminal, shortened

FOLDER = Path(__file__).parent / "machines"
FLAT, HOST = "flat", "host"  # no machine; the one that we sit at, which tasks/host/machine.py finds


def machine_files() -> dict[str, Path]:
    """The descriptors that come with the project by name, sorted."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"), key=lambda path: path.stem)}


def machine(name: str, *, also: tuple[str, ...] = ()) -> MachineModel:
    """The machine of that name, or the one that the file `name` describes if that is a path (a `/`, or .toml).

    A name of the project's stands for its machine, whatever lies in the current directory: a path needs a `/` or .toml.
    InputError names the names that are near, or all, `also` (what the caller knows besides) among them; or the file
    and the field that is wrong, such as a name that is the project's.
    """
    files = machine_files()
    if name in files:
        return _under_its_name(files[name])
    if name.endswith("/"):
        raise InputError(f"{name}: cannot be read: a directory's name, not a descriptor's")
    if is_path(name):
        return _of_a_user(Path(name), (*files, *also))
    raise InputError(unknown_machine(name, also=also))


def is_path(name: str) -> bool:
    """Whether that is the path of a descriptor, and no name."""
    return "/" in name or name.endswith(".toml")


def unknown_machine(name: str, *, also: tuple[str, ...] = ()) -> str:
    """Why a name stands for no machine, with what is meant; empty for one that does, and for a path."""
    known = [*machine_files(), *also]
    if name in known or is_path(name):
        return ""
    near = difflib.get_close_matches(name[:80].lower(), known, 1)
    meant = f"is '{near[0]}' meant? known are" if near else "known are"
    shown = for_terminal(shortened(name, 80))
    there = f" (./{shown} is a path)" if Path(name[:80]).exists() else ""
    return f"no machine '{shown}': {meant} {', '.join(known)}, or give the path of a .toml file{there}"


def _of_a_user(path: Path, taken: tuple[str, ...]) -> MachineModel:
    found = read_machine(path)
    if found.name in taken and path.resolve() != (FOLDER / f"{found.name}.toml").resolve():
        raise InputError(f"{path}: field 'name': '{found.name}' is the name of another machine: choose another")
    return found


def _under_its_name(path: Path) -> MachineModel:
    found = read_machine(path)
    if found.name != path.stem:
        raise InputError(f"{path}: field 'name': must be '{path.stem}', as the file is called")
    return found

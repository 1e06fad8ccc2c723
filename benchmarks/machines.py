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
FLAT = "flat"


def machine_files() -> dict[str, Path]:
    """The descriptors that come with the project by name, sorted."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"), key=lambda path: path.stem)}


def machine(name: str, *, also: tuple[str, ...] = ()) -> MachineModel:
    """The machine of that name, or the one that the file `name` describes if that is a path (a `/`, or .toml).

    InputError names the names that are near, or all, `also` (what the caller knows besides) among them; or the file
    and the field that is wrong.
    """
    files = machine_files()
    if name in files:
        return _under_its_name(files[name])
    if "/" in name or name.endswith(".toml"):
        return read_machine(Path(name))
    known = [*files, *also]
    near = difflib.get_close_matches(name[:80].lower(), known, 1)
    meant = f"is '{near[0]}' meant? known are" if near else "known are"
    shown = for_terminal(shortened(name, 80))
    raise InputError(f"no machine '{shown}': {meant} {', '.join(known)}, or give the path of a .toml file")


def _under_its_name(path: Path) -> MachineModel:
    found = read_machine(path)
    if found.name != path.stem:
        raise InputError(f"{path}: field 'name': must be '{path.stem}', as the file is called")
    return found

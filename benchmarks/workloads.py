# SPDX-License-Identifier: Apache-2.0
"""Workloads by descriptor: what runs in the guest, what it is measured by, and which way is better."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from policy_lake.model import InputError

Direction = Literal["lower", "higher"]
Accel = Literal["kvm", "tcg"]

_FOLDER = Path(__file__).parent / "workloads"
_ID = re.compile(r"[a-z][a-z0-9-]*")
_PROGRAM = re.compile(r"[\w.-]+")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
# Strict, so that `timeout_s = "30"` or a misspelt field is told to the user and not guessed at.
_PYDANTIC = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, slots=True)
class Guard:
    """A second metric, recorded beside the first: what a win must not be bought with."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    metric: str
    unit: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload: `program` names a static binary in the guest's /bin, `args` its arguments, numbers as `{name}`.

    `work` holds those numbers: table `all`, overridden by the one of the accelerator (`tcg`, `kvm`), so that a run
    takes about as long on either. `metric`, `bound` and the guards' metrics are fields of the JSON object that the
    program prints last; `bound` is the least value of the metric that arithmetic allows, or empty. `timeout_s` ends
    one run; `cpus` is the number of CPUs where none is asked for.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    id: str
    title: str
    goal: str
    program: str
    args: tuple[str, ...]
    metric: str
    unit: str
    direction: Direction
    timeout_s: float
    cpus: int
    bound: str = ""
    work: dict[Literal["all", "tcg", "kvm"], dict[str, int]] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()


def workload_ids() -> tuple[str, ...]:
    """The ids of the workloads that come with the project, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def workload(id: str) -> Workload:
    """The workload called `id`, or the one described by the file `id` if that is a path (has a `/` or ends in `.toml`).

    Raises InputError, naming the known ids, or the file and the field that is wrong.
    """
    if id in workload_ids():
        return read_workload(_FOLDER / f"{id}.toml")
    if "/" in id or id.endswith(".toml"):
        return read_workload(Path(id))
    raise InputError(f"no workload '{id}': known are {', '.join(workload_ids())}, or give the path of a .toml file")


def read_workload(path: Path) -> Workload:
    """The workload that the TOML file at `path` describes; InputError names the file and the field that is wrong."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    described = _validated(path, data)
    for name, wrong in _faults(described, path):
        raise InputError(f"{path}: field '{name}': {wrong}")
    return described


def arguments(workload: Workload, *, seed: int, accel: Accel) -> tuple[str, ...]:
    """The program's arguments for one run, every `{name}` filled in; InputError on a seed that is not of 64 bits."""
    if not 0 <= seed < 2**64:
        raise InputError(f"workload '{workload.id}': a seed must be from 0 to 2^64 - 1, not {seed}")
    numbers = {**workload.work.get("all", {}), **workload.work.get(accel, {}), "seed": seed}
    return tuple(_PLACEHOLDER.sub(lambda match: str(numbers[match[1]]), arg) for arg in workload.args)


def _validated(path: Path, data: dict[str, Any]) -> Workload:
    from pydantic import TypeAdapter, ValidationError  # 0.3 s that `schedcp --help` must not pay

    try:
        # By way of JSON, whose strict mode takes a list for a tuple; a TOML date becomes a string.
        return TypeAdapter(Workload).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: field '{name}': {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _faults(described: Workload, path: Path) -> list[tuple[str, str]]:
    """What is wrong beyond types, as (field, what), worst first."""
    faults = []
    own = path.parent.resolve() == _FOLDER.resolve()
    if not _ID.fullmatch(described.id):
        faults.append(("id", f"'{described.id}' is not of lowercase letters, digits and dashes"))
    if own and described.id != path.stem:
        faults.append(("id", f"'{described.id}' in a file named {path.name}"))
    if not own and described.id in workload_ids():
        faults.append(("id", f"'{described.id}' is a workload that comes with the project: choose another"))
    if not _PROGRAM.fullmatch(described.program):
        faults.append(("program", f"'{described.program}' is not the name of a program in the guest's /bin"))
    for name in ("title", "goal", "metric", "unit"):
        if not getattr(described, name).strip():
            faults.append((name, "is empty"))
    for name, low in (("timeout_s", 0.1), ("cpus", 1)):
        if getattr(described, name) < low:
            faults.append((name, f"must be at least {low}, not {getattr(described, name)}"))
    if described.bound and described.direction == "higher":
        faults.append(("bound", "is the least value of a metric of which lower is better, and here higher is"))
    for table, numbers in described.work.items():
        faults += [(f"work.{table}.{name}", "must not be negative") for name, number in numbers.items() if number < 0]
    for accel in ("tcg", "kvm"):
        known = {"seed", *described.work.get("all", {}), *described.work.get(accel, {})}
        wanted = [name for arg in described.args for name in _PLACEHOLDER.findall(arg) if name not in known]
        faults += [("args", f"'{{{name}}}' is in neither work.all nor work.{accel}") for name in wanted]
    return faults

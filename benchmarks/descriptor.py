# SPDX-License-Identifier: Apache-2.0
"""A workload's descriptor: the record, and the reading of the .toml file that describes one."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from policy_lake.errors import InputError

Direction = Literal["lower", "higher"]
Accel = Literal["kvm", "tcg"]
WorkloadSize = Literal["smoke", "standard", "full"]
Family = Literal["batch", "schbench", "kernel-build", "wakeup", "own"]
WORKLOAD_SIZES: tuple[WorkloadSize, ...] = get_args(WorkloadSize)
ACCELS: tuple[Accel, ...] = get_args(Accel)
REPLAY = "replay"
ROOTS = ("kernel-source",)

PLACEHOLDER = re.compile(r"\{(\w*)\}")
_ID = re.compile(r"[a-z][a-z0-9-]*")
_PROGRAM = re.compile(r"[\w.-]+")
_OURS = ("file", "tier", "binary", "asked")
# Strict, so that `timeout_s = "30"` or a misspelt field is reported to the user and not guessed at.
_PYDANTIC = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard rail: a second metric, which under the policy may be worse by at most the factor `limit`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    metric: str
    unit: str
    direction: Direction
    limit: float = 1.10


@dataclass(frozen=True, slots=True)
class Binary:
    """A program of the user's, on this host, that runs in place of the workload's own."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Instead:
    """What one tier has in place of the descriptor's own fields of these names."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    title: str | None = None
    program: str | None = None
    args: tuple[str, ...] | None = None
    guards: tuple[Guard, ...] | None = None
    trace: Literal[""] | None = None
    root: str | None = None
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload: `program` names a static binary in the guest's /bin, `args` its arguments, numbers as `{name}`.

    `work` holds those numbers: table `all`, overridden by the accelerator's (`tcg`, `kvm`), so that a run takes about
    as long on either, and that by the tier's. `runs_s` says about how long one run of each tier takes, in seconds of
    the guest, and so which tiers there are (none given: all, of one size). `metric`, `bound` and the guards' metrics
    are fields of the JSON object that the program prints last; `bound` is the least value of the metric that
    arithmetic allows, or empty. `timeout_s` ends one run of tier standard, and of a longer tier in proportion; `cpus`
    is the number of CPUs where none is asked for. `trace` is the file that program `replay` replays, `{trace}` among
    its arguments. `root` names what else the guest's file system holds (`kernel-source`: Linux's source, a toolchain),
    `memory_mib` the least memory with which it bears that. A tier may have fields of its own under `instead`.

    The last four are no fields of the file: which file it was, the tier that is to be run, the user's own binary, and
    numbers that the user asked for in place of the tier's.
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
    family: Family = "own"
    runs_s: dict[WorkloadSize, float] = field(default_factory=dict)
    work: dict[Literal["all", "tcg", "kvm", "smoke", "standard", "full"], dict[str, int]] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    trace: str = ""
    root: str = ""
    memory_mib: int = 0
    instead: dict[WorkloadSize, Instead] = field(default_factory=dict)
    file: str = ""
    tier: WorkloadSize = "standard"
    binary: Binary | None = None
    asked: dict[str, int] = field(default_factory=dict)


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
    for name in _OURS:
        if name in data:
            raise InputError(f"{path}: field '{name}': there is no such field in a descriptor")
    described = _validated(path, data)
    for name, wrong in _faults(described):
        raise InputError(f"{path}: field '{name}': {wrong}")
    for tier in described.instead:
        for name, wrong in _faults(as_in(described, tier)):
            raise InputError(f"{path}: field 'instead.{tier}.{name}': {wrong}")
    if described.trace:
        described = replace(described, trace=_trace_path(path, described.trace))
    return replace(described, file=str(path))


def as_in(described: Workload, tier: WorkloadSize) -> Workload:
    """The workload with the fields that this tier has instead of its own."""
    own = described.instead.get(tier, Instead())
    given = {part.name: getattr(own, part.name) for part in fields(own) if getattr(own, part.name) is not None}
    return replace(described, tier=tier, **given)


def numbers_of(described: Workload, accel: Accel, tier: WorkloadSize) -> Mapping[str, int]:
    """The numbers for the placeholders of `args`: later tables override earlier ones."""
    work = described.work
    return {**work.get("all", {}), **work.get(accel, {}), **work.get(tier, {}), **described.asked}


def sizes_of(described: Workload) -> tuple[WorkloadSize, ...]:
    """The tiers that the workload has, shortest first."""
    return tuple(tier for tier in WORKLOAD_SIZES if tier in described.runs_s) or WORKLOAD_SIZES


def _validated(path: Path, data: dict[str, Any]) -> Workload:
    from pydantic import TypeAdapter, ValidationError  # 0.3 s that `schedcp --help` must not pay

    try:
        # By way of JSON, whose strict mode takes a list for a tuple; a TOML date becomes a string.
        return TypeAdapter(Workload).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: field '{name}': {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _trace_path(path: Path, trace: str) -> str:
    trace_file = (path.parent / trace).absolute()
    if not trace_file.is_file():
        raise InputError(f"{path}: field 'trace': {trace_file} is not a file")
    return str(trace_file)


def _faults(described: Workload) -> Iterator[tuple[str, str]]:
    """What is wrong beyond types, as (field, what), worst first."""
    if not _ID.fullmatch(described.id):
        yield "id", f"'{described.id}' is not of lowercase letters, digits and dashes"
    if not _PROGRAM.fullmatch(described.program):
        yield "program", f"'{described.program}' is not the name of a program in the guest's /bin"
    for name in ("title", "goal", "metric", "unit"):
        if not getattr(described, name).strip():
            yield name, "is empty"
    for name, low in (("timeout_s", 0.1), ("cpus", 1)):
        if getattr(described, name) < low:
            yield name, f"must be at least {low}, not {getattr(described, name)}"
    if described.bound and described.direction == "higher":
        yield "bound", "is the least value of a metric of which lower is better, and here higher is"
    yield from _tier_faults(described)
    yield from _guard_faults(described)
    if described.root not in ("", *ROOTS):
        yield "root", f"'{described.root}' is not one of {', '.join(ROOTS)}"
    if described.memory_mib < 0:
        yield "memory_mib", "must not be negative"
    if bool(described.trace) != (described.program == REPLAY):
        yield "trace", f"goes with program '{REPLAY}', and only with that"
    for table, numbers in described.work.items():
        yield from ((f"work.{table}.{name}", "must not be negative") for name, number in numbers.items() if number < 0)
    yield from _placeholder_faults(described)


def _tier_faults(described: Workload) -> Iterator[tuple[str, str]]:
    if described.runs_s and "standard" not in described.runs_s:
        yield "runs_s", "does not say how long a run of tier 'standard' takes"
    for tier, seconds in described.runs_s.items():
        if seconds <= 0:
            yield f"runs_s.{tier}", f"must be above 0, not {seconds}"
    if described.runs_s.get("standard", 0.0) > described.timeout_s:
        yield "timeout_s", f"a run of tier 'standard' takes longer, {described.runs_s['standard']} s by field 'runs_s'"


def _guard_faults(described: Workload) -> Iterator[tuple[str, str]]:
    measured = {described.metric}
    for index, guard in enumerate(described.guards):
        for name in ("metric", "unit"):
            if not getattr(guard, name).strip():
                yield f"guards.{index}.{name}", "is empty"
        if guard.metric in measured:
            yield f"guards.{index}.metric", f"'{guard.metric}' is measured already"
        if guard.limit < 1:
            yield f"guards.{index}.limit", f"is a factor of at least 1, not {guard.limit}"
        measured.add(guard.metric)


def _placeholder_faults(described: Workload) -> Iterator[tuple[str, str]]:
    for sized in (as_in(described, tier) for tier in sizes_of(described)):
        known = {"seed", *(["trace"] if sized.trace else [])}
        for name in (name for arg in sized.args for name in PLACEHOLDER.findall(arg)):
            missing = [accel for accel in ACCELS if name not in known | set(numbers_of(sized, accel, sized.tier))]
            if missing:
                where = " and ".join(f"work.{accel}" for accel in missing)
                yield (
                    "args",
                    (
                        f"'{{{name}}}' has no number under {' and '.join(missing)} in tier '{sized.tier}': "
                        f"give {name} in work.all, or in {where}"
                    ),
                )

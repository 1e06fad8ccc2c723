# SPDX-License-Identifier: Apache-2.0
"""A workload's descriptor: the record, and what it is in each tier. descriptor_file.py reads one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, get_args

Direction = Literal["lower", "higher"]
Accel = Literal["kvm", "tcg"]
WorkloadSize = Literal["smoke", "standard", "full"]
FootprintSource = Literal["user", "peak_rss", "default"]
Kind = Literal["batch", "build", "service"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Family = Literal["batch", "forkjoin", "schbench", "kernel-build", "wakeup", "mixed", "own"]
WORKLOAD_SIZES: tuple[WorkloadSize, ...] = get_args(WorkloadSize)
ACCELS: tuple[Accel, ...] = get_args(Accel)
REPLAY = "replay"
ROOTS = ("kernel-source",)

PLACEHOLDER = re.compile(r"\{(\w*)\}")
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
class Footprint:
    """What one process of a recorded command works on, in KiB (0: the machine's `user_kib` counts), by whose word."""

    name: str
    kib: int
    source: FootprintSource


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

    `{seed}` and `{user_ps}`, the guest's picoseconds for an instruction (0 without a machine), are always there.
    `work` holds the others: table `all`, overridden by the accelerator's (`tcg`, `kvm`), so that a run takes about
    as long on either, and that by the tier's. `runs_s` says about how long one run of each tier takes, in seconds of
    the guest, and so which tiers there are (none given: all, of one size). `metric`, `bound` and the guards' metrics
    are fields of the JSON object that the program prints last; `bound` is the least value of the metric that
    arithmetic allows, or empty. `timeout_s` ends one run of tier standard, and of a longer tier in proportion; `cpus`
    is the number of CPUs where none is asked for. `trace` is the file that program `replay` replays, `{trace}` among
    its arguments; `footprints_kib` are working sets of its processes by name, in place of the trace's own estimates.
    `kind` is what a recording is of, if it is one. `root` names what else the guest's file system holds
    (`kernel-source`: Linux's source, a toolchain), `memory_mib` the least memory with which it bears that. A tier may
    have fields of its own under `instead`.

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
    footprints_kib: dict[str, int] = field(default_factory=dict)
    kind: Literal["", "batch", "build", "service"] = ""
    file: str = ""
    tier: WorkloadSize = "standard"
    binary: Binary | None = None
    asked: dict[str, int] = field(default_factory=dict)


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

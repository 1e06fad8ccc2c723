# SPDX-License-Identifier: Apache-2.0
"""Workloads by id: those of the project, a user's own, and any of them made ready for a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.descriptor import (
    ACCELS,
    PLACEHOLDER,
    WORKLOAD_SIZES,
    Accel,
    Binary,
    Direction,
    Family,
    Guard,
    Workload,
    WorkloadSize,
    as_in,
    numbers_of,
    sizes_of,
)
from benchmarks.descriptor_file import read_workload
from benchmarks.schbench import real_arguments
from benchmarks.trace.program import program_of_trace
from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.limits import BINARY_BYTES, TRACE_BYTES, WORK_NUMBER
from policy_lake.model import to_json
from policy_lake.show import shortened

__all__ = [
    "WORKLOAD_SIZES",
    "Accel",
    "Binary",
    "Direction",
    "Family",
    "Guard",
    "Workload",
    "WorkloadSize",
    "arguments",
    "asking",
    "at_size",
    "descriptor_sha256",
    "job_files",
    "program_of",
    "read_workload",
    "sizes_of",
    "workload",
    "workload_files",
    "workload_ids",
]  # fmt: skip

FOLDER = Path(__file__).parent / "workloads"
_BINARY = "user-"


def workload_files(own: Path | None = None) -> dict[str, Path]:
    """The descriptors by id, sorted: those that come with the project, then the user's in the folder `own`.

    An id of the project's names the project's file, whatever lies in `own`.
    """
    files = {path.stem: path for path in sorted(FOLDER.glob("*.toml"), key=lambda path: path.stem)}
    for path in sorted(own.glob("*.toml")) if own else ():
        files.setdefault(path.stem, path)
    return files


def workload_ids(own: Path | None = None) -> tuple[str, ...]:
    """The ids of the workloads that come with the project, sorted, and then those in the folder `own`."""
    return tuple(workload_files(own))


def workload(id: str, own: Path | None = None) -> Workload:
    """The workload called `id`, or the one described by the file `id` if that is a path (has a `/` or ends in `.toml`).

    Raises InputError, naming the known ids, or the file and the field that is wrong.
    """
    known = workload_files(own)
    path = known.get(id)
    if path is not None:
        return _under_its_name(path)
    if "/" in id or id.endswith(".toml"):
        return outside(Path(id))
    raise InputError(f"no workload '{id}': known are {', '.join(known)}, or give the path of a .toml file")


def outside(path: Path) -> Workload:
    """The workload described by a file from anywhere; InputError if it is not ours and takes an id of ours."""
    described = read_workload(path)
    if path.resolve() != (FOLDER / f"{described.id}.toml").resolve() and described.id in workload_ids():
        wrong = f"'{described.id}' is a workload that comes with the project: choose another"
        raise InputError(f"{path}: field 'id': {wrong}")
    return described


def at_size(described: Workload, tier: WorkloadSize) -> Workload:
    """The workload in the size `tier`, with time for a run of that size; InputError where it has no such tier."""
    tiers = sizes_of(described)
    if tier not in tiers:
        raise InputError(f"workload '{described.id}' has no tier '{tier}': it has {', '.join(tiers)}")
    longer = described.runs_s[tier] / described.runs_s["standard"] if described.runs_s else 1.0
    return replace(as_in(described, tier), timeout_s=described.timeout_s * max(1.0, longer))


def asking(described: Workload, words: str) -> Workload:
    """The workload with other numbers, `NAME=NUMBER` separated by spaces; InputError for a number that it has not."""
    known = {name: number for accel in ACCELS for name, number in numbers_of(described, accel, described.tier).items()}
    asked = {}
    for word in words.split():
        name, _, number = word.partition("=")
        if name not in known:
            raise InputError(f"workload '{described.id}' has no number '{name}': it has {', '.join(known) or 'none'}")
        if not number.isascii() or not number.isdigit() or len(number) > 20 or int(number) > WORK_NUMBER.high:
            wrong = f"'{shortened(number, 40)}' is not a whole number from {WORK_NUMBER.span}"
            raise InputError(f"workload '{described.id}', number '{name}': {wrong}")
        asked[name] = int(number)
    return replace(described, asked=asked)


def arguments(
    described: Workload, *, seed: int, accel: Accel, tier: WorkloadSize | None = None, user_ps: int = 0
) -> tuple[str, ...]:
    """The program's arguments for one run, every `{name}` filled in, in size `tier` (default: the workload's own).

    `user_ps` is what an instruction of a program takes on the guest's machine, in picoseconds (0: none is described).
    A user's binary gets them in its own terms. InputError on a seed that is not of 64 bits.
    """
    if not 0 <= seed < 2**64:
        raise InputError(f"workload '{described.id}': a seed must be from 0 to 2^64 - 1, not {seed}")
    values: dict[str, object] = {
        **numbers_of(described, accel, tier or described.tier),
        "seed": seed,
        "user_ps": user_ps,
    }
    values["trace"] = Path(described.trace).name
    args = tuple(PLACEHOLDER.sub(lambda match: str(values[match[1]]), arg) for arg in described.args)
    return real_arguments(args) if described.binary else args


def program_of(described: Workload) -> str:
    """The name by which the guest runs the workload's program: one of its own, or the user's among the job's files."""
    return _BINARY + described.program if described.binary else described.program


def job_files(described: Workload) -> Mapping[str, bytes]:
    """What a guest must be given to run this workload, by name: the user's binary, the trace.

    InputError when a file cannot be read, or is another than it was when the workload was chosen.
    """
    files = {}
    if described.trace:
        # The piece of it that the tier's numbers ask for, as the guest's replayer reads it.
        numbers = numbers_of(described, "tcg", described.tier)
        files[Path(described.trace).name] = program_of_trace(Path(described.trace), numbers, described.footprints_kib)
    if described.binary:
        data = _read(described.binary.path)
        if hashlib.sha256(data).hexdigest() != described.binary.sha256:
            raise InputError(f"{described.binary.path}: has changed since the workload was chosen")
        files[program_of(described)] = data
    return files


def descriptor_sha256(described: Workload) -> str:
    """Of all that says what is run and measured: equal for equal descriptors, wherever their files lie."""
    named = replace(described, file="", trace="", binary=None)
    trace = hashlib.sha256(_read(described.trace)).hexdigest() if described.trace else ""
    binary = described.binary.sha256 if described.binary else ""
    said = to_json(named)
    for later in ("footprints_kib", "kind"):  # descriptors without keep the digests that they had before there were any
        if not said[later]:
            del said[later]
    return hashlib.sha256(json.dumps([said, trace, binary], sort_keys=True).encode()).hexdigest()


def _under_its_name(path: Path) -> Workload:
    described = read_workload(path)
    if described.id != path.stem:
        raise InputError(f"{path}: field 'id': '{described.id}' in a file named {path.name}")
    return described


def _read(path: str) -> bytes:
    return read_outside(path, max(TRACE_BYTES, BINARY_BYTES))

# SPDX-License-Identifier: Apache-2.0
"""Workloads by name: the project's and the user's, made ready as the settings say; and adding one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

from benchmarks.descriptor import Kind
from benchmarks.schbench import read_binary
from benchmarks.workloads import (
    Workload,
    asking,
    at_size,
    outside,
    read_workload,
    workload,
    workload_files,
    workload_ids,
)
from policy_lake.errors import InputError
from policy_lake.files import atomic_write, read_outside
from policy_lake.limits import DESCRIPTOR_BYTES, TRACE_BYTES
from tasks.host.programs import check_numbers
from tasks.host.settings import Settings
from tasks.host.trace_workload import id_in, id_of_name, workload_of_trace

SCHBENCH = "schbench"
TRACE = ".parquet"


def find_workload(name: str, settings: Settings) -> Workload:
    """The workload of that id or file, in the tier and with the binary that the settings name.

    A path is taken from where we are. InputError that names the known ids, a tier or a number that it does not have or
    take, or what is wrong with the binary.
    """
    if Path(name).suffix == TRACE:
        read_outside(name, TRACE_BYTES)
        raise InputError(
            f"{name}: a trace, and no workload yet: run `schedcp workloads add {quote(name)}`, then name its id"
        )
    described = workload(str(Path(name).absolute()) if is_path(name) else name, settings.workload_dir)
    described = asking(at_size(described, settings.tier), settings.work)
    if settings.schbench and described.family == described.program == SCHBENCH:
        described = replace(described, binary=read_binary(settings.schbench))
    if described.asked:
        check_numbers(described, settings.cache_dir)
    return described


def list_workloads(settings: Settings) -> tuple[tuple[Workload, ...], tuple[str, ...]]:
    """Every workload of the project and of the user's, and what is wrong with those that cannot be read."""
    readable, unreadable = [], []
    for id in workload_files(settings.workload_dir):
        try:
            readable.append(workload(id, settings.workload_dir))
        except InputError as error:
            unreadable.append(str(error))
    return tuple(readable), tuple(unreadable)


def add_workload(
    path: Path, settings: Settings, *, kind: Kind | None = None, footprints_kib: Mapping[str, int] | None = None
) -> Workload:
    """Keep the workload in the file `path` among the user's own, so that its id is known from now on.

    What kind of file it is, its suffix says. `kind` is what a trace is of, which it tells itself
    if that is left out, `footprints_kib` are working sets of its commands. InputError for a
    suffix that is none of ours, a file that is wrong, or an id that is taken; nothing is written then.
    """
    add = ADDED_BY.get(path.suffix)
    if add is None:
        raise InputError(f"{path}: not one of the files that can be added: {', '.join(f'*{end}' for end in ADDED_BY)}")
    return add(path, settings, kind, footprints_kib or {})


def check_trace_name(path: Path) -> None:
    """InputError for a name under which no trace can be added: said before it is recorded, and not after."""
    if path.suffix != TRACE:
        raise InputError(f"{path}: name it *{TRACE}, or `schedcp workloads add` will not take it for a trace")
    if (id := id_of_name(path)) in workload_ids():
        raise InputError(f"{path}: '{id}' is a workload that comes with the project: choose another name")


def _add_descriptor(path: Path, settings: Settings, kind: Kind | None, footprints_kib: Mapping[str, int]) -> Workload:
    if kind:
        raise InputError(f"--kind goes with a trace; {path} says itself what it is measured by")
    if footprints_kib:
        raise InputError(f"--footprint goes with a trace; {path} says it itself, in its table [footprints_kib]")
    described = outside(path)
    place = free_place(described.id, settings)
    text = read_outside(path, DESCRIPTOR_BYTES)
    trace = read_outside(described.trace, TRACE_BYTES) if described.trace else b""
    if described.trace:
        if (path.parent / Path(described.trace).name).absolute() != Path(described.trace):
            raise InputError(f"{path}: field 'trace': must lie beside the descriptor: both are kept together")
        beside = place.with_name(Path(described.trace).name)
        if beside.exists():
            raise InputError(f"{path}: field 'trace': there is a {beside} already")
        atomic_write(beside, trace, durable=True)
    atomic_write(place, text, durable=True)
    return read_workload(place)


def free_place(id: str, settings: Settings) -> Path:
    """Where the descriptor of a new workload of the user's goes; InputError if the id is taken."""
    place = settings.workload_dir / f"{id}.toml"
    if id in workload_ids():
        raise InputError(f"'{id}' is a workload that comes with the project: choose another id")
    if place.exists():
        raise InputError(f"there is a workload '{id}' already: choose another id, or remove {place}")
    return place


def is_path(name: str) -> bool:
    """Whether a workload is named by its file."""
    return "/" in name or name.endswith(".toml")


def _add_trace(path: Path, settings: Settings, kind: Kind | None, footprints_kib: Mapping[str, int]) -> Workload:
    text = workload_of_trace(path, kind=kind, footprints_kib=footprints_kib)
    place = free_place(id_in(text), settings)
    beside = place.with_name(path.name)
    if beside.exists():
        raise InputError(f"{path}: there is a {beside} already")
    atomic_write(beside, read_outside(path, TRACE_BYTES), durable=True)
    atomic_write(place, text.encode(), durable=True)
    return read_workload(place)


# One function for each kind of file, by suffix.
Adding = Callable[[Path, Settings, Kind | None, Mapping[str, int]], Workload]
ADDED_BY: Mapping[str, Adding] = {".toml": _add_descriptor, TRACE: _add_trace}

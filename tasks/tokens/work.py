# SPDX-License-Identifier: Apache-2.0
"""What a verifier is asked to look at, as it goes over a wire: files or their paths, settings, what is to be measured.

A verifier of the user's own reads paths, and takes all of his settings; a service takes what is sent, and few settings.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from policy_lake.errors import InputError
from policy_lake.files import read_outside, scratch
from policy_lake.limits import SEED, check_pairs
from policy_lake.model import from_json
from policy_lake.scores import MeasurementPlan
from policy_lake.topology import parse_topology
from tasks.host.settings import Settings, load_settings
from tasks.trial.parts import OBJECT_LIMIT
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.machine.kernel import find_kernel

HEADERS, MOST_HEADERS, HEADER_BYTES = (".h", ".hpp", ".inc"), 256, 4 << 20
# Of the settings, what a service lets its clients choose: nothing that names a place, a program or a time-out of it.
OFFERED = {"tier", "work", "min_coverage", "topologies", "require", "cpus", "llcs", "smt", "nodes"}
HIGHEST_FLOOR = 100
DIRECTORIES = "own", "linked", "include"


@dataclass(frozen=True, slots=True)
class Measure:
    """A workload by its id (or, for one's own verifier, its path), and how often it is run under either scheduler.

    Without `pairs` it is measured as `schedcp verify -w` does, for its guard rails alone. `floor` is the ratio by which
    equal runs are known to differ by the wall clock: more is asked of a win then, never less.
    """

    workload: str
    pairs: int = 0
    most_pairs: int = 0
    seed: int = SEED.preset
    floor: float | None = None

    @property
    def plan(self) -> MeasurementPlan | None:
        """How to measure; InputError for numbers beyond their limits."""
        if not self.pairs:
            return None
        check_pairs(self.pairs, self.most_pairs)
        SEED.check(self.seed)
        if self.floor is not None and not 1 <= self.floor <= HIGHEST_FLOOR:
            raise InputError(f"floor: {self.floor} is not from 1 to {HIGHEST_FLOOR}")
        return MeasurementPlan(self.pairs, self.most_pairs, self.seed)


@dataclass(frozen=True, slots=True)
class Work:
    """A policy with all that belongs to it, as `verify` takes it; what is not given has its default.

    `sent` holds contents in base64 by DIRECTORY/NAME; `file` and `linked` are names of it, or else paths on this host.
    `on_types`, of a service, is the BTF digest of the kernel to verify on, and `like` the CPUs of the host that it is
    for; empty: the service's own.
    """

    file: str
    linked: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    sent: dict[str, str] = field(default_factory=dict)
    knobs: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    tier: SuiteTier = "short"
    check_all: bool = False
    require: tuple[str, ...] = ()
    minimize: bool = False
    plots: str = ""
    measure: Measure | None = None
    on_types: str = ""
    like: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a policy's files lie."""

    own: Path
    linked: tuple[Path, ...]
    include: tuple[Path, ...]


def read_work(data: Any, *, service: bool) -> Work:
    """The work in a message; InputError for what is unknown, of another type, or not offered by a service."""
    try:
        if unknown := set(data) - {field.name for field in fields(Work)}:
            raise ValueError(f"unknown: {', '.join(sorted(map(str, unknown)))}")
        work = from_json(Work, data)
    except (ValueError, TypeError) as error:
        raise InputError(f"not a verifier's work: {' '.join(str(error).split())[:200]}") from error
    if service:
        _refuse_places(work)
    return work


def settings_of(work: Work, *, service: bool) -> Settings:
    """A service's own settings with what the work may choose of them, else the caller's; InputError for others."""
    if service and (other := sorted(set(work.settings) - OFFERED)):
        raise InputError(f"the verifier service lets nobody choose {other[0]}")
    settings = load_settings(**work.settings)
    changes: dict[str, Any] = {}
    if work.like:
        parse_topology(work.like, "like")
        changes["topologies"] = f"{settings.topologies} {work.like}".strip()
    if work.on_types:
        changes["kernel"] = find_kernel(settings.cache_dir, "that was asked for", work.on_types)
    return settings.model_copy(update=changes) if changes else settings


@contextmanager
def unpacked(work: Work) -> Iterator[Files]:
    """The work's files, those that were sent in a directory that goes away with the context."""
    if not work.sent:
        yield Files(Path(work.file), tuple(map(Path, work.linked)), tuple(map(Path, work.include)))
        return
    with scratch("work") as made:
        place = Path(made)
        for name, text in work.sent.items():
            (place / _plain(name)).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(_content(name, text))
        include = sorted({place / name.partition("/")[0] for name in work.sent if name.startswith("include")})
        linked = tuple(place / _plain(name) for name in work.linked)
        yield Files(place / _plain(work.file), linked, tuple(include))


def packed(file: Path, linked: tuple[Path, ...], include: tuple[Path, ...]) -> dict[str, Any]:
    """The members `file`, `linked` and `sent` of a work that goes to another user or host: contents in place of paths.

    Headers beside a source and in the -I directories go too, up to a limit. InputError for what cannot be read.
    """
    sent: dict[str, str] = {}
    for number, directory in enumerate(include):
        _add_headers(sent, directory, f"include{number}")
    if file.suffixes[-2:] == [".bpf", ".c"]:
        _add_headers(sent, file.parent, "own")
    names = []
    for number, path in enumerate((file, *linked)):
        names.append(f"{'own' if not number else f'linked{number}'}/{path.name}")
        sent[names[-1]] = base64.b64encode(read_outside(path, OBJECT_LIMIT)).decode()
    return {"file": names[0], "linked": tuple(names[1:]), "sent": sent}


def _add_headers(sent: dict[str, str], directory: Path, below: str) -> None:
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.suffix in HEADERS and path.is_file():
            sent[f"{below}/{path.name}"] = base64.b64encode(read_outside(path, HEADER_BYTES)).decode()
    if len(sent) > MOST_HEADERS:
        raise InputError(f"{directory}: more than {MOST_HEADERS} headers are more than is sent to a verifier service")


def _refuse_places(work: Work) -> None:
    if not work.sent or work.include or work.plots or work.minimize:
        raise InputError("a verifier service takes contents, no paths, and draws no pictures")
    if work.measure and ("/" in work.measure.workload or work.measure.workload.endswith(".toml")):
        raise InputError(f"{work.measure.workload[:80]!r}: a verifier service measures workloads that it knows by id")
    if missing := [name for name in (work.file, *work.linked) if name not in work.sent]:
        raise InputError(f"{missing[0][:80]!r} was not sent")


def _plain(name: str) -> str:
    """DIRECTORY/NAME, and no way out of it."""
    directory, _, last = name.partition("/")
    known = directory.rstrip("0123456789") in DIRECTORIES
    if not known or not last or "/" in last or last.startswith(".") or "\0" in last or len(last) > 200:
        raise InputError(f"{name[:80]!r} is no name of a file that is sent to a verifier")
    return name


def _content(name: str, text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name[:80]!r}: no base64") from error
    if len(content) > OBJECT_LIMIT:
        raise InputError(f"{name[:80]!r}: larger than {OBJECT_LIMIT >> 20} MiB")
    return content


def chosen_settings(settings: Settings, *, service: bool) -> Mapping[str, Any]:
    """What of a caller's settings goes with the work: all for one's own verifier, what it offers for a service."""
    dumped = settings.model_dump(mode="json")  # without the model's key
    given = settings.model_fields_set & OFFERED if service else settings.model_fields_set
    return {name: value for name, value in dumped.items() if name in given and value is not None}

# SPDX-License-Identifier: Apache-2.0
"""A workload's descriptor read from the .toml file that describes one, which anybody may have written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.comm import COMM_BYTES, comm_bytes
from benchmarks.descriptor import ACCELS, PLACEHOLDER, REPLAY, ROOTS, Workload, as_in, numbers_of, sizes_of
from benchmarks.toml_file import read_toml, validated
from policy_lake import limits
from policy_lake.errors import InputError
from policy_lake.limits import Limit
from policy_lake.show import for_terminal, shortened

_ID = re.compile(r"[a-z][a-z0-9-]{0,99}")
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
_PROGRAM = re.compile(r"[\w.-]{1,64}", re.ASCII)
_OURS = ("file", "tier", "binary", "asked")
TRACE = "a trace: name it *.parquet, and run `schedcp workloads add`"


def read_workload(path: Path) -> Workload:
    """The workload that the TOML file at `path` describes; InputError names the file and the field that is wrong."""
    data = read_toml(path, instead={b"PAR1": TRACE})
    for name in _OURS:
        if name in data:
            raise InputError(f"{path}: field '{name}': there is no such field in a descriptor")
    described = validated(path, data, Workload)
    for name, wrong in _faults(described):
        raise InputError(f"{path}: field '{for_terminal(name)}': {for_terminal(wrong)}")
    for tier in described.instead:
        for name, wrong in _faults(as_in(described, tier)):
            raise InputError(f"{path}: field 'instead.{tier}.{for_terminal(name)}': {for_terminal(wrong)}")
    if described.trace:
        described = replace(described, trace=_trace_path(path, described.trace))
    return replace(described, file=str(path))


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
    yield from _text_faults(described)
    yield from _count_faults(described)
    yield from _number_faults(described)
    if described.bound and described.direction == "higher":
        yield "bound", "is the least value of a metric of which lower is better, and here higher is"
    yield from _tier_faults(described)
    yield from _guard_faults(described)
    if described.root not in ("", *ROOTS):
        yield "root", f"'{described.root}' is not one of {', '.join(ROOTS)}"
    if bool(described.trace) != (described.program == REPLAY):
        yield "trace", f"goes with program '{REPLAY}', and only with that"
    if described.footprints_kib and described.program != REPLAY:
        yield "footprints_kib", f"goes with program '{REPLAY}': other programs tell their own"
    if described.kind and described.program != REPLAY:
        yield "kind", f"goes with program '{REPLAY}': it is what was recorded"
    yield from _placeholder_faults(described)


def _text_faults(described: Workload) -> Iterator[tuple[str, str]]:
    """Texts that are too long, or that no job of a guest can carry."""
    measures = [("metric", described.metric), ("unit", described.unit), ("bound", described.bound)]
    for index, guard in enumerate(described.guards):
        measures += [(f"guards.{index}.metric", guard.metric), (f"guards.{index}.unit", guard.unit)]
    texts = [(name, text, limits.LONGEST_NAME) for name, text in measures]
    texts += [(name, getattr(described, name), limits.LONGEST_LINE) for name in ("title", "goal")]
    carried = [("trace", described.trace), *(("args", arg) for arg in described.args)]
    texts += [(name, text, limits.LONGEST_WORD) for name, text in carried]
    for name, text, most in texts:
        if len(text) > most:
            yield name, f"longer than {most} characters"
    yield from ((name, "a character in it cannot be printed") for name, text in carried if not text.isprintable())


def _count_faults(described: Workload) -> Iterator[tuple[str, str]]:
    if len(described.footprints_kib) > limits.TRACE_TASKS:
        yield "footprints_kib", "has more entries than any trace has names"
    for name in (name for name in described.footprints_kib if len(comm_bytes(name)) > COMM_BYTES):
        yield "footprints_kib", f"'{shortened(name, 60)}' is no name of a task: it has more than {COMM_BYTES} bytes"
    several = {"args": len(described.args), "guards": len(described.guards)}
    several |= {f"work.{table}": len(numbers) for table, numbers in described.work.items()}
    for name, count in several.items():
        if count > limits.WORDS:
            yield name, f"has {count} entries, and {limits.WORDS} is the most"
    for table, numbers in described.work.items():
        for name in (name for name in numbers if not _NAME.fullmatch(name)):
            yield f"work.{table}", f"'{shortened(name, 60)}' is no name of a number"


def _number_faults(described: Workload) -> Iterator[tuple[str, str]]:
    numbers: list[tuple[str, Limit, float]] = [
        ("timeout_s", limits.TIMEOUT_S, described.timeout_s), ("cpus", limits.CPUS, described.cpus),
    ]  # fmt: skip
    if described.memory_mib:
        numbers.append(("memory_mib", limits.WORK_MEMORY_MIB, described.memory_mib))
    numbers += [(f"runs_s.{tier}", limits.RUN_S, seconds) for tier, seconds in described.runs_s.items()]
    numbers += [(f"guards.{n}.limit", limits.GUARD_FACTOR, guard.limit) for n, guard in enumerate(described.guards)]
    for name, kib in described.footprints_kib.items():
        numbers.append((f"footprints_kib.{shortened(name, 60)}", limits.WORKLOAD_FOOTPRINT_KIB, kib))
    for table, named in described.work.items():
        numbers += [(f"work.{table}.{name}", limits.WORK_NUMBER, number) for name, number in named.items()]
    for name, limit, number in numbers:
        if not limit.low <= number <= limit.high:
            shown = number if abs(number) < 2**64 else "a larger number"
            yield name, f"must be from {limit.span}{f' {limit.unit}' if limit.unit else ''}, not {shown}"


def _tier_faults(described: Workload) -> Iterator[tuple[str, str]]:
    if described.runs_s and "standard" not in described.runs_s:
        yield "runs_s", "does not say how long a run of tier 'standard' takes"
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
        measured.add(guard.metric)


def _placeholder_faults(described: Workload) -> Iterator[tuple[str, str]]:
    for sized in (as_in(described, tier) for tier in sizes_of(described)):
        known = {"seed", "user_ps", *(["trace"] if sized.trace else [])}
        for name in (name for arg in sized.args for name in PLACEHOLDER.findall(arg)):
            missing = [accel for accel in ACCELS if name not in known | set(numbers_of(sized, accel, sized.tier))]
            if missing:
                where = " and ".join(f"work.{accel}" for accel in missing)
                what = f"has no number under {' and '.join(missing)} in tier '{sized.tier}'"
                yield "args", f"'{{{name}}}' {what}: give {name} in work.all, or in {where}"

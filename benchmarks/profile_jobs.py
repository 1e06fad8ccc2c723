# SPDX-License-Identifier: Apache-2.0
"""The probe's rows of jobs: CPU time by each part of what tells one kind of job from another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from policy_lake.errors import InfraError
from policy_lake.printed import number, take
from policy_lake.profile import JobPart, JobProfile
from policy_lake.show import shortened

PARTS: tuple[JobPart, ...] = get_args(JobPart)
ROWS = 65  # of a part: SHOWN_JOBS of bpf/probes/observe_jobs.h, and the rest
SQUARES_MS = 2.0**16 / 1e6  # the unit of which the probe adds up squares, in ms
HASH_SEED, HASH_PRIME = 0xCBF29CE484222325, 0x100000001B3
COMM_LEN = 16


def read_jobs(rows: Sequence[Any], where: str) -> tuple[JobProfile, ...]:
    """The rows in their order, for each part by falling CPU time; InfraError that names row and field."""
    if len(rows) > ROWS * len(PARTS):
        raise InfraError(f"{where}: field 'jobs' has {len(rows)} rows, more than {ROWS * len(PARTS)}")
    return tuple(_job(row, f"{where}, job {index}") for index, row in enumerate(rows))


def name_key(comm: str) -> str:
    """The number that the probe gives a command's name, as text (sx_name_key of bpf/primitives/jobkey.h)."""
    padded = comm.encode(errors="replace")[: COMM_LEN - 1].ljust(COMM_LEN, b"\0")
    hashed = HASH_SEED
    for at in (0, 8):
        hashed = (hashed ^ int.from_bytes(padded[at : at + 8], "little")) * HASH_PRIME % 2**64
    return str(hashed | 1)


def _job(row: Any, where: str) -> JobProfile:
    if not isinstance(row, Mapping):
        raise InfraError(f"{where}: is not an object but {row!r:.60}")
    by, key = take(row, "by", str, where=where), take(row, "key", str, where=where)
    part = next((part for part in PARTS if part == by), None)
    if part is None:
        raise InfraError(f"{where}: field 'by' must be one of {', '.join(PARTS)}, not '{shortened(by, 40)}'")
    if not key.isascii() or not key.isdigit() or len(key) > 20 or int(key) >= 2**64:
        raise InfraError(f"{where}: field 'key' must be a number of 64 bits, not '{shortened(key, 40)}'")
    tasks = int(number(row, "tasks", where=where, zero=False))
    cpu_ms = number(row, "cpu_ns", where=where) / 1e6
    squares = number(row, "squares", where=where) * SQUARES_MS**2
    return JobProfile(
        by=part,
        key=str(int(key)),
        tasks=tasks,
        cpu_ms=cpu_ms,
        cpu_ms_max_task=number(row, "cpu_ns_max_task", where=where) / 1e6,
        # Each square is of a time cut to whole units, so that equal tasks would seem to differ by less than nothing.
        cpu_ms_sd=math.sqrt(max(squares / tasks - (cpu_ms / tasks) ** 2, 0.0)),
    )

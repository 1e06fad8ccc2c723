# SPDX-License-Identifier: Apache-2.0
"""What `perf record` wrote of tracepoints, read without perf: only raw records tell whether an interrupt was served.

The layout is the kernel's (include/uapi/linux/perf_event.h) and perf's (perf.data-file-format.txt among its documents);
where a tracepoint has its fields comes from the `format` files of the kernel that recorded.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.comm import comm_text
from policy_lake.errors import InfraError

MAGIC = b"PERFILE2"
_LOST, _THROTTLE, _SAMPLE, _LOST_SAMPLES = 2, 5, 9, 13
# PERF_SAMPLE_ bits in the order in which a sample holds them, up to the raw data, with their sizes.
_PARTS = ((1 << 16, 8), (1, 8), (2, 8), (4, 8), (8, 8), (1 << 6, 8), (1 << 9, 8), (1 << 7, 8), (1 << 8, 8))
_TIME, _CPU, _RAW = 4, 1 << 7, 1 << 10
_FIELD = re.compile(
    r"field:(?P<type>[^;]*?)(?P<name>\w+)(\[\d*\])?;\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);\s*signed:(?P<signed>\d);"
)
_LONGEST_SAMPLE = 1 << 16
_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}


@dataclass(frozen=True, slots=True)
class Event:
    """One tracepoint hit: `time_ns` by CLOCK_MONOTONIC, who was current, and the wanted fields in their order.

    `flags` are the kernel's TRACE_FLAG_ bits: 8 in a hardware interrupt, 16 in a soft one.
    """

    time_ns: int
    cpu: int
    name: str
    current: int
    flags: int
    fields: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Format:
    """How to take the wanted fields of one tracepoint from its raw data."""

    name: str
    id: int
    takes: tuple[Callable[[bytes | mmap.mmap, int], Any], ...]


def read_format(name: str, text: str, wanted: tuple[str, ...]) -> Format:
    """The tracepoint `name` from the text of its `format` file; InfraError if it has not all the `wanted` fields."""
    matches = {match["name"]: match for match in _FIELD.finditer(text)}
    id_line = re.search(r"^ID: (\d+)$", text, re.MULTILINE)
    missing = [field for field in wanted if field not in matches]
    if missing or not id_line:
        raise InfraError(f"tracepoint {name}: this kernel's has no field '{missing[0] if missing else 'ID'}'")
    return Format(name, int(id_line[1]), tuple(_take(matches[field]) for field in wanted))


def _take(field: re.Match[str]) -> Callable[[bytes | mmap.mmap, int], Any]:
    offset, size = int(field["offset"]), int(field["size"])
    if "char" in field["type"] and size > 1:
        return lambda data, at: comm_text(data[at + offset : at + offset + size].split(b"\0", 1)[0])
    if size not in _CODES or offset > _LONGEST_SAMPLE:
        raise InfraError(f"field '{field['name']}' of a tracepoint has {size} bytes at {offset}, which none has")
    code = _CODES[size] if field["signed"] == "1" else _CODES[size].upper()
    unpack = struct.Struct("<" + code).unpack_from
    return lambda data, at: unpack(data, at + offset)[0]


def read_events(data: bytes | mmap.mmap, formats: Mapping[int, Format], *, where: str) -> Iterator[Event]:
    """The events of `formats` (by tracepoint id) in perf's file, in the order of the file: each CPU's are in order.

    Raises InfraError for a file that is not whole, or says that the kernel lost or held back events.
    """
    try:
        yield from _events(data, formats, where)
    except struct.error:
        raise InfraError(f"{where}: perf's recording is broken: a record ends too soon") from None


def _events(data: bytes | mmap.mmap, formats: Mapping[int, Format], where: str) -> Iterator[Event]:
    start, end, time_at, cpu_at, raw_at = _layout(data, where)
    header, u64, u32, common = (struct.Struct(f).unpack_from for f in ("<IHH", "<Q", "<I", "<HBBi"))
    lost = 0
    while start < end:
        kind, _, size = header(data, start)
        if size < 8 or start + size > end:
            raise InfraError(f"{where}: perf's recording is broken at byte {start}")
        body = start + 8
        start += size
        if kind == _LOST:
            lost += u64(data, body + 8)[0]
        elif kind == _LOST_SAMPLES:
            lost += u64(data, body)[0]
        elif kind == _THROTTLE:
            lost += 1
        elif kind == _SAMPLE:
            raw = body + raw_at + 4
            id, flags, _, current = common(data, raw)
            known = formats.get(id)
            if known:
                taken = tuple([take(data, raw) for take in known.takes])
                yield Event(
                    u64(data, body + time_at)[0], u32(data, body + cpu_at)[0], known.name, current, flags, taken
                )
    if lost:
        raise InfraError(
            f"the kernel lost {lost} events while recording, so the trace would be wrong: record a shorter or calmer "
            "command, or give perf larger buffers (SCHEDCP_RECORD_BUFFER_MIB)"
        )


def _layout(data: bytes | mmap.mmap, where: str) -> tuple[int, int, int, int, int]:
    """Where the records start and end, and where in a sample its time, its CPU and its raw data's size are."""
    if len(data) < 104 or data[:8] != MAGIC:
        raise InfraError(f"{where}: not a file of perf's")
    attrs, _, start, size = struct.unpack_from("<4Q", data, 24)
    if not size or start + size > len(data) or attrs + 32 > len(data):
        raise InfraError(f"{where}: perf did not finish its recording")
    sample_type = struct.unpack_from("<Q", data, attrs + 24)[0]
    known = sum(bit for bit, _ in _PARTS) | _RAW
    if sample_type & ~known or not all(sample_type & bit for bit in (_TIME, _CPU, _RAW)):
        raise InfraError(f"{where}: perf's samples have another layout (sample_type {sample_type:#x})")
    at, offsets = 0, {}
    for bit, width in _PARTS:
        offsets[bit] = at
        at += width if sample_type & bit else 0
    return start, start + size, offsets[_TIME], offsets[_CPU], at

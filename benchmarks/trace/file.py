# SPDX-License-Identifier: Apache-2.0
"""Traces as Parquet files: one row per operation, and the rest as JSON in the file's metadata, under a version.

Version 3 may tell footprints, version 2 does not; both have a checksum of all that they say. Version 1, which has none,
is read as before: the checksum tells damage, against which a recording made earlier is no worse protected than it was;
what may stand in a trace is checked in all.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.trace.check import first_fault, info_fault, task_fault
from benchmarks.trace.parquet_process import ParquetReader
from benchmarks.trace.tasks import COLUMNS, OPS, Trace, TraceInfo, replace_info
from policy_lake.errors import InputError
from policy_lake.files import atomic_write, read_outside
from policy_lake.limits import TRACE_BYTES, TRACE_OPS
from policy_lake.show import for_terminal

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 3
WORDS = "words"  # of parquet_server.py, which is imported nowhere
_WITHOUT_CHECKSUM = ("1",)
_READ = (str(VERSION), "2", *_WITHOUT_CHECKSUM)
_VERSION, _INFO, _SHA256 = "schedcp.trace.version", "schedcp.trace.info", "schedcp.trace.sha256"
TYPES = {"task": "uint32", "op": WORDS, "after_us": "uint32", "off_us": "uint32", "arg": "int32"}
# Byte by byte, since the low ones are noise and the high ones nearly all zero: a quarter smaller than the values whole.
_ENCODINGS = dict.fromkeys(("task", "after_us", "off_us", "arg"), "BYTE_STREAM_SPLIT")


def write_trace(trace: Trace, path: Path) -> None:
    """Write the trace, all or nothing. InputError for one too large to be read, InfraError if it cannot be written."""
    atomic_write(path, trace_bytes(trace, path))


def trace_bytes(trace: Trace, path: Path) -> bytes:
    """What is to be written at `path`; InputError, which names that, for a trace too large to be read."""
    data = encode_trace(trace)
    if len(trace) > TRACE_OPS or len(data) > TRACE_BYTES:
        raise InputError(f"{path}: {len(trace)} operations, and a trace has at most {TRACE_OPS}: record less")
    return data


def encode_trace(trace: Trace) -> bytes:
    """The trace as the bytes of its file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    info = json.dumps(trace.info.to_json()).encode()
    columns = {name: getattr(trace, name) for name in COLUMNS}
    text = {_VERSION: str(VERSION).encode(), _INFO: info, _SHA256: checksum(info, columns).encode()}
    codes = pa.DictionaryArray.from_arrays(pa.array(trace.op, pa.int8()), pa.array(OPS))
    plain = {name: pa.array(getattr(trace, name), TYPES[name]) for name in COLUMNS if name != "op"}
    table = pa.table({name: codes if name == "op" else plain[name] for name in COLUMNS}).replace_schema_metadata(text)
    out = io.BytesIO()
    pq.write_table(
        table, out, compression="zstd", compression_level=19, use_dictionary=["op"], column_encoding=_ENCODINGS,
        write_statistics=False, row_group_size=TRACE_OPS,
    )  # fmt: skip
    return out.getvalue()


def checksum(info: bytes, columns: Mapping[str, Any]) -> str:
    """SHA-256 of what a trace says: the information as it stands in the file, and each column as 64-bit integers."""
    digest = hashlib.sha256(b"schedcp.trace.2\n%d\n%s" % (len(info), info))
    for name in COLUMNS:
        digest.update(columns[name].astype("<i8").tobytes())
    return digest.hexdigest()


def read_trace(path: Path) -> Trace:
    """The trace in the file, checked as a whole; InputError names the file and the field that is wrong."""
    return parse_trace(read_outside(path, TRACE_BYTES), str(path))


def parse_trace(data: bytes, where: str, reader: ParquetReader | None = None) -> Trace:
    """The trace in the bytes of its file, which errors call `where`; `reader` is for many of them."""
    if data[:4] != b"PAR1":
        raise InputError(f"{where}: not a trace (no Parquet file)")
    with ParquetReader(TYPES) if reader is None else contextlib.nullcontext(reader) as process:
        try:
            table = process.read(data)
        except InputError as error:
            raise InputError(f"{where}: {for_terminal(error)}") from None
    version = _version(table.metadata, where)
    if table.error:
        raise InputError(f"{where}: {for_terminal(table.error)}")
    columns = {**table.columns, "op": _codes(table.words["op"], table.columns["op"], where)}
    written = table.metadata.get(_INFO, b"")
    if version not in _WITHOUT_CHECKSUM and table.metadata.get(_SHA256) != checksum(written, columns).encode():
        raise InputError(f"{where}: damaged: it is not what its checksum (field '{_SHA256}') was made of")
    info = _info(written, where)
    fault = info_fault(info) or task_fault(columns["task"])
    trace = None if fault else Trace(info, *(columns[name] for name in COLUMNS))
    if trace is None or (fault := first_fault(trace)):
        raise InputError(f"{where}: {for_terminal(fault)}")
    return trace


def _version(metadata: Mapping[str, bytes], where: str) -> str:
    version = metadata.get(_VERSION, b"").decode(errors="replace")
    if version not in _READ:
        said = f"version '{for_terminal(version[:40])}'" if version else "none"
        wanted = f"this reads {VERSION}: record it anew"
        raise InputError(f"{where}: field 'schedcp.trace.version': {said}, and {wanted}")
    return version


def _info(text: bytes, where: str) -> TraceInfo:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(TraceInfo).validate_json(text or b"{}")
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])[:80] or "schedcp.trace.info"
        why = f"{first['msg'][:1].lower()}{first['msg'][1:200]}"
        raise InputError(f"{where}: field '{for_terminal(name)}': {for_terminal(why)}") from None


def _codes(words: Sequence[str], places: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    known = {text: code for code, text in enumerate(OPS)}
    for word in words:
        if word not in known:
            raise InputError(f"{where}: field 'op': '{for_terminal(word)}' is no operation")
    return np.array([known[word] for word in words], dtype=np.int64)[places]


def hash_names(trace: Trace) -> Trace:
    """The trace with names that tell only which are equal: salted, since a plain hash of `make` is soon guessed."""
    salt = secrets.token_bytes(16)

    def hashed(names: Iterable[str]) -> tuple[str, ...]:
        return tuple("h" + hashlib.sha256(salt + name.encode()).hexdigest()[:12] for name in names)

    known = trace.info.footprints_kib
    info = replace(
        trace.info, command=hashed([trace.info.command])[0], names=hashed(trace.info.names), hashed=True,
        footprints_kib=dict(zip(hashed(known), known.values(), strict=True)),
    )  # fmt: skip
    return replace_info(trace, info)

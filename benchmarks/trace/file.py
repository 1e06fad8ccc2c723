# SPDX-License-Identifier: Apache-2.0
"""Traces as Parquet files: one row per operation, and the rest as JSON in the file's metadata, under a version."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trace.check import first_fault
from benchmarks.trace.tasks import COLUMNS, OPS, Trace, TraceInfo
from policy_lake.errors import InputError
from policy_lake.files import atomic_write

VERSION = 1
_VERSION, _INFO = b"schedcp.trace.version", b"schedcp.trace.info"
_TYPES = {"task": "uint32", "op": "dictionary", "after_us": "uint32", "off_us": "uint32", "arg": "int32"}
# Byte by byte, since the low ones are noise and the high ones nearly all zero: a quarter smaller than the values whole.
_ENCODINGS = dict.fromkeys(("task", "after_us", "off_us", "arg"), "BYTE_STREAM_SPLIT")
_MOST_BYTES, _MOST_OPS = 256 << 20, 20_000_000


def write_trace(trace: Trace, path: Path) -> None:
    """Write the trace, all or nothing. InfraError if it cannot be written there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = {_VERSION: str(VERSION).encode(), _INFO: json.dumps(trace.info.to_json()).encode()}
    codes = pa.DictionaryArray.from_arrays(pa.array(trace.op, pa.int8()), pa.array(OPS))
    plain = {name: pa.array(getattr(trace, name), _TYPES[name]) for name in COLUMNS if name != "op"}
    table = pa.table({name: codes if name == "op" else plain[name] for name in COLUMNS}).replace_schema_metadata(text)
    out = io.BytesIO()
    pq.write_table(
        table, out, compression="zstd", compression_level=19, use_dictionary=["op"], column_encoding=_ENCODINGS,
        write_statistics=False, row_group_size=_MOST_OPS,
    )  # fmt: skip
    atomic_write(path, out.getvalue())


def read_trace(path: Path) -> Trace:
    """The trace in the file, checked as a whole; InputError names the file and the field that is wrong."""
    try:
        data = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if data is None:
        raise InputError(f"{path}: larger than any trace ({_MOST_BYTES >> 20} MiB)")
    return parse_trace(data, str(path))


def parse_trace(data: bytes, where: str) -> Trace:
    """The trace in the bytes of its file, which errors call `where`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if data[:4] != b"PAR1":
        raise InputError(f"{where}: not a trace (no Parquet file)")
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        text = dict(file.metadata.metadata or {})
        version = text.get(_VERSION, b"").decode(errors="replace")
        if version != str(VERSION):
            version_text = f"version '{version}'" if version else "none"
            raise InputError(
                f"{where}: field 'schedcp.trace.version': {version_text}, and this reads {VERSION}: record it anew"
            )
        if file.metadata.num_rows > _MOST_OPS:
            raise InputError(f"{where}: more operations than any trace has ({file.metadata.num_rows})")
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{where}: truncated or damaged: {str(error).splitlines()[0]:.120}") from None
    info = _info(text.get(_INFO, b""), where)
    trace = Trace(info, *(_column(table, name, where) for name in COLUMNS))
    if fault := first_fault(trace):
        raise InputError(f"{where}: {fault}")
    return trace


def _info(text: bytes, where: str) -> TraceInfo:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(TraceInfo).validate_json(text or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "schedcp.trace.info"
        raise InputError(f"{where}: field '{name}': {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _column(table: Any, name: str, where: str) -> Any:
    if name not in table.column_names:
        raise InputError(f"{where}: field '{name}' is missing")
    column = table.column(name)
    if column.null_count:
        raise InputError(f"{where}: field '{name}' has empty cells")
    if name == "op":
        known = {text: code for code, text in enumerate(OPS)}
        texts: list[Any] = column.to_pylist()
        for text in texts:
            if text not in known:
                raise InputError(f"{where}: field 'op': {text!r:.60} is no operation")
        return np.array([known[text] for text in texts], dtype=np.int64)
    if str(column.type) != _TYPES[name]:
        raise InputError(f"{where}: field '{name}' must be of type {_TYPES[name]}, not {column.type}")
    return column.to_numpy().astype(np.int64)


def hash_names(trace: Trace) -> Trace:
    """The trace with names that tell only which are equal: salted, since a plain hash of `make` is soon guessed."""
    salt = secrets.token_bytes(16)

    def hashed(names: Iterable[str]) -> tuple[str, ...]:
        return tuple("h" + hashlib.sha256(salt + name.encode()).hexdigest()[:12] for name in names)

    info = replace(trace.info, command=hashed([trace.info.command])[0], names=hashed(trace.info.names), hashed=True)
    return replace_info(trace, info)


def replace_info(trace: Trace, info: TraceInfo) -> Trace:
    """The same operations under other information."""
    return Trace(info, trace.task, trace.op, trace.after_us, trace.off_us, trace.arg)

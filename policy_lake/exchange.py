# SPDX-License-Identifier: Apache-2.0
"""Lakes moved between teams: a file of rows, or another lake's journal, taken into a lake that keeps what it has.

Same digest, same row. Two rows of one measurement with other digits must not happen, and nothing is taken then.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from policy_lake import rows
from policy_lake.errors import InputError, SchedcpError
from policy_lake.files import atomic_write, check_writable, read_outside
from policy_lake.journal import Journal, Line, digest, encode, read_data
from policy_lake.lake import Lake
from policy_lake.limits import EXCHANGE_BYTES, EXCHANGE_GROUP_BYTES, EXCHANGE_ROWS, LAKE_LINE_BYTES
from policy_lake.measurement import Measurement
from policy_lake.model import from_json
from policy_lake.records import KINDS, Entry, columns
from policy_lake.show import for_terminal, shortened
from policy_lake.upgrade import upgraded

VERSION = b"1"  # raised when a column, or what stands in one, changes
NAMED, FROM = b"schedcp.lake", b"schedcp.host"
COLUMNS = ("kind", "id", "sha256", "data")
GROUP = 1000  # rows, that are read and stored at a time
Key = tuple[str, str]  # kind and id
UNNAMED = "a host that it does not name"


class ConflictError(SchedcpError):
    """One run has other digits in two lakes, which its inputs cannot explain; the message names both hosts."""

    exit_status = 5
    code = "conflict"


@dataclass(slots=True)
class Taken:
    """What came of rows from outside: new ones, those that were here, those of an id that is another here and stays."""

    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Source:
    """Rows from outside: what they are from, who made them, and how they are read, as often as that is asked."""

    name: str
    host: str
    lines: Callable[[], Iterator[Line]]


def export_lake(lake: Lake, path: Path, *, host: str) -> Counter[str]:
    """Write every row into one Parquet file, in this version's words; rows by kind. Runs that go on stay out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_writable(path)
    counts, made = Counter[str](), io.BytesIO()
    schema = pa.schema([(name, pa.string()) for name in COLUMNS], metadata={NAMED: VERSION, FROM: host.encode()})
    with pq.ParquetWriter(made, schema, compression="zstd") as writer:
        for kind in KINDS:
            lines = (encode(record) for record in lake.all(kind) if getattr(record, "status", "") != "running")
            while group := list(islice(lines, GROUP)):
                ids = [columns(kind, line.data)["id"] for line in group]
                texts = ([kind] * len(group), ids, [line.sha256 for line in group], [line.text for line in group])
                writer.write_table(pa.table(list(texts), schema=schema))
                counts[kind] += len(group)
    atomic_write(path, made.getvalue(), durable=True)
    return counts


def file_source(path: Path) -> Source:
    """An exported file; InputError that names it where it is none of this version's, or beyond the limits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_outside(path, EXCHANGE_BYTES)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        described, metadata = file.schema_arrow, file.schema_arrow.metadata or {}
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: no lake's export: {for_terminal(shortened(error, 120))}") from None
    version = metadata.get(NAMED, b"")
    if version != VERSION:
        said = f"of version {for_terminal(version[:20].decode(errors='replace'))}" if version else "of no version"
        raise InputError(f"{path}: a lake's export {said}; this schedcp reads version {VERSION.decode()}")
    if [(column.name, column.type) for column in described] != [(name, pa.string()) for name in COLUMNS]:
        raise InputError(f"{path}: a lake's export has the columns {', '.join(COLUMNS)}, all texts")
    if file.metadata.num_rows > EXCHANGE_ROWS:
        raise InputError(f"{path}: {file.metadata.num_rows:,} rows, more than {EXCHANGE_ROWS:,}")
    if any(group.total_byte_size > EXCHANGE_GROUP_BYTES or group.num_rows > GROUP for group in groups):
        raise InputError(f"{path}: a group of more than {GROUP} rows or {EXCHANGE_GROUP_BYTES >> 20} MiB")
    host = metadata.get(FROM, b"")[:200].decode(errors="replace")
    return Source(str(path), host or UNNAMED, lambda: _rows_of(path, data))


def _rows_of(path: Path, data: bytes) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        for group in range(file.metadata.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                number += 1
                yield _checked_row(row)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError, SchedcpError) as error:
        why = for_terminal(shortened(" ".join(str(error).split()), 160))
        raise InputError(f"{path}: row {number}: {why}") from None


def _checked_row(row: dict[str, Any]) -> Line:
    kind, text = row["kind"], row["data"]
    if kind not in KINDS:
        raise ValueError(f"the unknown kind '{str(kind)[:40]}'")
    if not isinstance(text, str) or len(text) > LAKE_LINE_BYTES // 4:
        raise ValueError("no record, or one that is larger than a lake keeps")
    if digest(kind, text) != row["sha256"]:
        raise ValueError("its digest is not that of its record")
    line = _ours(Entry(kind, str(row["id"]), read_data(text)))
    if columns(kind, line.data)["id"] != row["id"]:
        raise ValueError("its id is not that of its record")
    return line


def _ours(entry: Entry) -> Line:
    """A record from outside as this version writes it; ValueError for a measurement that is not named by its inputs."""
    record = rows.to_record(entry)
    if isinstance(record, Measurement) and record.id != record.inputs.key:
        raise ValueError("a measurement's id is not the digest of its inputs")
    return encode(record)


def lake_source(directory: Path) -> Source:
    """Another lake's directory, which is only read; InputError where there is none."""
    journal = Journal(directory / "journal.jsonl")
    if not journal.size():
        raise InputError(f"{directory}: no lake is there (journal.jsonl is missing or empty)")
    if journal.size() > EXCHANGE_BYTES:
        raise InputError(f"{journal.path}: larger than {EXCHANGE_BYTES >> 20} MiB")
    return Source(str(directory), f"{UNNAMED} (the lake in {directory})", lambda: _latest(journal))


def _latest(journal: Journal) -> Iterator[Line]:
    """Of lines with one id the last, as they are known in that lake."""
    ends: dict[tuple[str, str], int] = {}
    try:
        for line in journal.read():
            ends[line.kind, columns(line.kind, line.data)["id"]] = line.end
            if len(ends) > EXCHANGE_ROWS:
                raise InputError(f"{journal.path}: more than {EXCHANGE_ROWS:,} rows")
        for line in journal.read():
            if ends.get((line.kind, columns(line.kind, line.data)["id"])) == line.end:
                yield _ours(Entry(line.kind, "", upgraded(line.kind, line.data)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{journal.path}: {for_terminal(shortened(error, 160))}") from None


def take(lake: Lake, source: Source, *, host: str) -> Taken:
    """Take the rows that are not here; nothing that is here is overwritten, and of a source with a conflict no row.

    `host` is what this one is called. ConflictError for a run with other digits than it has here.
    """
    for known, group in _groups(lake, source):
        for (kind, id), line in group.items():
            if kind == "measurements" and known.get((kind, id), line.sha256) != line.sha256:
                _require_equal(lake, from_json(Measurement, line.data), source, host)
    taken = Taken()
    for known, group in _groups(lake, source):
        fresh = [line for key, line in group.items() if key not in known]
        met = set(lake.add(fresh))  # another process may have put one meanwhile
        for key, line in group.items():
            if key in met and key[0] == "measurements":
                _require_equal(lake, from_json(Measurement, line.data), source, host)
            if key in met or key in known:
                same = key[0] == "measurements" or known.get(key) == line.sha256
                (taken.known if same else taken.kept)[key[0]] += 1
            else:
                taken.new[key[0]] += 1
    return taken


def _groups(lake: Lake, source: Source) -> Iterator[tuple[dict[Key, str], dict[Key, Line]]]:
    """Lines by kind and id, some at a time, with the digests of those that are here."""
    lines = source.lines()
    while some := list(islice(lines, GROUP)):
        group = {(line.kind, columns(line.kind, line.data)["id"]): line for line in some}
        known = {
            (kind, id): sha256
            for kind in {kind for kind, _ in group}
            for id, sha256 in lake.known(kind, [id for of, id in group if of == kind]).items()
        }
        yield known, group


def _require_equal(lake: Lake, theirs: Measurement, source: Source, host: str) -> None:
    ours = lake.measurements([theirs.id])[theirs.id]
    if ours != theirs:  # who computed it is not compared
        raise ConflictError(
            f"run {theirs.id} of {for_terminal(theirs.workload)} has other digits on {for_terminal(ours.host or host)} "
            f"than on {for_terminal(theirs.host or source.host)} ({for_terminal(source.name)}), from the same inputs: "
            "one of the two cannot be trusted; nothing was taken"
        )

# SPDX-License-Identifier: Apache-2.0
"""Journal lines as Arrow rows and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from policy_lake.journal import Line, digest, read_data
from policy_lake.model import from_json
from policy_lake.records import KINDS, Entry, LakeError, columns, search_text
from policy_lake.show import for_terminal
from policy_lake.upgrade import upgraded

if TYPE_CHECKING:
    import pyarrow as pa

# `seq` is the byte offset of the record's line in the journal: the order in which records came.
PLAIN = ("id", "seq", "kind", "sha256", "data")


def schema(kind: str, dimensions: int) -> pa.Schema:
    """The columns of a kind's table. Only policies are searched by meaning and by words."""
    import pyarrow as pa

    # The primary key has to be non-null in the source too, or LanceDB refuses the merge.
    fields = [pa.field("id", pa.string(), nullable=False), pa.field("seq", pa.int64())]
    fields += [pa.field(name, pa.string()) for name in ("kind", "sha256", "data")]
    fields += [pa.field(name, pa.string()) for name in ("run_id", "workload", "policy", "candidate")]
    if kind == "policies":
        fields += [
            pa.field("workloads", pa.list_(pa.string())),
            pa.field("text", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dimensions)),
        ]
    return pa.schema(fields)


def to_rows(lines: Sequence[Line], embed: Callable[[list[str]], Any], dimensions: int) -> dict[str, pa.Table]:
    """One Arrow table per kind in `lines`, of lines with one id the last; `embed` is asked for policies only."""
    import pyarrow as pa

    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        row = _row(line)
        rows.setdefault(line.kind, {})[row["id"]] = row
    if policies := list(rows.get("policies", {}).values()):
        for row, vector in zip(policies, embed([row["text"] for row in policies]), strict=True):
            row["vector"] = vector
    return {
        kind: pa.Table.from_pylist(list(by_id.values()), schema=schema(kind, dimensions))
        for kind, by_id in rows.items()
    }


def _row(line: Line) -> dict[str, Any]:
    """LakeError for a line that has its checksum, and yet is none that this program writes."""
    try:
        data = line.data
        row: dict[str, Any] = {"seq": line.end, "kind": line.kind, "sha256": line.sha256, "data": line.text}
        row |= columns(line.kind, data)
        if line.kind == "policies":
            row |= {"workloads": list(data["workloads"]), "text": search_text(data)}
        for name, value in row.items():
            texts = value if name == "workloads" else [value] if name != "seq" else []
            if not all(isinstance(text, str) and text.encode() is not None for text in texts):
                raise ValueError(f"{name} is no text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        where = f"the journal's line that ends at byte {line.end}"
        raise LakeError(f"{where}: no record of {line.kind}: {for_terminal(error)[:120]}") from error
    return row


def to_entry(row: dict[str, Any]) -> Entry:
    """A row's record as data, in this version's words; ValueError if the row is not what was written."""
    kind, text = row["kind"], row["data"]
    if kind is None or text is None or digest(kind, text) != row["sha256"]:
        raise ValueError(f"row {row['id']!r} does not match its checksum")
    try:
        return Entry(kind, row["id"], upgraded(kind, read_data(text)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"row {row['id']!r} holds no record of {kind}") from error


def to_record(entry: Entry) -> Any:
    """The record of an entry; LakeError if this version's record has other fields."""
    try:
        return from_json(KINDS[entry.kind], entry.data)
    except (ValueError, TypeError, RecursionError) as error:
        why = for_terminal(" ".join(str(error)[:2000].split())[:200])
        raise LakeError(f"{entry.kind} {entry.id!r:.100} was written by another version of schedcp: {why}") from error

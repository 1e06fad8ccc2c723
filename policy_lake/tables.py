# SPDX-License-Identifier: Apache-2.0
"""The lake's tables in LanceDB. The only module that imports lancedb, and only when used."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from policy_lake import rows
from policy_lake.errors import InfraError, InputError, SchedcpError, cannot_be_loaded
from policy_lake.process_limits import LAKE, shortage
from policy_lake.records import KINDS, Entry, LakeError
from policy_lake.show import is_utf8
from policy_lake.state import State

if TYPE_CHECKING:
    import pyarrow as pa

# LanceDB would print warnings of its own beside our one line; it reads this when any part of it is first imported.
os.environ.setdefault("LANCEDB_LOG", "error")
SearchBy = Literal["both", "meaning", "words"]
RRF_K = 60  # the constant of reciprocal rank fusion: Cormack, Clarke, Buettcher, SIGIR 2009
RANK_DEPTH = 50  # policies that each half of a search ranks: with few, a policy good in both could miss out
OPTIMIZE_EVERY = 64  # versions: every write makes one, and one more file for every read to open


class LanceTables:
    """One generation of LanceDB tables; a table is opened when first used."""

    def __init__(self, path: Path, state: State) -> None:
        self.path = path
        self.generation = state.generation
        self._rows = state.rows
        self._tables: dict[str, Any] = {}

    @classmethod
    def create(cls, path: Path, state: State) -> LanceTables:
        """A new generation of empty tables."""
        tables = cls(path, state)
        database = tables._connect()
        for kind in KINDS:
            with tables._sound(kind):
                table = database.create_table(kind, schema=rows.schema(kind, state.dimensions))
                # Without it LanceDB lets two writers that meet both insert a new id.
                table.set_unenforced_primary_key("id")
                tables._tables[kind] = table
        return tables

    def merge(self, batch: dict[str, pa.Table]) -> dict[str, int]:
        """See Tables."""
        counts = {}
        for kind, data in batch.items():
            with self._sound(kind):
                table = self._table(kind)
                upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
                if upsert.execute(data).version % OPTIMIZE_EVERY == 0:
                    table.optimize(cleanup_older_than=timedelta(hours=1))
                counts[kind] = table.count_rows()
        return counts

    def index(self) -> None:
        """See Tables."""
        with self._sound("policies"):
            table = self._table("policies")
            from lancedb.index import FTS

            table.create_index("text", config=FTS())

    def known(self, kind: str, ids: Sequence[str]) -> dict[str, str]:
        """See Tables."""
        where = f"id IN ({', '.join(quoted(id_) for id_ in ids)})"
        with self._sound(kind):
            stored = self._table(kind).search().select(["id", "sha256"]).where(where).to_list()
        return {row["id"]: row["sha256"] for row in stored}

    def count(self, kind: str) -> int:
        """The number of rows of a table."""
        with self._sound(kind):
            return int(self._table(kind).count_rows())

    def entries(self, kind: str, where: str) -> list[Entry]:
        """The records of a table that meet an SQL condition ("" for all), in the order they came."""
        with self._sound(kind):
            query = self._table(kind).search().select(list(rows.PLAIN))
            matching = (query.where(where) if where else query).to_list()
            return [rows.to_entry(row) for row in sorted(matching, key=lambda row: int(row["seq"]))]

    def ids(self, kind: str) -> list[str]:
        """The ids of all rows of a table, in the order they came."""
        with self._sound(kind):
            found = self._table(kind).search().select(["id", "seq"]).to_arrow()
            return list(found.sort_by("seq").column("id").to_pylist())

    def search(
        self, vector: Any, text: str, *, where: str, limit: int, by: SearchBy = "both"
    ) -> list[tuple[Entry, float]]:
        """Policies by vector, by words or by both, with the sums of their reciprocal ranks."""
        with self._sound("policies"):
            table = self._table("policies")
            if by != "both":
                one = table.search(vector) if by == "meaning" else table.search(text, query_type="fts")
                found = (one.where(where) if where else one).limit(limit).to_list()
                return [(rows.to_entry(row), 1 / (RRF_K + place)) for place, row in enumerate(found, 1)]
            from lancedb.rerankers import RRFReranker

            query = table.search(query_type="hybrid").vector(vector).text(text)
            query = query.where(where) if where else query
            ranked = query.rerank(RRFReranker(K=RRF_K)).limit(max(limit, RANK_DEPTH)).to_list()
            return [(rows.to_entry(row), row["_relevance_score"]) for row in ranked[:limit]]

    def _connect(self) -> Any:
        if short := shortage(LAKE):  # what cannot get it aborts the process, deep in LanceDB, or passes for damage
            raise InfraError(f"the lake in {self.path}: {short}")
        import lancedb

        # The default would go on reading the version that was current when the table was opened.
        return lancedb.connect(self.path / self.generation, read_consistency_interval=timedelta(0))

    def _table(self, kind: str) -> Any:
        if kind not in self._tables:
            table = self._connect().open_table(kind)
            # A lost newest manifest would pass for an older version of the table.
            if (rows_now := table.count_rows()) < self._rows.get(kind, 0):
                raise ValueError(f"{rows_now} rows instead of {self._rows[kind]}")
            self._tables[kind] = table
        return self._tables[kind]

    @contextmanager
    def _sound(self, kind: str) -> Iterator[None]:
        """Tells damage (LakeError) from a machine out of something (InfraError); LanceDB's own errors tell neither."""
        try:
            yield
        except (SchedcpError, TimeoutError, MemoryError):
            raise
        except ImportError as error:
            raise cannot_be_loaded(error) from error
        except BaseException as error:
            # A panic in LanceDB's Rust is no Exception; Ctrl-C and a task's cancellation are none either.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            number = re.search(r"os error (\d+)", str(error))
            code = error.errno if isinstance(error, OSError) else int(number[1]) if number else None
            if code not in (None, errno.ENOENT, errno.EIO, errno.EINVAL):
                raise InfraError(f"the lake in {self.path}: {os.strerror(code or 0)}") from error
            why = " ".join(str(error).split(", /")[0].split())[:200]
            raise LakeError(
                f"table {kind} of the lake in {self.path} is damaged ({why}); "
                "`schedcp lake rebuild` makes it anew from the journal"
            ) from error


def quoted(text: str) -> str:
    """A string in SQL; InputError for one that none of a lake's can equal."""
    if not is_utf8(text):
        raise InputError(f"'{text[:80]}': not UTF-8")
    return "'" + text.replace("'", "''") + "'"


def has(column: str, text: str) -> str:
    """The SQL condition that a column of lists has this string."""
    return f"array_has({column}, {quoted(text)})"

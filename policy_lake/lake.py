# SPDX-License-Identifier: Apache-2.0
"""The policy lake: what may be put, asked and searched. The only module that imports lancedb, and only when used."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_lake import rows
from policy_lake.address_space import AMPLE, LEAST, too_little
from policy_lake.embed import Embedder
from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.journal import encode
from policy_lake.limits import FOUND
from policy_lake.measurement import Measurement
from policy_lake.model import Candidate, Lesson, Policy, WorkloadProfile
from policy_lake.ranking import best
from policy_lake.records import KINDS, Entry, LakeError, RankedPolicy, Record, Regression, Rejected, Run
from policy_lake.scores import Score
from policy_lake.state import State
from policy_lake.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

# LanceDB would print warnings of its own beside our one line; it reads this when any part of it is first imported.
os.environ.setdefault("LANCEDB_LOG", "error")
RRF_K = 60  # the constant of reciprocal rank fusion: Cormack, Clarke, Buettcher, SIGIR 2009
RANK_DEPTH = 50  # policies that each half of a search ranks: with few, a policy good in both could miss out
OPTIMIZE_EVERY = 64  # versions: every write makes one, and one more file for every read to open


class Lake:
    """A lake in a local directory, made on the first write; cheap to construct, LanceDB is loaded on first use.

    Safe to share between processes and threads: writers take turns, and reads see all that was acknowledged. Methods
    raise LakeError for damaged files (`schedcp lake rebuild` mends tables) and InfraError for a full disk.
    """

    def __init__(self, path: Path, *, embedder: Embedder | None = None) -> None:
        self.path = Path(path)
        self._opened: LanceTables | None = None
        self._store = Store(self.path, self._open, create_tables=LanceTables.create, embedder=embedder)

    def put(self, *records: Record) -> None:
        """Stores records in one batch; one that is there already costs nothing, one with a known id replaces it.

        Once this returns the records survive a crash. InputError for what is no record, with nothing stored.
        """
        self._store.put([encode(record) for record in records])

    def rebuild(self) -> dict[str, int]:
        """Makes the tables anew from the journal, embedding anew, and returns the rows per table.

        The new tables take over in one step; the previous ones stay aside until the next rebuild.
        """
        return self._store.rebuild()

    def search_policies(
        self, text: str, limit: int = FOUND.preset, *, workload: str | None = None
    ) -> list[RankedPolicy]:
        """The policies nearest to `text` by meaning and by words, best first; InputError if `text` is blank.

        With `workload`, only policies that name it or name none. Fused by reciprocal rank, scaled to a best of 1.
        """
        if not text.strip():
            raise InputError("the text to search for is empty")
        FOUND.check(limit)
        state = self._store.state()
        if state is None:
            return []
        vector = self._store.embed(state, [text])[0]
        named = "" if workload is None else f"coalesce(array_length(workloads), 0) = 0 OR {_has('workloads', workload)}"
        ranked = self._open(self.path, state).search(vector, text, where=named, limit=limit)
        most = 2 / (RRF_K + 1)
        return [RankedPolicy(rows.to_record(entry), round(score / most, 4)) for entry, score in ranked]

    def get(self, id: str) -> list[Entry]:
        """All that has this id, over all tables; for a candidate's id also its scores and rejections."""
        where = f"id = {_quoted(id)} OR candidate = {_quoted(id)}"
        return [entry for kind in KINDS for entry in self._entries(kind, where)]

    def policies(self) -> list[Policy]:
        """All policies, in the order they came."""
        return self._records("policies")

    def profiles(self, workload: str | None = None) -> list[WorkloadProfile]:
        """Workload profiles, in the order they came."""
        return self._records("profiles", workload=workload)

    def candidates(self, run: str | None = None) -> list[Candidate]:
        """Candidates, in the order they came."""
        return self._records("candidates", run_id=run)

    def scores(self, workload: str | None = None, run: str | None = None, *, policy: str | None = None) -> list[Score]:
        """Scores, in the order they came."""
        return self._records("scores", workload=workload, run_id=run, policy=policy)

    def rejections(self, workload: str | None = None, run: str | None = None) -> list[Rejected]:
        """Rejections with their candidates, in the order they came."""
        return self._records("rejections", workload=workload, run_id=run)

    def regressions(self, policy: str) -> list[Regression]:
        """The situations that policies of that name were seen to fail in, oldest first."""
        return self._records("regressions", policy=policy)

    def lessons(self, workload: str | None = None) -> list[Lesson]:
        """Lessons, in the order they came."""
        return self._records("lessons", workload=workload)

    def runs(self, workload: str | None = None) -> list[Run]:
        """Runs, the latest first."""
        return sorted(self._records("runs", workload=workload), key=lambda run: str(run.started), reverse=True)

    def measurements(self, ids: Sequence[str]) -> dict[str, Measurement]:
        """Those of these measurements that are there, by id."""
        if not ids:
            return {}
        where = f"id IN ({', '.join(_quoted(id) for id in ids)})"
        return {entry.id: rows.to_record(entry) for entry in self._entries("measurements", where)}

    def best(self, workload: str, *, cpus: int | None = None) -> Score | None:
        """The best score of a workload if it is a win: the policy and settings to promote."""
        leader = best(score for score in self.scores(workload) if cpus in (None, score.cpus))
        return leader if leader is not None and leader.outcome == "win" else None

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        state = self._store.state()
        tables = None if state is None else self._open(self.path, state)
        return {kind: 0 if tables is None else tables.count(kind) for kind in KINDS}

    def _records(self, kind: str, **equal: str | None) -> list[Any]:
        where = " AND ".join(f"{name} = {_quoted(value)}" for name, value in equal.items() if value is not None)
        return [rows.to_record(entry) for entry in self._entries(kind, where)]

    def _entries(self, kind: str, where: str) -> list[Entry]:
        state = self._store.state()
        return [] if state is None else self._open(self.path, state).entries(kind, where)

    def _open(self, path: Path, state: State) -> LanceTables:
        opened = self._opened
        if opened is None or opened.generation != state.generation:
            opened = self._opened = LanceTables(path, state)
        return opened


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
        from lancedb.index import FTS

        with self._sound("policies"):
            self._table("policies").create_index("text", config=FTS())

    def known(self, kind: str, ids: Sequence[str]) -> dict[str, str]:
        """See Tables."""
        where = f"id IN ({', '.join(_quoted(id_) for id_ in ids)})"
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

    def search(self, vector: Any, text: str, *, where: str, limit: int) -> list[tuple[Entry, float]]:
        """Policies by vector and by words, with the sums of their reciprocal ranks."""
        from lancedb.rerankers import RRFReranker

        with self._sound("policies"):
            query = self._table("policies").search(query_type="hybrid").vector(vector).text(text)
            query = query.where(where) if where else query
            ranked = query.rerank(RRFReranker(K=RRF_K)).limit(max(limit, RANK_DEPTH)).to_list()
            return [(rows.to_entry(row), row["_relevance_score"]) for row in ranked[:limit]]

    def _connect(self) -> Any:
        if short := too_little(LEAST):  # what cannot get it aborts the process, deep in LanceDB
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
        except BaseException as error:
            # A panic in LanceDB's Rust is no Exception; Ctrl-C and a task's cancellation are none either.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            number = re.search(r"os error (\d+)", str(error))
            code = error.errno if isinstance(error, OSError) else int(number[1]) if number else None
            if code not in (None, errno.ENOENT, errno.EIO, errno.EINVAL):
                raise InfraError(f"the lake in {self.path}: {os.strerror(code or 0)}") from error
            if short := too_little(AMPLE):  # nothing tells damage from a mapping that was refused
                raise InfraError(f"the lake in {self.path} cannot be read: {short}") from error
            why = " ".join(str(error).split(", /")[0].split())[:200]
            raise LakeError(
                f"table {kind} of the lake in {self.path} is damaged ({why}); "
                "`schedcp lake rebuild` makes it anew from the journal"
            ) from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _has(column: str, text: str) -> str:
    return f"array_has({column}, {_quoted(text)})"

# SPDX-License-Identifier: Apache-2.0
"""The policy lake: what may be put, asked and searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from policy_lake import rows
from policy_lake.calls import ModelCall
from policy_lake.embed import Embedder
from policy_lake.errors import InputError
from policy_lake.journal import Line, encode
from policy_lake.limits import FOUND
from policy_lake.measurement import Measurement
from policy_lake.model import Candidate, Lesson, Policy
from policy_lake.profile import WorkloadProfile
from policy_lake.ranking import best
from policy_lake.records import KINDS, Entry, RankedPolicy, Record, Regression, Rejected, Rollout, Run
from policy_lake.scores import Score
from policy_lake.show import is_utf8
from policy_lake.state import State
from policy_lake.store import CHUNK, Store
from policy_lake.tables import RRF_K, LanceTables, SearchBy, has, quoted


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
        self, text: str, limit: int = FOUND.preset, *, workload: str | None = None, by: SearchBy = "both"
    ) -> list[RankedPolicy]:
        """The policies nearest to `text` by meaning and by words, best first; InputError if `text` is blank.

        With `workload`, only policies that name it or name none. Fused by reciprocal rank, scaled to a best of 1. `by`
        takes one half of the search alone, as a bench does; by words only policies that share one are found.
        """
        if not text.strip():
            raise InputError("the text to search for is empty")
        if not is_utf8(text):
            raise InputError("the text to search for is not UTF-8")
        FOUND.check(limit)
        state = self._store.state()
        if state is None:
            return []
        vector = self._store.embed(state, [text])[0]
        named = "" if workload is None else f"coalesce(array_length(workloads), 0) = 0 OR {has('workloads', workload)}"
        ranked = self._open(self.path, state).search(vector, text, where=named, limit=limit, by=by)
        most = (2 if by == "both" else 1) / (RRF_K + 1)
        return [RankedPolicy(rows.to_record(entry), round(score / most, 4)) for entry, score in ranked]

    def get(self, id: str) -> list[Entry]:
        """All that has this id, over all tables; for a candidate's id also its scores and rejections."""
        if not id:
            return []  # it would be that of every record that names no candidate
        where = f"id = {quoted(id)} OR candidate = {quoted(id)}"
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

    def regressions(self, policy: str | None = None) -> list[Regression]:
        """The situations that policies (of that name) were seen to fail in, oldest first."""
        return self._records("regressions", policy=policy)

    def rollouts(self, policy: str | None = None) -> list[Rollout]:
        """Rollouts (of a policy of that name), in the order they came."""
        return self._records("rollouts", policy=policy)

    def calls(self, run: str | None = None) -> list[ModelCall]:
        """Calls to a model, in the order they came."""
        return self._records("calls", run_id=run)

    def lessons(self, workload: str | None = None) -> list[Lesson]:
        """Lessons, in the order they came."""
        return self._records("lessons", workload=workload)

    def runs(self, workload: str | None = None) -> list[Run]:
        """Runs, the latest first."""
        return sorted(self._records("runs", workload=workload), key=lambda run: str(run.started), reverse=True)

    def measurements(self, ids: Sequence[str]) -> dict[str, Measurement]:
        """Those of these measurements that are there, by id."""
        return {record.id: record for record in self.having("measurements", "id", ids)}

    def known(self, kind: str, ids: Sequence[str]) -> dict[str, str]:
        """The digests of the records of this kind that are there under these ids; they are not read."""
        state = self._store.state()
        return {} if state is None or not ids else self._open(self.path, state).known(kind, ids)

    def all(self, kind: str) -> list[Any]:
        """Every record of a kind, in the order they came."""
        return self._records(kind)

    def add(self, lines: Sequence[Line]) -> list[tuple[str, str]]:
        """Stores lines of ids that are not there; the kinds and ids of the others, of which nothing is replaced."""
        return self._store.add(lines)

    def best(self, workload: str, *, cpus: int | None = None) -> Score | None:
        """The best score of a workload if it is a win: the policy and settings to promote."""
        leader = best(score for score in self.scores(workload) if cpus in (None, score.cpus))
        return leader if leader is not None and leader.outcome == "win" else None

    def scan(self, kind: str, *, most: int = CHUNK) -> Iterator[Any]:
        """All records of a kind, those that came last first, at most `most` of them in memory at a time.

        What comes meanwhile is not seen.
        """
        state = self._store.state()
        if state is None:
            return
        ids = self._open(self.path, state).ids(kind)[::-1]
        for at in range(0, len(ids), most):
            yield from reversed(self.having(kind, "id", ids[at : at + most]))

    def having(self, kind: str, column: Literal["id", "run_id", "candidate"], values: Sequence[str]) -> list[Any]:
        """The records of a kind in whose rows the column has one of these values, in the order they came."""
        if not values:
            return []
        where = f"{column} IN ({', '.join(map(quoted, values))})"
        return [rows.to_record(entry) for entry in self._entries(kind, where)]

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        state = self._store.state()
        tables = None if state is None else self._open(self.path, state)
        return {kind: 0 if tables is None else tables.count(kind) for kind in KINDS}

    def _records(self, kind: str, **equal: str | None) -> list[Any]:
        where = " AND ".join(f"{name} = {quoted(value)}" for name, value in equal.items() if value is not None)
        return [rows.to_record(entry) for entry in self._entries(kind, where)]

    def _entries(self, kind: str, where: str) -> list[Entry]:
        state = self._store.state()
        return [] if state is None else self._open(self.path, state).entries(kind, where)

    def _open(self, path: Path, state: State) -> LanceTables:
        opened = self._opened
        if opened is None or opened.generation != state.generation:
            opened = self._opened = LanceTables(path, state)
        return opened

# SPDX-License-Identifier: Apache-2.0
"""Journal and tables kept together: every write goes to the journal first, and tables that lag are caught up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from policy_lake import rows
from policy_lake.doing import doing
from policy_lake.embed import Embedder, embedder
from policy_lake.errors import InfraError
from policy_lake.files import fsync_directory, locked
from policy_lake.journal import Journal, Line
from policy_lake.records import KINDS, LakeError, columns
from policy_lake.show import logger
from policy_lake.state import State, boot_id

if TYPE_CHECKING:
    import pyarrow as pa

log = logger(__name__)

CHUNK = 500  # lines replayed at a time


def _usable(state: State) -> bool:
    return state.boot == boot_id() and state.kinds == list(KINDS)


class Tables(Protocol):
    """One generation of tables. All methods raise LakeError for damage, InfraError for a disk that is full."""

    def merge(self, batch: dict[str, pa.Table]) -> dict[str, int]:
        """Upserts rows by id, and returns the row counts of the tables it touched."""

    def known(self, kind: str, ids: Sequence[str]) -> dict[str, str]:
        """The checksums of those of these ids that are there."""

    def index(self) -> None:
        """Indexes the words of the policies."""


class Store:
    """The files of a lake: journal.jsonl (the truth), tables-*/ (made from it), tables.json (their State), lock."""

    def __init__(
        self,
        path: Path,
        open_tables: Callable[[Path, State], Tables],
        *,
        create_tables: Callable[[Path, State], Tables],
        embedder: Embedder | None,
    ) -> None:
        self.path = path
        self.journal = Journal(path / "journal.jsonl")
        self._open_tables = open_tables
        self._create_tables = create_tables
        self._embedder = embedder
        self._state_file = path / "tables.json"

    def put(self, lines: Sequence[Line]) -> None:
        """Stores lines whose records are not there yet; a record with a known id replaces the old one."""
        with self._writing():
            try:
                state = self._catch_up()
                tables = self._open_tables(self.path, state)
                lines = self._news(tables, lines)
                batch = rows.to_rows(lines, partial(self.embed, state), state.dimensions)
            except LakeError:
                self.journal.append(lines)  # damaged tables must not cost the caller a record
                raise
            if lines:
                self.journal.append(lines)
                self._merge(tables, state, batch, end=lines[-1].end)

    def add(self, lines: Sequence[Line]) -> list[tuple[str, str]]:
        """Stores lines of ids that are not there yet; the others' kinds and ids, of which nothing is replaced."""
        with self._writing():
            state = self._catch_up()
            tables = self._open_tables(self.path, state)
            known = self._known(tables, lines)
            there = [key for line in lines if (key := _key(line)) in known]
            news = self._news(tables, [line for line in lines if _key(line) not in known])
            batch = rows.to_rows(news, partial(self.embed, state), state.dimensions)
            if news:
                self.journal.append(news)
                self._merge(tables, state, batch, end=news[-1].end)
        return there

    def rebuild(self) -> dict[str, int]:
        """Makes new tables from the journal, which take over in one step; returns their row counts."""
        with self._writing():
            self._mend_journal()
            return dict(self._build().rows)

    def state(self) -> State | None:
        """The state of tables that hold all that was acknowledged; None for a lake that nothing was put into."""
        state = State.load(self._state_file)
        size = self.journal.size()
        if state is None and not size:
            return None
        usable = state is not None and _usable(state)
        if usable and state is not None and state.offset == size:
            return state
        try:
            with self._writing():
                return self._catch_up()
        except InfraError as error:
            if not usable:
                raise
            # What is missing was never acknowledged (its writer died, or the disk is full): reading may go on.
            log.warning("reading the lake without its last lines: %s", error)
            return state

    def embed(self, state: State, texts: Sequence[str]) -> Any:
        """The texts' vectors; LakeError if the lake was embedded by another embedder than the configured one."""
        tool = self._tool()
        if tool.name != state.embedder:
            raise LakeError(
                f"the lake in {self.path} was embedded by {state.embedder}, not {tool.name}: "
                "`schedcp lake rebuild` embeds it anew"
            )
        vectors = tool.embed(texts)
        if vectors.shape != (len(texts), state.dimensions):
            raise LakeError(
                f"{tool.name} gives {vectors.shape[-1]} numbers a text, the lake in {self.path} has "
                f"{state.dimensions}: `schedcp lake rebuild` embeds it anew"
            )
        return vectors

    def _tool(self) -> Embedder:
        if self._embedder is None:
            self._embedder = embedder()
        return self._embedder

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True)
                fsync_directory(self.path.parent)
            with locked(self.path / "lock"):
                yield
        except OSError as error:
            raise InfraError(f"the lake in {self.path}: {error.strerror or error}") from error

    def _news(self, tables: Tables, lines: Sequence[Line]) -> list[Line]:
        """The lines that say something new, placed after the journal's end."""
        latest = {_key(line): line for line in lines}
        known = self._known(tables, list(latest.values()))
        end = self.journal.size()
        news = []
        for key, line in latest.items():
            if known.get(key) != line.sha256:
                end += len(line.raw)
                news.append(replace(line, end=end))
        return news

    def _known(self, tables: Tables, lines: Sequence[Line]) -> dict[tuple[str, str], str]:
        """The checksums of what is there under the ids of these lines."""
        keys = [_key(line) for line in lines]
        return {
            (kind, id_): sha256
            for kind in {kind for kind, _ in keys}
            for id_, sha256 in tables.known(kind, [i for k, i in keys if k == kind]).items()
        }

    def _catch_up(self) -> State:
        self._mend_journal()
        state = State.load(self._state_file)
        size = self.journal.size()
        if state is not None and state.offset > size:
            raise LakeError(
                f"{self.journal.path} is {state.offset - size} bytes shorter than its tables: restore it from a copy, "
                "or `schedcp lake rebuild` goes on with what it holds"
            )
        if state is None or not _usable(state):
            return self._build()
        if state.offset == size:
            return state
        return self._replay(self._open_tables(self.path, state), state)

    def _mend_journal(self) -> None:
        if mended := self.journal.mend():
            log.warning("%s", mended)

    def _build(self) -> State:
        tool = self._tool()
        previous = State.load(self._state_file)
        state = State(f"tables-{time.time_ns():x}", 0, boot_id(), tool.name, tool.dimensions, kinds=list(KINDS))
        try:
            tables = self._create_tables(self.path, state)
            state = self._replay(tables, state, store=False)
            tables.index()
            state.store(self._state_file)
        except BaseException:
            shutil.rmtree(self.path / state.generation, ignore_errors=True)
            raise
        # The previous tables stay until the next time: another process may be reading them.
        kept = {state.generation, previous.generation if previous else ""}
        for old in self.path.glob("tables-*"):
            if old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)
        return state

    def _replay(self, tables: Tables, state: State, *, store: bool = True) -> State:
        lines = self.journal.read(state.offset)
        size = max(1, self.journal.size())
        while chunk := list(islice(lines, CHUNK)):
            doing("lake: making its tables from the journal, %d %% of it read", 100 * state.offset // size)
            batch = rows.to_rows(chunk, partial(self.embed, state), state.dimensions)
            state = self._merge(tables, state, batch, end=chunk[-1].end, store=store)
        return state

    def _merge(
        self, tables: Tables, state: State, batch: dict[str, pa.Table], *, end: int, store: bool = True
    ) -> State:
        state = replace(state, offset=end, rows={**state.rows, **tables.merge(batch)})
        if store:
            state.store(self._state_file)
        return state


def _key(line: Line) -> tuple[str, str]:
    return line.kind, columns(line.kind, line.data)["id"]

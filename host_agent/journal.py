# SPDX-License-Identifier: Apache-2.0
"""Actions as plain data, in a journal that is on the disk before each effect; undone in reverse.

A line says that an action begins, was done (with what it came to), or was undone. Whatever has begun and was not undone
may have had its effect, so that undoing must bear to be done twice, and of what never happened.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from host_agent.chain import Chain, Head, head_of, read_chain
from policy_lake.errors import InfraError
from policy_lake.files import atomic_write

Kind = Literal["take_over", "attach", "switch_tasks"]
COMPACT_BYTES = 1 << 20  # beyond, and with nothing open, the journal starts anew


@dataclass(frozen=True, slots=True)
class Action:
    """One change of the host: its kind, what it is given, and, once it was done, what it came to. `id` is its line."""

    kind: Kind
    given: dict[str, Any]
    came_to: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    done: bool = False


class Doer(Protocol):
    """What takes back one kind of action."""

    async def undo(self, action: Action) -> None:
        """Takes the effect back, if there is any; twice is as good as once."""


class Journal:
    """The journal of one host. ChainError when its file does not hold; InfraError when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines, size = read_chain(path)
        self._chain = Chain(path, head_of(lines), size)
        self._lock = threading.RLock()  # written from threads, so that a slow disk keeps no lease from being renewed
        self._late: list[dict[str, Any]] = []  # what is true already and could not be written
        self._open: dict[int, Action] = {}
        self.audit_head = Head()
        for line in lines:
            self._apply(line.seq, line.data)

    @property
    def open(self) -> tuple[Action, ...]:
        """The actions that have begun and were not undone, in their order."""
        return tuple(self._open.values())

    @property
    def healthy(self) -> bool:
        """Whether all that was done is written down."""
        return not self._late

    def begin(self, kind: Kind, given: dict[str, Any]) -> int:
        """The action's id, once it is on the disk; on InfraError the effect must not be."""
        with self._lock:
            self.catch_up()
            return self._write({"what": "begin", "kind": kind, "given": given})

    def done(self, id_: int, came_to: dict[str, Any]) -> None:
        """What the action came to."""
        self._write({"what": "done", "id": id_, "came_to": came_to})

    def note_audit(self, head: Head) -> None:
        """Where the audit log stands, so that one cut short shows."""
        with self._lock:
            self.catch_up()
            self._write({"what": "audit", "seq": head.seq, "sha256": head.sha256})

    def undone(self, id_: int) -> None:
        """The action was taken back. On InfraError it counts as undone all the same, and is written later."""
        data = {"what": "undone", "id": id_}
        with self._lock:
            try:
                self.catch_up()
                self._write(data)
            except InfraError:
                self._late.append(data)
                self._open.pop(id_, None)
                raise

    def catch_up(self) -> None:
        """Writes what could not be written before; InfraError if it still cannot."""
        with self._lock:
            while self._late:
                self._write(self._late[0])
                self._late.pop(0)

    def compact(self) -> None:
        """Starts anew with where the audit log stands, if the journal is long and nothing is open."""
        with self._lock:
            if self._open or self._late or self._chain.size < COMPACT_BYTES:
                return
            head = self.audit_head
            atomic_write(self.path, b"", durable=True, mode=0o600)
            self._chain = Chain(self.path, Head(), 0)
            self.note_audit(head)

    def _write(self, data: dict[str, Any]) -> int:
        with self._lock:
            seq = self._chain.append(data).seq
            self._apply(seq, data)
            return seq

    def _apply(self, seq: int, data: dict[str, Any]) -> None:
        match data:
            case {"what": "begin", "kind": kind, "given": given}:
                self._open[seq] = Action(kind, given, id=seq)
            case {"what": "done", "id": id_, "came_to": came_to} if id_ in self._open:
                begun = self._open[id_]
                self._open[id_] = Action(begun.kind, begun.given, came_to, id_, done=True)
            case {"what": "undone", "id": id_}:
                self._open.pop(id_, None)
            case {"what": "audit", "seq": at, "sha256": sha256}:
                self.audit_head = Head(at, sha256)
            case _:
                pass


async def undo_all(journal: Journal, doers: Mapping[str, Doer]) -> list[str]:
    """Undoes every open action, the last first; what went wrong on the way, in lines. Each is tried, whatever befalls.

    An action whose undoing failed stays open, for the next attempt.
    """
    wrong: list[str] = []
    for action in reversed(journal.open):
        try:
            await doers[action.kind].undo(action)
        except (OSError, InfraError, KeyError) as error:
            wrong.append(f"{action.kind} could not be undone: {error}")
            continue
        try:
            await asyncio.to_thread(journal.undone, action.id)
        except InfraError as error:
            wrong.append(f"{action.kind} was undone and that could not be written down: {error}")
    return wrong

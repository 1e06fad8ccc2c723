# SPDX-License-Identifier: Apache-2.0
"""The audit log of a host: every attach, detach, refusal and decision, in a hash chain that only grows.

Its head is kept apart (`audit.head.json`) and in the journal: a log cut short, even at a line's end, is behind one of
them. Whoever can write all three can write another history; to notice that, keep a copy of the head elsewhere
(`schedcp agent status` shows it, and the control plane keeps what it saw). A log has an identity, drawn as it is
begun: by it a host that was made anew under its name is known from one whose log was written anew.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from host_agent.chain import Chain, ChainError, Fault, Head, Line, head_of
from host_agent.segments import LOG, SEGMENT_BYTES, check_beginning, drop_old, put_aside, walk
from policy_lake.errors import InputError
from policy_lake.files import atomic_write, read_outside
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.dsse import canonical_json

HEAD = "audit.head.json"
What = Literal[
    "started", "attach", "attached", "detached", "refused", "tripped", "ended", "stepped_aside", "stop",
    "resume", "trust", "reconciled", "released", "closed", "lease", "shadow", "paused", "unpaused", "rotated",
]  # fmt: skip
LONGEST_TEXT = 500
KEPT = 200  # entries in memory
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time that entries carry."""
    return datetime.now(UTC)


class Audit:
    """The log in a directory. ChainError when it is opened and `verify` would complain."""

    def __init__(self, directory: Path, *, least: Head, clock: Clock = utc_now) -> None:
        self._directory, self._clock = directory, clock
        self._latest: deque[Line] = deque(maxlen=KEPT)
        head = verify(directory, least)
        self.id = read_head_file(directory)[1]
        self._first, self._chain = head.seq + 1, Chain(directory / LOG, head, 0)
        for path, lines, size in walk(directory):
            self._latest.extend(lines)
            self.id = log_id(lines) or self.id
            if path.name == LOG and lines:
                self._first, self._chain = lines[0].seq, Chain(path, head, size)

    @property
    def head(self) -> Head:
        """The last entry's number and digest."""
        return self._chain.head

    def add(self, what: What, **facts: Any) -> Head:
        """Writes an entry, durably; InfraError if the disk will not take it, and the log is as before."""
        if self._chain.size >= SEGMENT_BYTES:
            self._rotate()
        short = {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in facts.items()}
        self._append({"at": self._clock().isoformat(), "what": what, **short})
        return self._chain.head

    def since(self, seq: int, *, most: int = 200) -> list[Line]:
        """The entries after number `seq`, at most `most`, in order; those that were dropped are not among them."""
        if not self._latest or self._latest[0].seq <= seq + 1:
            return [line for line in self._latest if line.seq > seq][:most]
        found: list[Line] = []
        for _, lines, _ in walk(self._directory):
            found += [line for line in lines if line.seq > seq]
            if len(found) >= most:
                break
        return found[:most]

    def _rotate(self) -> None:
        """Begins a new file; the oldest go once the disk has the line that says so."""
        kept = put_aside(self._directory, self._first, self._chain.size)
        self._chain = Chain(self._directory / LOG, self._chain.head, 0)
        self._first = self._chain.head.seq + 1
        entry = {"at": self._clock().isoformat(), "what": "rotated"}
        named = {"log": self.id} if self.id else {}  # the first entry, which has it, will be dropped
        self._append({**entry, **named, "kept_from": {"seq": kept.seq, "sha256": kept.sha256}})
        with contextlib.suppress(OSError):  # one too many until the next time
            drop_old(self._directory)

    def _append(self, data: dict[str, Any]) -> None:
        id = self.id if self._chain.head.seq else secrets.token_hex(16)
        self._latest.append(self._chain.append(data if self._chain.head.seq else {**data, "log": id}))
        self.id = id
        atomic_write(self._directory / HEAD, _head_line(self._chain.head, id), durable=True, mode=0o600)


def verify(directory: Path, least: Head = Head()) -> Head:  # noqa: B008 (it is frozen)
    """The head of the log if it holds from its first line to the last, and reaches head file and `least`.

    ChainError that names the line where one was edited, removed, moved, or cut off the end.
    """
    path, count, start, rotated = directory / LOG, 0, Head(), None
    beside, named = read_head_file(directory)
    knowns, id = ((beside, str(directory / HEAD)), (least, "the journal")), ""
    digests: dict[int, str] = {}
    head = Head()
    for _, lines, _ in walk(directory):
        if lines and not count:
            start = Head(lines[0].seq - 1, lines[0].previous)
        count += len(lines)
        head, id = head_of(lines, head), log_id(lines) or id
        seqs = [known.seq for known, _ in knowns]
        digests.update((line.seq, line.sha256) for line in lines if line.seq in seqs)
        rotated = next((one.data["kept_from"] for one in lines[::-1] if "kept_from" in one.data), rotated)
    for known, place in knowns:
        check_known(head, known, digests.get(known.seq), f"{path}", place)
    check_beginning(start, rotated, path)
    if named and id and named != id:
        raise ChainError(f"{path}: it is the log {id}, and {directory / HEAD} is of {named}", Fault.REPLACED, 1)
    if count > 1 and not os.path.lexists(directory / HEAD):  # it is written after the line, so one may lack it
        raise ChainError(f"{directory / HEAD}: is gone, and the log has {count} entries")
    return head


def check_known(head: Head, known: Head, found: str | None, path: str, place: str) -> None:
    """ChainError unless a log that ends with `head` has the entry that somebody saw; `found` is its digest there."""
    if known.seq > head.seq:
        words = f"{path}: cut off: it has {head.seq} entries, and {place} knows of {known.seq}"
        raise ChainError(words, Fault.CUT_OFF, head.seq)
    if found is not None and found != known.sha256:
        raise ChainError(f"{path}:{known.seq}: not the entry that {place} knows", Fault.REPLACED, known.seq)


def read_head(directory: Path) -> Head:
    """The head kept apart; the empty one where there is no such file."""
    return read_head_file(directory)[0]


def log_id(lines: Iterable[Line]) -> str:
    """The identity of the log that these lines are of, by its first entry or one of a rotation; empty for unknown."""
    named = (line.data for line in lines if line.seq == 1 or line.data.get("what") == "rotated")
    return next((str(data["log"])[:64] for data in named if "log" in data), "")


def read_head_file(directory: Path) -> tuple[Head, str]:
    """The head kept apart and the log's identity there, which a log begun by an older agent has none of."""
    path = directory / HEAD
    if not os.path.lexists(path):
        return Head(), ""
    try:
        content = read_outside(path, 4096)
        data = strict_object(content, most=4096)
        head, id = Head(data["seq"], data["sha256"]), data.get("log", "")
        if content != _head_line(head, id):
            raise ValueError("not as it is written")
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise ChainError(f"{path}: damaged: {' '.join(str(error).split())[:120]}") from None
    return head, id


def _head_line(head: Head, id: str) -> bytes:
    return canonical_json({**({"log": id} if id else {}), "seq": head.seq, "sha256": head.sha256}) + b"\n"

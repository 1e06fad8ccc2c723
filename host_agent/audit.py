# SPDX-License-Identifier: Apache-2.0
"""The audit log of a host: every attach, detach, refusal and decision, in a hash chain that only grows.

Its head is kept apart (`audit.head.json`) and in the journal: a log cut short, even at a line's end, is behind one of
them. Whoever can write all three can write another history; to notice that, keep a copy of the head elsewhere
(`schedcp agent status` shows it, and the control plane keeps what it saw).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from host_agent.chain import Chain, ChainError, Head, Line, read_chain
from policy_lake.errors import InputError
from policy_lake.files import atomic_write, read_outside
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.dsse import canonical_json

LOG, HEAD = "audit.jsonl", "audit.head.json"
What = Literal[
    "started", "attach", "attached", "detached", "refused", "tripped", "ended", "stepped_aside", "stop",
    "resume", "trust", "reconciled", "released", "closed", "lease", "shadow", "paused", "unpaused",
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
        verify(directory, least)
        self._directory, self._clock = directory, clock
        lines, size = read_chain(directory / LOG)
        self._chain = Chain(directory / LOG, lines, size)
        self._latest = deque(lines, maxlen=KEPT)

    @property
    def head(self) -> Head:
        """The last entry's number and digest."""
        return self._chain.head

    def add(self, what: What, **facts: Any) -> Head:
        """Writes an entry, durably; InfraError if the disk will not take it, and the log is as before."""
        short = {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in facts.items()}
        self._latest.append(self._chain.append({"at": self._clock().isoformat(), "what": what, **short}))
        head = self._chain.head
        atomic_write(self._directory / HEAD, _head_line(head), durable=True, mode=0o600)
        return head

    def since(self, seq: int, *, most: int = 200) -> list[Line]:
        """The entries after number `seq`, at most `most`, in order."""
        latest = list(self._latest)
        if latest and latest[0].seq > seq + 1:
            latest, _ = read_chain(self._directory / LOG)
        return [line for line in latest if line.seq > seq][:most]


def verify(directory: Path, least: Head = Head()) -> Head:  # noqa: B008 (it is frozen)
    """The head of the log if it holds from its first line to the last, and reaches head file and `least`.

    ChainError that names the line where one was edited, removed, moved, or cut off the end.
    """
    path = directory / LOG
    lines, _ = read_chain(path)
    for known, place in ((read_head(directory), directory / HEAD), (least, Path("the journal"))):
        if known.seq > len(lines):
            raise ChainError(f"{path}: cut off: it has {len(lines)} entries, and {place} knows of {known.seq}")
        if known.seq and lines[known.seq - 1].sha256 != known.sha256:
            raise ChainError(f"{path}:{known.seq}: not the entry that {place} knows")
    if len(lines) > 1 and not os.path.lexists(directory / HEAD):  # it is written after the line, so one may lack it
        raise ChainError(f"{directory / HEAD}: is gone, and the log has {len(lines)} entries")
    return Head(lines[-1].seq, lines[-1].sha256) if lines else Head()


def read_head(directory: Path) -> Head:
    """The head kept apart; the empty one where there is no such file."""
    path = directory / HEAD
    if not os.path.lexists(path):
        return Head()
    try:
        content = read_outside(path, 4096)
        data = strict_object(content, most=4096)
        head = Head(data["seq"], data["sha256"])
        if content != _head_line(head):
            raise ValueError("not as it is written")
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise ChainError(f"{path}: damaged: {' '.join(str(error).split())[:120]}") from None
    return head


def _head_line(head: Head) -> bytes:
    return canonical_json({"seq": head.seq, "sha256": head.sha256}) + b"\n"

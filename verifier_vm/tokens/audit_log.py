# SPDX-License-Identifier: Apache-2.0
"""The audit log of all that was signed: a hash chain of lines, which anybody can read and nobody change unnoticed.

Each line is an entry and a signature over it, and each entry holds the digest of the line before. The head, a signed
file of its own, says how far the log goes, so that a log that was cut off shows. A line is on the disk before the head
names it: what stands behind the head is therefore what a crash left, complete lines or, last, an unfinished one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature

from verifier_vm.tokens.dsse import ENTRY_TYPE, HEAD_TYPE, Signer, canonical_json, pae, strict_json, unseal
from verifier_vm.tokens.errors import Code, TokenError, in_one_line
from verifier_vm.tokens.files import read_bounded
from verifier_vm.tokens.public_key import TrustedKey
from verifier_vm.tokens.records import from_plain, to_plain
from verifier_vm.tokens.terms import LogPlace

LOG, HEAD = "log.jsonl", "log.head.json"
LOG_LIMIT = 1 << 28
NOTHING = "0" * 64  # what the first entry names as the one before it


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. `token_sha256` names a token by its statement; `revocations` is the list's version from then on."""

    seq: int
    time: datetime
    event: Literal["opened", "issued", "refused", "revoked", "restored"]
    previous: str
    policy: str = ""
    audience: str = ""
    version: int = 0
    token_sha256: str = ""
    nonce: str = ""
    object_sha256: str = ""
    revocations: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log goes: its last entry, the bytes of it (`start` to `size`), and what follows from all entries."""

    seq: int = 0
    sha256: str = NOTHING
    start: int = 0
    size: int = 0
    revocations: int = 0
    versions: dict[str, int] = field(default_factory=dict)

    def after(self, entry: Entry, line: bytes) -> Head:
        """The head once `line`, which is `entry`, has been added."""
        versions = {**self.versions, entry.audience: entry.version} if entry.event == "issued" else self.versions
        revocations = entry.revocations or self.revocations
        size = self.size + len(line)
        return Head(entry.seq, line_digest(line), self.size, size, revocations, versions)


@dataclass(frozen=True, slots=True)
class Log:
    """A log whose chain holds. `unfinished`: its last line was being written when the writer ended."""

    entries: tuple[Entry, ...]
    head: Head
    digests: tuple[str, ...]
    unfinished: bool

    def holds(self, seq: int, sha256: str) -> bool:
        """Whether its line `seq` has this digest; of no line (0), whatever it is said to have."""
        return seq == 0 or self.digests[seq - 1 : seq] == (sha256,)

    def has_token(self, place: LogPlace, token_sha256: str) -> bool:
        """Whether the entry in this place is the issue of this token."""
        if not 1 <= place.seq <= len(self.entries):
            return False
        entry = self.entries[place.seq - 1]
        return (entry.event, entry.token_sha256, entry.previous) == ("issued", token_sha256, place.previous)


def line_of(entry: Entry, key: Signer) -> bytes:
    """The line of an entry, signed, with its end."""
    data = to_plain(entry)
    sig = base64.b64encode(key.sign(pae(ENTRY_TYPE, canonical_json(data)))).decode()
    return canonical_json({"entry": data, "sig": sig}) + b"\n"


def line_digest(line: bytes) -> str:
    """What the next entry calls this line."""
    return hashlib.sha256(line).hexdigest()


def read_log(directory: Path, public_key: TrustedKey) -> Log:
    """The complete log, its chain followed from the first line to the last; TokenError where it does not hold."""
    head = read_head(directory / HEAD, public_key)  # before the log, which only grows
    content = read_bounded(directory / LOG, limit=LOG_LIMIT)
    if len(content) < head.size:
        reason = f"{directory / LOG}: cut off: {len(content)} bytes of the {head.size} that were signed"
        raise TokenError(reason, Code.LOG_BROKEN)
    known, entries, digests = Head(), list[Entry](), list[str]()
    for line in finished_lines(content, head.size):
        # Whose hash the last signature covers needs no look at its own.
        entry = read_line(line, known, None if known.size + len(line) < head.size else public_key)
        known = known.after(entry, line)
        entries.append(entry)
        digests.append(known.sha256)
        if known.size == head.size and known != head:
            reason = f"{directory / LOG}: entry {known.seq} is not the one that the log's head names"
            raise TokenError(reason, Code.LOG_BROKEN)
    if known.seq < head.seq or head.sha256 not in digests:
        raise TokenError(f"{directory / LOG}: not the log that its head tells of", Code.LOG_BROKEN)
    return Log(tuple(entries), known, tuple(digests), unfinished=len(content) > known.size)


def read_head(source: Path | Mapping[str, Any], public_key: TrustedKey) -> Head:
    """The log's head; TokenError if it is missing, damaged, or signed by another key."""
    envelope = read_bounded(source) if isinstance(source, Path) else source
    try:
        head = from_plain(Head, strict_json(unseal(envelope, public_key, kind=HEAD_TYPE)))
    except (ValueError, TypeError) as error:
        raise TokenError(f"the log's head is not well formed: {in_one_line(error)}", Code.LOG_BROKEN) from error
    if not 0 <= head.start < head.size or head.seq < 1:
        raise TokenError("the log's head is not well formed: it tells of no entry", Code.LOG_BROKEN)
    return head


def finished_lines(content: bytes, signed: int) -> Iterator[bytes]:
    """Lines with their ends. The last is left out if it lies behind the first `signed` bytes and was never finished."""
    at = 0
    while at < len(content):
        end = content.find(b"\n", at) + 1
        line = content[at : end or len(content)]
        if at >= signed and at + len(line) == len(content) and not _is_json(line):
            return
        yield line
        at += len(line)


def read_line(line: bytes, known: Head, public_key: TrustedKey | None) -> Entry:
    """The entry in the line that follows `known`; with a key, its signature is checked. TokenError if it is another."""
    place = f"the log's entry {known.seq + 1}"
    try:
        data = strict_json(line)
        entry = from_plain(Entry, data["entry"])
        if canonical_json({"entry": to_plain(entry), "sig": data["sig"]}) + b"\n" != line:
            raise ValueError("a member is unknown or not written as the signer writes it")
        if (entry.seq, entry.previous) != (known.seq + 1, known.sha256):
            raise ValueError("it does not follow the one before it")
        if (entry.event == "opened") != (entry.seq == 1):
            raise ValueError("a log is opened once, by its first entry")
        if public_key is not None:
            signed = pae(ENTRY_TYPE, canonical_json(data["entry"]))
            public_key.verify(base64.b64decode(data["sig"], validate=True), signed)
    except InvalidSignature:
        raise TokenError(f"{place}: its signature is wrong", Code.LOG_BROKEN) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TokenError(f"{place}: {in_one_line(error)}", Code.LOG_BROKEN) from error
    return entry


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return line.endswith(b"\n")

# SPDX-License-Identifier: Apache-2.0
"""The signer's key store: its key, the audit log and the revocation list, in one private directory.

One process at a time; a SIGKILL at any point leaves what the next one can go on from.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from policy_lake.errors import InfraError
from policy_lake.files import PARTS, atomic_write
from verifier_vm.tokens.audit_log import (
    HEAD,
    LOG,
    Entry,
    Head,
    finished_lines,
    line_of,
    read_head,
    read_line,
    read_log,
)
from verifier_vm.tokens.dsse import HEAD_TYPE, canonical_json, seal
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.files import private_directory
from verifier_vm.tokens.private_key import BEGINNING, PRIVATE, SigningKey, keep_key, signing_key
from verifier_vm.tokens.records import to_plain
from verifier_vm.tokens.revocation import REVOCATIONS, RevocationList, Revoked, read_revocations, write_revocations
from verifier_vm.tokens.terms import LogPlace

COPY = "put back a copy, from a host that has one, or move the directory away: hosts then have to trust a new key"
Event = Literal["opened", "issued", "refused", "revoked", "restored"]


class KeyStore:
    """The key, the audit log and the revocation list, held while their directory is locked."""

    def __init__(self, directory: Path, key: SigningKey, head: Head) -> None:
        self.directory, self.key, self.head = directory, key, head
        self.revocations = RevocationList(0)

    @property
    def next_place(self) -> LogPlace:
        """Where the next entry will stand."""
        return LogPlace(self.head.seq + 1, self.head.sha256)

    def next_version(self, audience: str, now: datetime) -> int:
        """A version above all that this audience was given; the time in ms, so that it grows though the log be lost."""
        return max(self.head.versions.get(audience, 0) + 1, int(now.timestamp() * 1000))

    def append(self, event: Event, **fields: Any) -> Entry:
        """Adds an entry to the log and moves the head; when this returns it is on the disk."""
        place = self.next_place
        entry = Entry(place.seq, datetime.now(UTC).replace(microsecond=0), event, place.previous, **fields)
        line = line_of(entry, self.key)
        _append_line(self.directory / LOG, line, self.head.size)
        self.head = self.head.after(entry, line)
        write_head(self.directory, self.head, self.key)
        return entry

    def revoke(self, revocation: Revoked) -> RevocationList:
        """Adds to the list, then to the audit log; what is revoked already changes nothing."""
        key = {"nonce": revocation.value} if revocation.kind == "nonce" else {"object_sha256": revocation.value}
        if self.revocations.find(**key) is None:
            self.revocations = RevocationList(self.revocations.version + 1, (*self.revocations.revoked, revocation))
            # The list first: should we end here, the revocation holds, and the next signer logs it.
            write_revocations(self.directory, self.revocations, self.key)
            self._log_revocation(revocation)
        return self.revocations

    def _log_revocation(self, revocation: Revoked) -> None:
        key = {"nonce": revocation.value} if revocation.kind == "nonce" else {"object_sha256": revocation.value}
        self.append("revoked", **key, reason=revocation.reason, revocations=self.revocations.version)

    def restore(self) -> RevocationList:
        """Makes a lost revocation list anew from the audit log, which must be complete."""
        log = read_log(self.directory, self.key.public)
        revoked = tuple(
            Revoked("nonce" if entry.nonce else "object", entry.nonce or entry.object_sha256, entry.reason, entry.time)
            for entry in log.entries
            if entry.event == "revoked"
        )
        self.revocations = RevocationList(log.head.revocations + 1, revoked)
        write_revocations(self.directory, self.revocations, self.key)
        self.append("restored", revocations=self.revocations.version)
        return self.revocations

    def load_revocations(self) -> None:
        """Reads the list, which may be one ahead of the log if a writer ended in between."""
        try:
            self.revocations = read_revocations(
                self.directory / REVOCATIONS, self.key.public, minimum_version=self.head.revocations
            )
        except TokenError as error:
            reason = f"{error}; `schedcp token restore` makes the list anew from the log"
            raise TokenError(reason, error.code) from error
        if self.revocations.version > self.head.revocations + 1:
            raise TokenError(f"{self.directory / LOG}: older than the revocation list beside it", Code.LOG_BROKEN)
        if self.revocations.version > self.head.revocations:
            entries = read_log(self.directory, self.key.public).entries
            logged = {entry.nonce or entry.object_sha256 for entry in entries if entry.event == "revoked"}
            missing = [revocation for revocation in self.revocations.revoked if revocation.value not in logged]
            for revocation in missing:
                self._log_revocation(revocation)
            if not missing:
                self.append("restored", revocations=self.revocations.version)


@contextlib.contextmanager
def open_key_store(directory: Path, *, restoring: bool = False, service: bool | None = None) -> Iterator[KeyStore]:
    """The key store in `directory`, made if there is none; TokenError or KeyFileError if it is not as it was left.

    `service` is whether its key has to be a verifier service's or a lab key; None takes either.
    """
    with private_directory(directory):
        for part in directory.glob(PARTS):  # of files that a writer had not put in their place when it was killed
            part.unlink()
        there = [name for name in (LOG, HEAD, REVOCATIONS) if os.path.lexists(directory / name)]
        old = os.path.lexists(directory / PRIVATE)
        if there and not old and not os.path.lexists(directory / BEGINNING):
            raise KeyFileError(f"{directory / PRIVATE}: the key of the log beside it is gone")
        if old and HEAD not in there:
            reason = f"{directory / HEAD}: the log's head is gone, though the key beside it has signed: {COPY}"
            raise TokenError(reason, Code.LOG_GONE)
        key = signing_key(directory, service=service is True)
        if service is not None and key.service is not service:
            kind, other = ("a lab key", "a service's") if service else ("a verifier service's key", "a lab key")
            raise KeyFileError(f"{directory / PRIVATE}: {kind}, where {other} is needed: name another directory")
        if HEAD in there:
            store = KeyStore(directory, key, _recover(directory, key))
        else:
            store = KeyStore(directory, key, Head())
            _begin(store)
        if not restoring:
            store.load_revocations()
        keep_key(directory)
        yield store


def write_head(directory: Path, head: Head, key: SigningKey) -> None:
    """Puts a signed head in the place of the one that is there."""
    envelope = seal(canonical_json(to_plain(head)), key, kind=HEAD_TYPE)
    atomic_write(directory / HEAD, json.dumps(envelope).encode() + b"\n", durable=True, mode=0o644)


def _begin(store: KeyStore) -> None:
    """An empty list and the first entry. Without a head, only what a beginning cut short leaves may be there."""
    directory, public = store.directory, store.key.public
    content = (directory / LOG).read_bytes() if os.path.lexists(directory / LOG) else b""
    lines = list(finished_lines(content, 0))
    if len(lines) > 1:
        raise TokenError(f"{directory / HEAD}: the log's head is gone", Code.LOG_GONE)
    if os.path.lexists(directory / REVOCATIONS):
        if read_revocations(directory / REVOCATIONS, public) != RevocationList(1):
            reason = f"{directory / HEAD}: the log is gone, and the revocation list is not empty"
            raise TokenError(reason, Code.LOG_GONE)
    else:
        if lines:
            reason = f"{directory / HEAD}: the log's head and the revocation list are gone"
            raise TokenError(reason, Code.LOG_GONE)
        write_revocations(directory, RevocationList(1), store.key)
    if lines:
        store.head = Head().after(read_line(lines[0], Head(), public), lines[0])
        write_head(directory, store.head, store.key)
        return
    store.append("opened", revocations=1)


def _recover(directory: Path, key: SigningKey) -> Head:
    """The head, moved over complete lines behind it; an unfinished line is overwritten by the next entry.

    The whole chain is followed: a signer that went on from an edited log would vouch for it.
    """
    if not os.path.lexists(directory / LOG):
        raise TokenError(f"{directory / LOG}: the log is gone: {COPY}", Code.LOG_GONE)
    log = read_log(directory, key.public)
    if log.head != read_head(directory / HEAD, key.public):
        write_head(directory, log.head, key)
    return log.head


def _append_line(path: Path, line: bytes, size: int) -> None:
    """Writes at the end, which is at `size`, and waits for the disk; what it takes only in part is taken back."""
    fd = None
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        if os.fstat(fd).st_size > size:
            os.ftruncate(fd, size)
        written = os.write(fd, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
    except OSError as error:
        if fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)
        raise InfraError(f"{path}: {error.strerror}") from error
    finally:
        if fd is not None:
            os.close(fd)

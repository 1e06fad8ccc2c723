# SPDX-License-Identifier: Apache-2.0
"""A revocation, asked of whoever signs: the verifier service of SCHEDCP_VERIFIER, else our own signer."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import scratch
from tasks.host.settings import Settings
from tasks.tokens.check import what_to_revoke
from verifier_vm.tokens.audit_log import HEAD, LOG, Entry, read_log
from verifier_vm.tokens.client import Signer, request_of_service, request_revocation
from verifier_vm.tokens.public_key import PUBLIC
from verifier_vm.tokens.revocation import REVOCATIONS
from verifier_vm.tokens.trust import trusted_key


@dataclass(frozen=True, slots=True)
class Done:
    """What is revoked, and the list's version and length with it; `already`: it was before, and nothing changed."""

    kind: str
    value: str
    version: int
    count: int
    already: bool


def signer_of(settings: Settings) -> Signer:
    """Whoever signs for this user."""
    return Signer(settings.key_dir, settings.verifier)


def revoke(word: str, reason: str, settings: Settings) -> Done:
    """Have what the word names revoked. InputError for a nonce of no token that was signed there: nothing is written.

    InfraError where a service does not answer. An object may be revoked before anybody asked for a token for it.
    """
    with _of_signer(settings) as directory:
        kind, value = what_to_revoke(word, directory)
        entries = _entries(directory)
    already = any(entry.event == "revoked" and value in (entry.nonce, entry.object_sha256) for entry in entries)
    if kind == "nonce" and entries and not any(entry.nonce == value for entry in entries):
        raise InputError(f"nonce {value}: the log has no token with it, of {len(entries)} entries: nothing is revoked")
    made = request_revocation(signer_of(settings), kind, value, reason)
    return Done(kind, value, made["version"], len(made["revoked"]), already)


@contextmanager
def _of_signer(settings: Settings) -> Iterator[Path]:
    """A directory with the signer's public key and log: our own, or a copy of the service's."""
    if settings.verifier is None:
        yield settings.key_dir
        return
    told = request_of_service(settings.verifier, "trust", {})
    with scratch("trust") as copy:
        try:
            for name in (PUBLIC, REVOCATIONS, HEAD, LOG):
                Path(copy, name).write_bytes(base64.b64decode(told[name]))
        except (KeyError, TypeError, ValueError) as error:
            raise InfraError(
                f"the verifier service at {settings.verifier}: what it tells of its log is none"
            ) from error
        yield Path(copy)


def _entries(directory: Path) -> tuple[Entry, ...]:
    """The log's; empty where there is none yet, or none any more, which is the signer's to tell."""
    if not os.path.lexists(directory / LOG) or not os.path.lexists(directory / HEAD):
        return ()
    return read_log(directory, trusted_key(directory)).entries

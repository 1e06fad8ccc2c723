# SPDX-License-Identifier: Apache-2.0
"""The revocation list: a signed file that says which tokens and objects no longer authorise anything.

Its version grows with every revocation. Who has seen a version takes no older one, and no list at all is a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from policy_lake.errors import InputError
from policy_lake.files import atomic_write
from verifier_vm.tokens.dsse import REVOCATIONS_TYPE, Signer, canonical_json, seal, strict_json, unseal
from verifier_vm.tokens.errors import Code, TokenError, in_one_line
from verifier_vm.tokens.files import read_bounded
from verifier_vm.tokens.public_key import TrustedKey
from verifier_vm.tokens.records import from_plain, to_plain
from verifier_vm.tokens.terms import LONGEST_TEXT

REVOCATIONS = "revoked.dsse.json"
LENGTH = {"nonce": 32, "object": 64}


@dataclass(frozen=True, slots=True)
class Revoked:
    """One revocation: of the token with a nonce, or of every token for an object (its SHA-256)."""

    kind: Literal["nonce", "object"]
    value: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RevocationList:
    """All revocations there are, in the order in which they were made."""

    version: int
    revoked: tuple[Revoked, ...] = ()

    def find(self, *, nonce: str = "", object_sha256: str = "") -> Revoked | None:
        """The revocation that holds for this nonce or this object."""
        held = {("nonce", nonce), ("object", object_sha256)}
        return next((revocation for revocation in self.revoked if (revocation.kind, revocation.value) in held), None)


def check_revocation(revocation: Revoked) -> None:
    """InputError unless the revocation names something that can be revoked, and says why."""
    if len(revocation.value) != LENGTH[revocation.kind] or set(revocation.value) - set("0123456789abcdef"):
        shape = f"it takes {LENGTH[revocation.kind]} lower-case digits in hex"
        raise InputError(f"{revocation.value[:80]!r} is no {revocation.kind}: {shape}")
    if not revocation.reason.strip() or len(revocation.reason) > LONGEST_TEXT or not revocation.reason.isprintable():
        raise InputError(f"a revocation needs a reason, of one line and at most {LONGEST_TEXT} characters")


def write_revocations(directory: Path, revocations: RevocationList, key: Signer) -> None:
    """Signs the list and puts it in the place of the one that is there."""
    envelope = seal(canonical_json(to_plain(revocations)), key, kind=REVOCATIONS_TYPE)
    content = json.dumps(envelope, indent=1).encode() + b"\n"
    atomic_write(directory / REVOCATIONS, content, durable=True, mode=0o644)


def read_revocations(
    source: Path | bytes | Mapping[str, Any], public_key: TrustedKey, *, minimum_version: int = 1
) -> RevocationList:
    """The list in a file or an envelope; TokenError if it is missing, not signed by this key, or older than that."""
    envelope = read_bounded(source) if isinstance(source, Path) else source
    payload = unseal(envelope, public_key, kind=REVOCATIONS_TYPE)
    try:
        revocations = from_plain(RevocationList, strict_json(payload))
        if canonical_json(to_plain(revocations)) != payload:
            raise ValueError("a member is unknown or not written as the signer writes it")
    except (ValueError, TypeError, RecursionError) as error:
        raise TokenError(f"the revocation list is not well formed: {in_one_line(error)}", Code.MALFORMED) from error
    if revocations.version < minimum_version:
        reason = f"the revocation list's version {revocations.version} is older than {minimum_version}, seen before"
        raise TokenError(reason, Code.OLD_REVOCATIONS)
    return revocations

# SPDX-License-Identifier: Apache-2.0
"""What a host trusts, in one directory: the verifier's public key, its revocation list, its log, allowed lab keys.

Copies of what the verifier's key store holds, and `allow-lab`, which is the administrator's: a line a key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verifier_vm.tokens.audit_log import HEAD, LOG, Head, Log, read_head, read_log
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.files import read_bounded, require_trusted
from verifier_vm.tokens.public_key import PUBLIC, TrustedKey, read_public_key
from verifier_vm.tokens.revocation import REVOCATIONS, RevocationList, read_revocations

ALLOW_LAB = "allow-lab"


@dataclass(frozen=True, slots=True)
class Trust:
    """What a check goes by; `log` and `head` are None where the directory has none of them."""

    key: TrustedKey
    revocations: RevocationList
    log: Log | None
    head: Head | None
    allowed_lab: frozenset[str]

    def given(self) -> dict[str, Any]:
        """It as check_token and consume_token take it."""
        return {
            "public_key": self.key, "revocations": self.revocations, "log": self.log, "head": self.head,
            "allowed_lab": self.allowed_lab,
        }  # fmt: skip


def read_trust(directory: Path) -> Trust:
    """All of it, checked as far as it goes; TokenError for what is missing, changed, or could be another's work.

    A log without its head is refused, and so is a list older than the head names.
    """
    require_trusted(directory)
    for name in (PUBLIC, REVOCATIONS, HEAD, LOG, ALLOW_LAB):
        if os.path.lexists(directory / name):
            require_trusted(directory / name)
    key = trusted_key(directory)
    log, head = None, None
    if os.path.lexists(directory / LOG) or os.path.lexists(directory / HEAD):
        if not os.path.lexists(directory / HEAD):
            raise TokenError(f"{directory / HEAD}: the head of the log beside it is gone", Code.LOG_GONE)
        head = read_head(directory / HEAD, key)
        log = read_log(directory, key) if os.path.lexists(directory / LOG) else None
    least = max(1, head.revocations if head else 1, log.head.revocations if log else 1)
    revocations = read_revocations(directory / REVOCATIONS, key, minimum_version=least)
    return Trust(key, revocations, log, head, allowed_lab(directory))


def trusted_key(directory: Path) -> TrustedKey:
    """The key to check with; TokenError where there is none, or others could have put it there."""
    try:
        key = read_public_key(directory / PUBLIC)
    except KeyFileError as error:
        raise TokenError(f"there is no key to check with: {error}", Code.NO_KEY) from error
    require_trusted(directory)
    require_trusted(directory / PUBLIC)
    return key


def allowed_lab(directory: Path) -> frozenset[str]:
    """The ids in `allow-lab`, one a line, `#` begins a comment; none where there is no such file."""
    path = directory / ALLOW_LAB
    if not os.path.lexists(path):
        return frozenset()
    require_trusted(path)
    lines = read_bounded(path).decode(errors="replace").splitlines()
    words = (line.partition("#")[0].strip() for line in lines)
    return frozenset(word for word in words if word)

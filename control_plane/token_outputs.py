# SPDX-License-Identifier: Apache-2.0
"""What the commands of `schedcp token` print with `--json`, as records."""

from __future__ import annotations

from dataclasses import dataclass

from verifier_vm.tokens.audit_log import Entry as LogEntry
from verifier_vm.tokens.revocation import Revoked
from verifier_vm.tokens.terms import Token


@dataclass(frozen=True, slots=True)
class TokenShowOutput:
    """A token; `code` and `reason` say why it is not `trusted`, `report` whether the verdict's report lies beside it.

    `levels` are what its stages amount to.
    """

    trusted: bool
    code: str
    reason: str
    report: str
    token_sha256: str
    levels: tuple[str, ...]
    token: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCheckOutput(TokenShowOutput):
    """A token that holds here; `object_compared` says whether an object was given to compare it with."""

    object_compared: bool


@dataclass(frozen=True, slots=True)
class TokenRevokeOutput:
    """What was revoked, and the version that the revocation list has with it; `already` where it was before."""

    kind: str
    value: str
    reason: str
    version: int
    already: bool = False


@dataclass(frozen=True, slots=True)
class TokenRestoreOutput:
    """The revocation list as it is after it was made anew from the audit log."""

    version: int
    revoked: tuple[Revoked, ...]


@dataclass(frozen=True, slots=True)
class TokenLogOutput:
    """The audit log; without `entries` where only its chain was checked. `unfinished` is a last line that was cut.

    `revocation_list_version` is that of the list that the log's head names; `revocations` is the same number under the
    name that it had first, and goes with the next version of this schema.
    """

    holds: bool
    count: int
    revocations: int
    sha256: str
    unfinished: bool
    entries: tuple[LogEntry, ...]
    revocation_list_version: int = 0


@dataclass(frozen=True, slots=True)
class ExportOutput:
    """What lies in an OCI image layout: an image's name and digest, the tag that lists its tokens, and how many."""

    directory: str
    ref: str
    image: str
    referrers: str
    token_sha256: str
    tokens: int

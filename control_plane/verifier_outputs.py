# SPDX-License-Identifier: Apache-2.0
"""What `schedcp verifierd …` and `schedcp host describe` print with `--json`, as records."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lake.host_file import HostFile


@dataclass(frozen=True, slots=True)
class VerifierStatusOutput:
    """A verifier service that answers: its process, what it is at, and how many requests it has done."""

    pid: int
    busy: int
    waiting: int
    done: int


@dataclass(frozen=True, slots=True)
class VerifierTrustOutput:
    """What was written for a host, and the key that it will trust; `signed_by` is service or lab."""

    directory: str
    key_id: str
    signed_by: str


@dataclass(frozen=True, slots=True)
class VerifierEvidenceOutput:
    """The evidence of a digest: its size, where it was written, and, of a list, its files' digests by their names."""

    digest: str
    size_bytes: int
    output: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class HostDescribeOutput:
    """This host, and where its file was written; empty where it was only printed."""

    host: HostFile
    output: str

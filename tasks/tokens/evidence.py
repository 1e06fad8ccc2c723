# SPDX-License-Identifier: Apache-2.0
"""Evidence that a verifier keeps: files by their SHA-256, and a list of them whose own SHA-256 a token carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import atomic_write, beyond, read_outside
from verifier_vm.tokens.dsse import canonical_json
from verifier_vm.tokens.statement import is_sha256

MOST_BYTES = 64 << 20
KEPT_BYTES = 4 << 30


def keep_evidence(directory: Path, files: Mapping[str, bytes]) -> str:
    """Keeps the files and their list, durably; the list's digest. What was kept longest goes when there is no room."""
    listed = {}
    for name, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        listed[name] = {"sha256": digest, "bytes": len(content)}
        atomic_write(directory / digest, content, durable=True)
    manifest = canonical_json({"v": 1, "files": listed}) + b"\n"
    digest = hashlib.sha256(manifest).hexdigest()
    atomic_write(directory / digest, manifest, durable=True)
    for old in beyond(directory.glob("*"), room=KEPT_BYTES):
        old.unlink(missing_ok=True)
    return digest


def read_evidence_file(directory: Path, digest: str) -> bytes:
    """The file of that digest; InputError if none is kept, or it is another by now."""
    if not is_sha256(digest):
        raise InputError(f"{digest[:80]!r} is no SHA-256 in hex")
    if not (directory / digest).is_file():
        raise InputError(f"{digest}: no evidence of that digest is kept here")
    content = read_outside(directory / digest, MOST_BYTES)
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{directory / digest}: damaged: it is not what its name was made of")
    return content


def listed_files(manifest: bytes) -> dict[str, str]:
    """The digests in a list of evidence, by the files' names; none where it is no such list."""
    try:
        files = json.loads(manifest)["files"]
        return {str(name): str(of["sha256"]) for name, of in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}

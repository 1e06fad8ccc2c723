# SPDX-License-Identifier: Apache-2.0
"""The verifier's own policy as a digest: which checks with which limits a verdict of this tree stands for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from verifier_vm.tokens.dsse import canonical_json
from verifier_vm.tokens.terms import REQUIRED_STAGES, VERIFIER_VERSION

ROOT = Path(__file__).resolve().parents[1]
KINDS = {".py", ".c", ".h", ".S", ".toml"}


def checks_digest(root: Path = ROOT) -> str:
    """SHA-256 over version, required stages, and all sources under `root` (the code holds its limits)."""
    files = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.suffix in KINDS and path.is_file()
    }
    rules = {"version": VERIFIER_VERSION, "stages": REQUIRED_STAGES, "files": files}
    return hashlib.sha256(canonical_json(rules)).hexdigest()

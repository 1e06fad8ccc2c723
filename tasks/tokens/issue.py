# SPDX-License-Identifier: Apache-2.0
"""Tokens: requested from the signer for an accepted verdict, and kept under the data directory.

The private key is the signer's, a process of its own; nothing here can read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from policy_lake.errors import InfraError, SchedcpError
from policy_lake.files import atomic_write_together
from policy_lake.model import Verdict
from policy_lake.scores import Ratio, Score
from tasks.host.guest import prepare_guest
from tasks.host.settings import Settings
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.tokens.client import request_token
from verifier_vm.tokens.errors import KeyFileError
from verifier_vm.tokens.files import private_directory
from verifier_vm.tokens.report import report_of
from verifier_vm.tokens.request import TokenRequest
from verifier_vm.tokens.terms import LONGEST_TEXT, UNKNOWN, Provenance, RolloutStage

MACHINE_ID = Path("/etc/machine-id")
OTHER_STORE = "mend it, or name another place in SCHEDCP_KEY_STORE"
SUFFIX, REPORT_SUFFIX = ".dsse.json", ".report.json"


def check_key_store(settings: Settings) -> None:
    """KeyFileError, before any work, if the signer could keep no key there; the directory is made if it is not there.

    What lies in it, the signer alone looks at.
    """
    try:
        with private_directory(settings.key_dir):
            if not os.access(settings.key_dir, os.R_OK | os.W_OK | os.X_OK):
                raise KeyFileError(f"{settings.key_dir}: it cannot be written to")
    except SchedcpError as error:
        raise KeyFileError(f"key store: {error}; {OTHER_STORE}") from error


def token_for_verdict(
    verdict: Verdict,
    source: str,
    settings: Settings,
    *,
    policy: str = "",
    arguments: Sequence[str] = (),
    btf_sha256: str = "",
    workload: str = "",
    ratio: Ratio | None = None,
    score: Score | None = None,
    rollout_limit: RolloutStage = "canary",
    tier: SuiteTier = "short",
    provenance: Provenance = UNKNOWN,
    machine: str = "",
) -> Path:
    """Have an accepted verdict signed, write token and report, named after what they let load; returns where.

    `machine` is what the CPUs were taken for, if that costs something: it stands among the token's limits.
    `btf_sha256` is of the kernel that the verdict is about, by default the one that guests boot here. TokenError when
    the signer says no: a stage is missing or not passed, the object is revoked.
    """
    if not verdict.accepted or verdict.rejection is not None:
        raise InfraError("a rejected policy gets no token")
    request = TokenRequest(
        policy=policy or verdict.ops, object_sha256=verdict.object_sha256,
        source_sha256=hashlib.sha256(source.encode()).hexdigest(), arguments=tuple(arguments), kernel=verdict.kernel,
        btf_sha256=btf_sha256 or prepare_guest(settings).kernel.btf_sha256, audience=audience(settings),
        stages=verdict.stages, workload=workload, ratio=ratio, score=score, rollout_limit=rollout_limit, tier=tier,
        provenance=provenance, coverage=verdict.coverage, min_coverage=settings.min_coverage,
        limits=(f"tried on CPUs that were taken for a machine ({machine})"[:LONGEST_TEXT],) if machine else (),
    )  # fmt: skip
    envelope, token_sha256 = request_token(settings.key_dir, request)
    loaded = hashlib.sha256("\0".join([verdict.object_sha256, *arguments]).encode()).hexdigest()
    path = settings.token_dir / f"{_file_name(request.policy)}-{loaded[:16]}{SUFFIX}"
    report = report_of(token_sha256, verdict.stages, score, verdict.coverage)
    token = json.dumps(envelope, indent=1).encode() + b"\n"
    atomic_write_together({report_path(path): report, path: token}, durable=True, mode=0o644)
    return path


def report_path(token: Path) -> Path:
    """Where the report of the token at a path lies."""
    return token.with_name(token.name.removesuffix(SUFFIX) + REPORT_SUFFIX)


def audience(settings: Settings) -> str:
    """The host that tokens are for: SCHEDCP_AUDIENCE, else derived from its machine id, which itself stays private."""
    if settings.audience:
        return settings.audience
    try:
        machine = MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        machine = ""
    # An image that was copied before its first boot has an empty id, or the word "uninitialized".
    if len(machine) != 32:
        return f"host:{platform.node()}"
    return f"machine:{hashlib.sha256(f'schedcp {machine}'.encode()).hexdigest()[:32]}"


def _file_name(policy: str) -> str:
    # The ops name of a stranger's policy, which may hold anything.
    return "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in policy)[:60]

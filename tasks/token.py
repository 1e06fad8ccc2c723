# SPDX-License-Identifier: Apache-2.0
"""Tokens written: signed leave for an accepted object to run on this host, kept under the data directory."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path

from policy_lake.model import InfraError, Ratio, Verdict
from tasks.guest import prepare_guest
from tasks.settings import Settings
from tasks.whole import write_whole
from verifier_vm.tokens.check import sign_token
from verifier_vm.tokens.private_key import signing_key


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
) -> Path:
    """Sign and write the token of an accepted verdict, named after what it gives leave to load; returns where it is.

    `btf_sha256` is of the kernel that the verdict is about, by default the one that guests boot here.
    """
    if not verdict.accepted:
        raise InfraError("a rejected policy gets no token")
    envelope = sign_token(
        signing_key(settings.key_dir), policy or verdict.ops, object_sha256=verdict.object_sha256,
        source_sha256=hashlib.sha256(source.encode()).hexdigest(), arguments=tuple(arguments), kernel=verdict.kernel,
        btf_sha256=btf_sha256 or prepare_guest(settings).kernel.btf_sha256,
        audience=audience(settings), stages=verdict.stages, workload=workload, ratio=ratio,
    )  # fmt: skip
    loaded = hashlib.sha256("\0".join([verdict.object_sha256, *arguments]).encode()).hexdigest()
    path = settings.token_dir / f"{policy or verdict.ops}-{loaded[:16]}.dsse.json"
    write_whole(path, json.dumps(envelope, indent=1).encode() + b"\n")
    return path


def audience(settings: Settings) -> str:
    """The host that tokens are for: SCHEDCP_AUDIENCE, else derived from its machine id, which itself stays private."""
    if settings.audience:
        return settings.audience
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = ""
    # An image that was copied before its first boot has an empty id, or the word "uninitialized".
    if len(machine) != 32:
        return f"host:{platform.node()}"
    return f"machine:{hashlib.sha256(f'schedcp {machine}'.encode()).hexdigest()[:32]}"

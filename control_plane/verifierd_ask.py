# SPDX-License-Identifier: Apache-2.0
"""What is asked of a verifier: whether it answers, what a host needs to trust it, the evidence that it keeps."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

from control_plane.output import escape, out, print_json
from control_plane.verifier_outputs import VerifierEvidenceOutput, VerifierStatusOutput, VerifierTrustOutput
from policy_lake.errors import InputError
from policy_lake.files import atomic_write, atomic_write_together
from tasks.host.settings import load_settings
from tasks.tokens.evidence import listed_files, read_evidence_file
from tasks.tokens.issue import check_key_store
from verifier_vm.tokens.audit_log import HEAD, LOG, read_log
from verifier_vm.tokens.client import request_key, request_of_service
from verifier_vm.tokens.public_key import PUBLIC, read_public_key
from verifier_vm.tokens.revocation import REVOCATIONS


def status_command(*, as_json: bool) -> None:
    """Print what the service is at."""
    told = VerifierStatusOutput(**request_of_service(_service(), "status", {}))
    if as_json:
        print_json("verifierd status", told)
        return
    out().print(f"process {told.pid}: {told.busy} at work, {told.waiting} wait, {told.done} done")


def trust_command(directory: Path, *, as_json: bool) -> None:
    """Write what a host needs; a newer log than is there follows it, and another is refused."""
    settings = load_settings()
    if settings.verifier is None:
        check_key_store(settings)
        request_key(settings.key_dir)  # made now if no token was asked for yet
        files = {name: (settings.key_dir / name).read_bytes() for name in (PUBLIC, REVOCATIONS, HEAD, LOG)}
    else:
        told = request_of_service(settings.verifier, "trust", {})
        files = {name: base64.b64decode(told[name]) for name in (PUBLIC, REVOCATIONS, HEAD, LOG)}
    _refuse_older(directory, files)
    atomic_write_together({directory / name: content for name, content in files.items()}, durable=True, mode=0o644)
    key = read_public_key(directory / PUBLIC)
    read_log(directory, key)
    result = VerifierTrustOutput(str(directory), key.id, key.signed_by)
    if as_json:
        print_json("verifierd trust", result)
        return
    out().print(f"{escape(str(directory))}: trusts the {key.signed_by} key {key.id}", soft_wrap=True)
    if not key.service:
        out().print(f"a lab key: hosts take its tokens once {key.id} is a line of allow-lab there", soft_wrap=True)


def evidence_command(digest: str, output: Path | None, *, as_json: bool) -> None:
    """Print a list of evidence or write a file of it."""
    settings = load_settings()
    if settings.verifier is None:
        content = read_evidence_file(settings.data_dir / "evidence", digest)
    else:
        content = base64.b64decode(request_of_service(settings.verifier, "evidence", {"digest": digest})["content"])
    files: dict[str, Any] = listed_files(content)
    if output:
        atomic_write(output, content)
    if as_json:
        print_json("verifierd evidence", VerifierEvidenceOutput(digest, len(content), str(output or ""), files))
        return
    for name, of in files.items():
        out().print(f"{of} {escape(name)}", soft_wrap=True)
    if not files and not output:
        sys.stdout.buffer.write(content)


def _refuse_older(directory: Path, files: dict[str, bytes]) -> None:
    """InputError where the directory holds another key, or a log of which the new one is no continuation."""
    if (directory / PUBLIC).exists() and (directory / PUBLIC).read_bytes() != files[PUBLIC]:
        raise InputError(f"{directory / PUBLIC}: another key is trusted there: move it away, if that is meant")
    if (directory / LOG).exists() and not files[LOG].startswith((directory / LOG).read_bytes()):
        raise InputError(f"{directory / LOG}: not a beginning of the log that is to follow it")


def _service() -> Path:
    settings = load_settings()
    if settings.verifier is None:
        raise InputError("SCHEDCP_VERIFIER is not set: it names the socket of a verifier service")
    return settings.verifier

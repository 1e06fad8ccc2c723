# SPDX-License-Identifier: Apache-2.0
"""Tokens: asked of a verifier, which looks itself and signs what it saw, and kept under the data directory.

Nothing here says what a verdict was, and nothing here can read the private key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policy_lake.doing import doing
from policy_lake.errors import InfraError, SchedcpError
from policy_lake.files import atomic_write_together
from policy_lake.host_file import read_host_file
from policy_lake.model import Verdict, from_json, to_json
from policy_lake.scores import Score
from policy_lake.show import logger
from tasks.host.settings import Settings
from tasks.minimize import Smallest
from tasks.tokens.work import Work, chosen_settings, packed
from tasks.trial.given import read_given
from tasks.trial.kept import keep_object
from tasks.trial.pictures import Pictures
from tasks.trial.static import OnStage
from tasks.verify import OnDone, Verified
from verifier_vm.tokens.client import Signer, refusal_in, request_verified
from verifier_vm.tokens.errors import KeyFileError
from verifier_vm.tokens.files import private_directory
from verifier_vm.tokens.report import report_of
from verifier_vm.tokens.request import Says

OTHER_STORE = "mend it, or name another place in SCHEDCP_KEY_STORE"
log = logger(__name__)
SUFFIX, REPORT_SUFFIX = ".dsse.json", ".report.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verifier saw, where the token that it signed lies, or why it signed none though it accepted the policy."""

    verified: Verified
    token: Path | None = None
    refused: SchedcpError | None = None


def check_key_store(settings: Settings) -> None:
    """KeyFileError, before any work, if the signer could keep no key there; the directory is made if it is not there.

    What lies in it, the signer alone looks at. A verifier service has a store of its own.
    """
    if settings.verifier is not None:
        return
    try:
        with private_directory(settings.key_dir):
            if not os.access(settings.key_dir, os.R_OK | os.W_OK | os.X_OK):
                raise KeyFileError(f"{settings.key_dir}: it cannot be written to")
    except SchedcpError as error:
        raise KeyFileError(f"key store: {error}; {OTHER_STORE}") from error


def ask_verifier(
    file: Path,
    settings: Settings,
    work: Work,
    says: Says,
    *,
    on_stage: OnStage = lambda _: None,
    on_done: OnDone = lambda name, ok: None,
) -> Answer:
    """Have a policy verified, and signed if it is accepted: by the service of SCHEDCP_VERIFIER, else by our own signer.

    `work` without its files, which are `file` and, by their paths, its `linked` and `include`. Token and report are
    written, named after what they let load. Raises what the verifier raises: InputError, InfraError, TokenError.
    """
    service = settings.verifier is not None
    linked, include = tuple(map(Path, work.linked)), tuple(map(Path, work.include))
    # What is wrong with the input is told at once, and here: nobody has to be asked for that.
    read_given(file, linked=linked, include_dirs=include, knobs=work.knobs, sets=work.sets)
    if service:
        given: dict[str, Any] = {**packed(file, linked, include), "include": (), **_for_host(settings)}
    else:
        given = {"file": str(file)}  # the verifier's process has this working directory, too
    work = replace(work, settings=dict(chosen_settings(settings, service=service)), **given)

    def heard(kind: str, of: str, ok: bool | None) -> None:
        if kind == "done":
            on_done(of, ok is True)
        elif kind == "stage":
            on_stage(of)
        elif kind == "doing":
            doing("%s", of)
        else:
            log.warning("%s", of)

    signer = Signer(settings.key_dir, settings.verifier)
    answer = request_verified(signer, to_json(work), to_json(says), heard)
    done = _verified(answer["result"], file if service else None)
    if answer["refused"] is not None:
        error = refusal_in(answer["refused"])
        assert isinstance(error, SchedcpError)
        return Answer(done, None, error)
    if answer["token"] is None:
        return Answer(done)
    try:
        if service:
            keep_object(done.object_data, settings)
        return Answer(done, keep_token(answer["token"], done, settings, policy=says.policy))
    except InfraError as error:  # of our disk, which takes nothing of the verdict
        return Answer(done, None, error)


def _for_host(settings: Settings) -> dict[str, str]:
    """What a service has to know of the host that a token is for, if that is another than its own."""
    if settings.for_host is None:
        return {}
    host = read_host_file(settings.for_host)
    like = host.cpus.like_it()
    words = f"cpus={like.cpus},llcs={like.llcs},smt={like.smt},nodes={like.nodes}" if like else ""
    return {"on_types": host.btf_sha256, "like": words}


def keep_token(signed: dict[str, Any], done: Verified, settings: Settings, *, policy: str = "") -> Path:
    """Write a token and the report beside it; returns where the token lies."""
    verdict = done.verdict
    said = _said(signed)
    for_whom = [verdict.object_sha256, *done.arguments, said["audience"]]  # another host's is no older one of this
    loaded = hashlib.sha256("\0".join(for_whom).encode()).hexdigest()
    path = settings.token_dir / f"{_file_name(policy or verdict.ops)}-{loaded[:16]}{SUFFIX}"
    report = report_of(
        signed["token_sha256"], verdict.stages, done.score if said["score_sha256"] else None, verdict.coverage
    )
    envelope = signed["envelope"]
    token = json.dumps(envelope, indent=1).encode() + b"\n"
    atomic_write_together({report_path(path): report, path: token}, durable=True, mode=0o644)
    return path


def _said(signed: dict[str, Any]) -> dict[str, Any]:
    """What a token says of its own terms."""
    statement = json.loads(base64.b64decode(signed["envelope"]["payload"]))
    return dict(statement["predicate"]["schedcp"])


def _verified(result: dict[str, Any], file: Path | None) -> Verified:
    try:
        smallest = result["smallest"]
        source = result["source"] or (file.read_text(errors="replace") if file and file.suffix == ".c" else "")
        return Verified(
            from_json(Verdict, result["verdict"]), source, base64.b64decode(result["object"]),
            tuple(result["arguments"]), result["clock"], result["warning"], Smallest(*smallest) if smallest else None,
            Pictures({name: Path(path) for name, path in result["pictures"].items()}), result["machine"],
            result["tier"], from_json(Score, result["score"]) if result["score"] else None, result["btf_sha256"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InfraError(f"the verifier's answer cannot be read: {' '.join(str(error).split())[:200]}") from error


def report_path(token: Path) -> Path:
    """Where the report of the token at a path lies."""
    return token.with_name(token.name.removesuffix(SUFFIX) + REPORT_SUFFIX)


def _file_name(policy: str) -> str:
    # The ops name of a stranger's policy, which may hold anything.
    return "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in policy)[:60]

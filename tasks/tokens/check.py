# SPDX-License-Identifier: Apache-2.0
"""Tokens read: what one says, whether it is good on this host, and the audit log of all that were signed."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from policy_lake.constants import check_known
from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.host_cpus import read_host_cpus
from policy_lake.knobs import knob_words, parse_knob_values, word
from policy_lake.model import Knob, Policy
from policy_lake.topology import HostCpus
from tasks.host.audience import audience
from tasks.host.settings import Settings
from tasks.tokens.issue import report_path
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.knobs import read_knobs
from verifier_vm.tokens.audit_log import LOG, Log, read_log
from verifier_vm.tokens.check import Attachment, check_token, require_unexpired, withdrawn
from verifier_vm.tokens.dsse import open_unverified, unseal
from verifier_vm.tokens.errors import Code, Refusal, TokenError
from verifier_vm.tokens.files import SIZE_LIMIT, read_bounded
from verifier_vm.tokens.host_state import HostState, read_host_state
from verifier_vm.tokens.report import check_report
from verifier_vm.tokens.revocation import REVOCATIONS, read_revocations
from verifier_vm.tokens.statement import is_sha256, parse_payload, refusal_of, token_digest
from verifier_vm.tokens.terms import RolloutStage, Token
from verifier_vm.tokens.trust import read_trust, trusted_key

OBJECT_LIMIT = 64 << 20
HOST_BTF = Path("/sys/kernel/btf/vmlinux")


@dataclass(frozen=True, slots=True)
class Here:
    """What a token is held against; what is None is not compared (object, knobs) or is this host's own.

    `knobs` are `NAME=VALUE` as a user writes them, `sets` constants that are no knobs and settings of the ops;
    `hotplug`: no policy that ends when a CPU goes or comes.
    """

    object_path: Path | None = None
    knobs: tuple[str, ...] | None = None
    kernel: str | None = None
    btf_sha256: str | None = None
    stage: RolloutStage = "canary"
    sets: Mapping[str, str] = field(default_factory=dict)
    hotplug: bool = False
    cpus: HostCpus | None = None


class ReportState(StrEnum):
    """The report beside a token, held against it."""

    AS_SIGNED = "as_signed"
    MISSING = "missing"
    OTHER = "other"  # another token's
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Shown:
    """A token that may be anybody's: `distrust` is why nothing in it can be believed, None if it can."""

    token: Token
    token_sha256: str
    distrust: Refusal | None
    report: ReportState


def read_file(path: Path) -> bytes:
    """A token file, whoever signed it; InputError for what is no plain file or holds no token's envelope."""
    if not path.is_file():
        raise InputError(f"{path}: {'no plain file' if path.exists() else 'no such file'}")
    content = read_outside(path, SIZE_LIMIT)
    try:
        open_unverified(content)
    except TokenError as error:
        raise InputError(f"{path}: {error}") from error
    return content


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Refusals of what a file holds name the file."""
    try:
        yield
    except TokenError as error:
        raise TokenError(f"{path}: {error}", error.code) from error


def show_token(path: Path, settings: Settings) -> Shown:
    """What a token file says, and whether our key signed it and has not revoked it; TokenError if it says nothing."""
    content = read_file(path)
    with _told_of(path):
        payload, _, _ = open_unverified(content)
        token = parse_payload(payload)
    try:
        unseal(content, trusted_key(settings.key_dir))
        distrust = refusal_of(token) or _revoked(token, settings)
    except TokenError as error:
        distrust = Refusal(error.code, str(error))
    report, _ = _report_beside(path, token, token_digest(payload))
    return Shown(token, token_digest(payload), distrust, report)


def _revoked(token: Token, settings: Settings) -> Refusal | None:
    """By the list beside the key, where there is one; TokenError for one that cannot be believed."""
    place = settings.key_dir / REVOCATIONS
    if not os.path.lexists(place):
        return None
    return withdrawn(token, "", read_revocations(place, trusted_key(settings.key_dir)), None)


def check_file(path: Path, here: Here, settings: Settings) -> Shown:
    """The token, if it is good here and now; TokenError if not, or if that cannot be known. Changes nothing."""
    content = read_file(path)
    key, trust = trusted_key(settings.key_dir), read_trust(settings.key_dir)
    with _told_of(path):
        payload = unseal(content, key)
        token = parse_payload(payload)
    require_unexpired(token, path, datetime.now(UTC))
    what = Attachment(
        object_sha256=_object_digest(here.object_path) if here.object_path else token.object_sha256,
        arguments=_words(here, token, settings),
        kernel=here.kernel or platform.release(),
        btf_sha256=here.btf_sha256 or _host_btf(),
        audience=audience(settings),
        cpus=here.cpus or read_host_cpus(),
        stage=here.stage,
        hotplug=here.hotplug or "hotplug" in settings.require.split(),
    )
    if trust.log is None:
        raise TokenError(f"{settings.key_dir / LOG}: the log of the key beside it is gone", Code.LOG_GONE)
    # This is the signer's own host, whose user has made the key: here his lab key is allowed.
    given = {**trust.given(), "allowed_lab": trust.allowed_lab | {key.id}}
    token = check_token(content, what, now=datetime.now(UTC), host=_host_state(settings), **given)
    digest = token_digest(payload)
    report, error = _report_beside(path, token, digest)
    if report is ReportState.CHANGED and error is not None:
        raise TokenError(f"{report_path(path)}: {error}", error.code)
    return Shown(token, digest, None, report)


def read_signed_log(settings: Settings) -> Log:
    """The log of what the signer did, checked from end to end, against the revocation list too."""
    key = trusted_key(settings.key_dir)
    log = read_log(settings.key_dir, key)
    read_revocations(settings.key_dir / REVOCATIONS, key, minimum_version=log.head.revocations)
    return log


def what_to_revoke(word: str, key_dir: Path) -> tuple[str, str]:
    """Kind and value of what a word names: a token's file, a nonce, an object's SHA-256. InputError for any other.

    A file's token has to be signed by the key whose public half is in `key_dir`.
    """
    if is_sha256(word):
        return "object", word
    if len(word) == 32 and not set(word) - set("0123456789abcdef"):
        return "nonce", word
    path = Path(word)
    if not path.exists():
        raise InputError(f"{word[:80]!r} is no file, no nonce (32 digits in hex) and no object's SHA-256 (64)")
    try:
        content, key = read_bounded(path), trusted_key(key_dir)
        with _told_of(path):
            return "nonce", parse_payload(unseal(content, key)).nonce
    except TokenError as error:
        raise InputError(str(error)) from error


def host_state_dir(settings: Settings) -> Path:
    """Where this host keeps which tokens it has consumed."""
    return settings.data_dir / "host"


def _words(here: Here, token: Token, settings: Settings) -> tuple[str, ...]:
    """The loader's words that the token is compared with; InputError for a setting that the object does not take.

    In the token's order if they are the token's: each sets another knob, so order means nothing to the loader.
    """
    if here.knobs is None and not here.sets:
        return () if here.object_path else token.arguments
    texts = {**parse_knob_values(here.knobs or ()), **here.sets}
    knobs = _knobs_of(here.object_path or settings.object_dir / f"{token.object_sha256}.bpf.o", token.object_sha256)
    if knobs is None:  # without the object nobody knows the types: each word is taken as it is written
        words = tuple(word(name, value) for name, value in texts.items())
    else:
        policy = Policy(token.policy, "", "", "", "", "", knobs)
        check_known(policy, texts)
        words = knob_words(policy, texts)
    return token.arguments if sorted(words) == sorted(token.arguments) else words


def _knobs_of(path: Path, sha256: str) -> tuple[Knob, ...] | None:
    """The knobs of the object that the token is for; None if it is not at hand."""
    try:
        data = read_bounded(path, limit=OBJECT_LIMIT)
        return read_knobs(data) if hashlib.sha256(data).hexdigest() == sha256 else None
    except (TokenError, ObjectError):
        return None


def _host_state(settings: Settings) -> HostState | None:
    # No agent has ever consumed a token here.
    return read_host_state(host_state_dir(settings)) if os.path.lexists(host_state_dir(settings)) else None


def _report_beside(path: Path, token: Token, token_sha256: str) -> tuple[ReportState, TokenError | None]:
    report = report_path(path)
    if not os.path.lexists(report):
        return ReportState.MISSING, None
    try:
        check_report(read_bounded(report), token, token_sha256)
    except TokenError as error:
        return ReportState.OTHER if error.code is Code.REPORT_OTHER else ReportState.CHANGED, error
    return ReportState.AS_SIGNED, None


def _object_digest(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: {'no plain file' if path.exists() else 'no such file'}")
    return hashlib.sha256(read_bounded(path, limit=OBJECT_LIMIT)).hexdigest()


def _host_btf() -> str:
    try:
        return hashlib.sha256(HOST_BTF.read_bytes()).hexdigest()
    except OSError as error:
        reason = f"{HOST_BTF}: {error.strerror}: which types this kernel has is not known"
        raise TokenError(reason, Code.UNREADABLE) from error

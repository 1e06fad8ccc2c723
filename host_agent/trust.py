# SPDX-License-Identifier: Apache-2.0
"""What this host trusts: the verifier's public key, its revocation list, its log. Newer ones may come, older never."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host_agent.config import Config
from host_agent.kernel import Kernel
from host_agent.protocol import RefusedError
from policy_lake.files import atomic_write, atomic_write_together, scratch
from policy_lake.policy_key import policy_key
from verifier_vm.tokens.audit_log import HEAD, LOG, read_log
from verifier_vm.tokens.check import Attachment, check_token
from verifier_vm.tokens.consume import consume_token
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.host_state import STATE, create_host_state, read_host_state
from verifier_vm.tokens.public_key import TrustedKey
from verifier_vm.tokens.revocation import REVOCATIONS, RevocationList, read_revocations
from verifier_vm.tokens.terms import RolloutStage, Token
from verifier_vm.tokens.trust import read_trust, trusted_key


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants attached: the envelope, the object's digest, the loader's words, the rollout's stage."""

    envelope: bytes
    object_sha256: str
    words: tuple[str, ...]
    stage: RolloutStage

    @property
    def key(self) -> str:
        """By which the policy's circuit breaker is known."""
        return policy_key(self.object_sha256, self.words)


class Trust:
    """The check side of tokens with this host's files. TokenError, KeyFileError or InfraError: no authorisation."""

    def __init__(self, config: Config, kernel: Kernel) -> None:
        self._config, self._kernel = config, kernel

    @property
    def state(self) -> Path:
        """Where this host's consumed nonces are."""
        return self._config.state / "tokens"

    def prepare(self) -> None:
        """Makes the empty state of a new host. One that is gone beside a journal is not made anew: see agent.py."""
        if not (self.state / STATE).exists():
            create_host_state(self.state)

    def consume(self, wanted: Wanted) -> Token:
        """The token, checked against this host as it is now and used up."""
        return consume_token(self.state, wanted.envelope, self._what(wanted), now=datetime.now(UTC), **self._known())

    def check(self, wanted: Wanted) -> Token:
        """The token, checked and not used up: for a load without an attachment."""
        return check_token(
            wanted.envelope,
            self._what(wanted),
            now=datetime.now(UTC),
            host=read_host_state(self.state),
            **self._known(),
        )

    def still_good(self, wanted: Wanted) -> Token:
        """The token of what was attached before and is to be so again: all of the check but the nonce's first use."""
        known = self._known()
        known["revocations"] = self._newest(known["public_key"])
        return check_token(wanted.envelope, self._what(wanted), now=datetime.now(UTC), **known)

    def revoked(self, token: Token) -> str:
        """Why the token of what is attached no longer holds; empty if it does, or no list can be read."""
        found = self._newest(trusted_key(self._config.trust)).find(nonce=token.nonce, object_sha256=token.object_sha256)
        return found.reason if found else ""

    def renew(self, *, revocations: Mapping[str, Any] | None, log: bytes | None, head: Mapping[str, Any] | None) -> int:
        """Takes a list and a log (with its head) that are newer than this host's; the list's version from then on.

        TokenError with OLD_REVOCATIONS or OTHER_LOG for older ones; RefusedError for one of log and head alone.
        """
        key, seen = trusted_key(self._config.trust), read_host_state(self.state)
        if (log is None) != (head is None):
            raise RefusedError("bad_request", "trust: a log comes with its head, and a head with its log")
        if revocations is not None:
            newest = max(seen.revocations, self._version(key))
            read_revocations(revocations, key, minimum_version=max(newest, 1))
        if log is not None and head is not None:
            self._take_log(key, log, json.dumps(head).encode())
        if revocations is not None:
            atomic_write(self._config.trust / REVOCATIONS, json.dumps(revocations).encode(), durable=True, mode=0o644)
        return self._newest(key).version

    def _take_log(self, key: TrustedKey, log: bytes, head: bytes) -> None:
        with scratch("trust") as work:
            (Path(work) / LOG).write_bytes(log)
            (Path(work) / HEAD).write_bytes(head)
            new, seen = read_log(Path(work), key), read_host_state(self.state)
        old = read_log(self._config.trust, key) if (self._config.trust / LOG).exists() else None
        last = (len(old.entries), old.digests[-1]) if old else (0, "")
        if not (new.holds(seen.log_seq, seen.log_sha256) and new.holds(*last)):
            raise TokenError("the log is older than the one seen before, or another", Code.OTHER_LOG)
        atomic_write_together(
            {self._config.trust / LOG: log, self._config.trust / HEAD: head}, durable=True, mode=0o644
        )

    def _version(self, key: TrustedKey) -> int:
        path = self._config.trust / REVOCATIONS
        return read_revocations(path, key).version if path.exists() else 0

    def _newest(self, key: TrustedKey) -> RevocationList:
        least = max(read_host_state(self.state).revocations, 1)
        return read_revocations(self._config.trust / REVOCATIONS, key, minimum_version=least)

    def _known(self) -> dict[str, Any]:
        trust = read_trust(self._config.trust)
        if self._config.require_log and trust.log is None:
            raise TokenError(f"{self._config.trust / LOG}: this host wants the log, and it is not there", Code.LOG_GONE)
        return trust.given()

    def _what(self, wanted: Wanted) -> Attachment:
        host = self._kernel.host()
        return Attachment(
            wanted.object_sha256, wanted.words, host.kernel, host.btf_sha256, self._config.who, host.cpus,
            wanted.stage, self._config.hotplug,
        )  # fmt: skip

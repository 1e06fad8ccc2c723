# SPDX-License-Identifier: Apache-2.0
"""What a host has consumed and seen: nonces, the highest version per policy, the newest revocation list and log."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import atomic_write
from verifier_vm.tokens.dsse import canonical_json, strict_json
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError, in_one_line
from verifier_vm.tokens.files import private_directory, read_bounded, require_private
from verifier_vm.tokens.records import from_plain, to_plain

STATE = "host_state.json"
STATE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class HostState:
    """`nonces` with the time at which their tokens end, `marks` as audience to policy to version."""

    nonces: dict[str, datetime] = field(default_factory=dict)
    marks: dict[str, dict[str, int]] = field(default_factory=dict)
    revocations: int = 0
    log_seq: int = 0
    log_sha256: str = ""

    def mark(self, audience: str, policy: str) -> int:
        """The highest version of a policy consumed; 0 if there was none."""
        return self.marks.get(audience, {}).get(policy, 0)


def create_host_state(directory: Path) -> None:
    """The empty state of a new host; InputError if there is one: emptying it would make old tokens good again."""
    with private_directory(directory):
        if os.path.lexists(directory / STATE):
            raise InputError(f"{directory / STATE}: is there already")
        write_host_state(directory, HostState())


def read_host_state(directory: Path) -> HostState:
    """A host's state; TokenError if there is none, others could have written it, or it cannot be read."""
    path = directory / STATE
    try:
        require_private(directory, directory.stat())
        require_private(path, path.lstat())
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}", Code.HOST_STATE) from error
    except KeyFileError as error:
        raise TokenError(str(error), Code.HOST_STATE) from error
    content = read_bounded(path, limit=STATE_LIMIT)
    try:
        state = from_plain(HostState, strict_json(content))
        if canonical_json(to_plain(state)) + b"\n" != content:
            raise ValueError("a member is unknown or not written as we write it")
    except (ValueError, TypeError, RecursionError) as error:
        raise TokenError(f"{path}: cannot be read: {in_one_line(error)}", Code.HOST_STATE) from error
    return state


def write_host_state(directory: Path, state: HostState) -> None:
    """Replaces the state durably in one step; InfraError if the disk will not take it."""
    content = canonical_json(to_plain(state)) + b"\n"
    if len(content) > STATE_LIMIT:
        raise TokenError(f"{directory / STATE}: would grow beyond {STATE_LIMIT} bytes", Code.HOST_STATE)
    atomic_write(directory / STATE, content, durable=True, mode=0o600)

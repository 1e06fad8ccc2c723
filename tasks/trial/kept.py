# SPDX-License-Identifier: Apache-2.0
"""Compiled policies, kept by the SHA-256 of their bytes: what a token names, and what can be measured again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import atomic_write, read_outside
from tasks.host.settings import Settings
from tasks.trial.parts import OBJECT_LIMIT


def object_path(sha256: str, settings: Settings) -> Path:
    """Where the object of that digest lies."""
    return settings.object_dir / f"{sha256}.bpf.o"


def keep_object(data: bytes, settings: Settings) -> None:
    """Keep an object, durably; InfraError if it cannot be written."""
    atomic_write(object_path(hashlib.sha256(data).hexdigest(), settings), data, durable=True)


def kept_object(sha256: str, settings: Settings) -> bytes:
    """The object of that digest; InputError if it is gone, or is another by now."""
    path = object_path(sha256, settings)
    data = read_outside(path, OBJECT_LIMIT)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path}: damaged: it is not what its name was made of")
    return data

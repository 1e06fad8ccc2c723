# SPDX-License-Identifier: Apache-2.0
"""The Ed25519 key that signs: made on first use, in a directory that nobody else may enter.

It is called BEGINNING until the log has its first entry and head: beside a key of its final name there must be a log.

Only the signer's process imports this module (a contract in pyproject.toml).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from policy_lake.files import atomic_create, fsync_directory
from verifier_vm.tokens.errors import KeyFileError
from verifier_vm.tokens.files import SIZE_LIMIT, require_private
from verifier_vm.tokens.public_key import PUBLIC, SERVICE_LINE, TrustedKey

PRIVATE, BEGINNING = "signing.key", "signing.key.new"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; it never appears in a message or a repr."""

    _private: Ed25519PrivateKey
    service: bool = False

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    @property
    def public(self) -> TrustedKey:
        """The key that checks what this one signs."""
        return TrustedKey(self._private.public_key(), self.service)

    @property
    def key_id(self) -> str:
        """See TrustedKey.id."""
        return self.public.id

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        return self._private.sign(message)


def signing_key(directory: Path, *, service: bool = False) -> SigningKey:
    """The private key in `directory`, made there (a service's or a lab key) with its public half if there is none yet.

    KeyFileError if anyone but the owner may enter the directory or read the key, or if it is no Ed25519 key.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(directory, directory.stat())
        path = directory / PRIVATE
        if not os.path.lexists(path):
            path = directory / BEGINNING
            if not os.path.lexists(path):
                _create(path, service)
        key = _load(path)
        public = key.public.pem
        atomic_create(directory / PUBLIC, public, mode=0o644)
        if (directory / PUBLIC).read_bytes() != public:
            raise KeyFileError(f"{directory / PUBLIC}: not the public half of {path}; move it away")
    except OSError as error:
        raise KeyFileError(f"{error.filename or directory}: {error.strerror}") from error
    return key


def keep_key(directory: Path) -> None:
    """Give a key that is called BEGINNING its final name, durably."""
    if os.path.lexists(directory / BEGINNING):
        try:
            (directory / BEGINNING).replace(directory / PRIVATE)
            fsync_directory(directory)
        except OSError as error:
            raise KeyFileError(f"{directory / PRIVATE}: {error.strerror}") from error


def _load(path: Path) -> SigningKey:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        require_private(path, os.fstat(file.fileno()))
        content = file.read(SIZE_LIMIT)
    try:
        key = load_pem_private_key(content.removeprefix(SERVICE_LINE), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: not an unencrypted private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return SigningKey(key, content.startswith(SERVICE_LINE))


def _create(path: Path, service: bool) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    atomic_create(path, SERVICE_LINE + pem if service else pem, mode=0o600)

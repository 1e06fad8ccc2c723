# SPDX-License-Identifier: Apache-2.0
"""The Ed25519 key that signs tokens: made on first use, in a directory that nobody else may enter."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from policy_lake.model import SchedcpError

PRIVATE = "signing.key"
PUBLIC = "signing.pub"


class KeyFileError(SchedcpError):
    """A key file that cannot be trusted or read; the message names it and the mending command."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; it never appears in a message or a repr."""

    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    @property
    def public(self) -> Ed25519PublicKey:
        """The key that checks what this one signs."""
        return self._private.public_key()

    @property
    def key_id(self) -> str:
        """See key_id."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        return self._private.sign(message)


def key_id(public: Ed25519PublicKey) -> str:
    """The name of a key: SHA-256 of the 32 bytes of its public half, in hex."""
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def signing_key(directory: Path) -> SigningKey:
    """The private key in `directory`, made there with its public half beside it if there is none yet.

    KeyFileError if anyone but the owner may enter the directory or read the key, or if it is no Ed25519 key.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private_to_us(directory, directory.stat())
        path = directory / PRIVATE
        if not os.path.lexists(path):
            _create(path)
        key = _load(path)
        public = key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _place(directory / PUBLIC, public, mode=0o644)
        if (directory / PUBLIC).read_bytes() != public:
            raise KeyFileError(f"{directory / PUBLIC}: not the public half of {path}; move it away")
    except OSError as error:
        raise KeyFileError(f"{error.filename or directory}: {error.strerror}") from error
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key in a PEM file; KeyFileError if there is none."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return key


def _load(path: Path) -> SigningKey:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        _private_to_us(path, os.fstat(file.fileno()))
        content = file.read()
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: not an unencrypted private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return SigningKey(key)


def _private_to_us(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise KeyFileError(f"{path}: owned by user {found.st_uid}, not by the user who signs ({os.geteuid()})")
    if loose := stat.S_IMODE(found.st_mode) & 0o077:
        want = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
        raise KeyFileError(f"{path}: others may use it (mode bits {loose:03o}): `chmod {want:o} {path}`")


def _create(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    _place(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)


def _place(path: Path, content: bytes, *, mode: int) -> None:
    """Puts a whole file at `path` unless one is there: of two processes that meet, both go on with the first's."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()

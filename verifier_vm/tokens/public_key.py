# SPDX-License-Identifier: Apache-2.0
"""The public half of the key: all that anybody needs who checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from verifier_vm.tokens.errors import KeyFileError, TokenError
from verifier_vm.tokens.files import read_bounded

PUBLIC = "signing.pub"
# The first line of the files of a verifier service's key. What does not begin so is a lab key: the mark that can be
# dropped is the one that gives more trust.
SERVICE_LINE = b"schedcp-key: service\n"
SignedBy = Literal["lab", "service"]


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key, and whether it is of a verifier service, a user of its own; else it is a lab key."""

    ed25519: Ed25519PublicKey
    service: bool = False

    @property
    def id(self) -> str:
        """Its name: SHA-256 of its 32 bytes, in hex."""
        return hashlib.sha256(self.ed25519.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()

    @property
    def signed_by(self) -> SignedBy:
        """What a token that it signed says of it."""
        return "service" if self.service else "lab"

    @property
    def pem(self) -> bytes:
        """Its file."""
        pem = self.ed25519.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return SERVICE_LINE + pem if self.service else pem

    def verify(self, signature: bytes, message: bytes) -> None:
        """InvalidSignature unless it made the signature."""
        self.ed25519.verify(signature, message)


def read_public_key(path: Path) -> TrustedKey:
    """The public key in a PEM file; KeyFileError if there is none."""
    try:
        content = read_bounded(path, limit=4096)
        key = load_pem_public_key(content.removeprefix(SERVICE_LINE))
    except TokenError as error:
        raise KeyFileError(str(error)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return TrustedKey(key, content.startswith(SERVICE_LINE))

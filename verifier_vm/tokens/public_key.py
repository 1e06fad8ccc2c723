# SPDX-License-Identifier: Apache-2.0
"""The public half of the key: all that anybody needs who checks."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from verifier_vm.tokens.errors import KeyFileError, TokenError
from verifier_vm.tokens.files import read_bounded

PUBLIC = "signing.pub"


def key_id(public: Ed25519PublicKey) -> str:
    """The name of a key: SHA-256 of the 32 bytes of its public half, in hex."""
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key in a PEM file; KeyFileError if there is none."""
    try:
        key = load_pem_public_key(read_bounded(path, limit=4096))
    except TokenError as error:
        raise KeyFileError(str(error)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return key

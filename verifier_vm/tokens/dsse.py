# SPDX-License-Identifier: Apache-2.0
"""DSSE envelopes with exactly one Ed25519 signature, read so strictly that no byte of one can change unnoticed.

https://github.com/secure-systems-lab/dsse, protocol 1.0.2.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policy_lake.model import InfraError, SchedcpError
from verifier_vm.tokens.private_key import SigningKey, key_id

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SIZE_LIMIT = 1 << 20


class TokenError(SchedcpError):
    """The token gives no leave; the message is the reason."""

    exit_status = 3


def seal(payload: bytes, key: SigningKey) -> dict[str, Any]:
    """The envelope round a payload, signed."""
    signature = {"keyid": key.key_id, "sig": base64.b64encode(key.sign(pae(PAYLOAD_TYPE, payload))).decode()}
    return {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode(), "signatures": [signature]}


def write_token(envelope: Mapping[str, Any], path: Path) -> None:
    """Writes a token whole or not at all; InfraError if the disk will not take it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(json.dumps(envelope, indent=1).encode() + b"\n")
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink()
            raise
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error


def read_token(path: Path) -> bytes:
    """A token file's content, for check_token; TokenError if there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}") from error


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a DSSE signature is over (pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def unseal(envelope: bytes | Mapping[str, Any], public_key: Ed25519PublicKey) -> bytes:
    """The payload of an envelope that this key signed; TokenError with the reason for any other."""
    try:
        data = strict_json(envelope) if isinstance(envelope, bytes) else envelope
        (signature,) = data["signatures"]
        if set(data) != {"payloadType", "payload", "signatures"} or set(signature) != {"keyid", "sig"}:
            raise ValueError("a member is unknown")
        if data["payloadType"] != PAYLOAD_TYPE:
            raise ValueError(f"payloadType is {data['payloadType']!r}")
        payload, sig = _base64(data["payload"]), _base64(signature["sig"])
        signer = signature["keyid"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TokenError(f"not a token: {error if isinstance(error, ValueError) else repr(error)}") from error
    if signer != key_id(public_key):
        raise TokenError(f"the token is signed with the key {signer!r}, which is not trusted here")
    try:
        public_key.verify(sig, pae(PAYLOAD_TYPE, payload))
    except InvalidSignature:
        raise TokenError("the token's signature is wrong: it was changed, or made with another key") from None
    return payload


def canonical_json(data: Any) -> bytes:
    """The one way in which we write JSON that is signed; ValueError for what JSON cannot carry."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def strict_json(content: bytes) -> Any:
    """JSON of bounded size without a member named twice, of which two readers might each believe another one."""
    if len(content) > SIZE_LIMIT:
        raise ValueError(f"larger than {SIZE_LIMIT} bytes")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError("a member is named twice")
        return found

    return json.loads(content, object_pairs_hook=once)


def _base64(text: str) -> bytes:
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:  # unused bits in the last character
        raise ValueError("base64 is not in its one canonical form")
    return content

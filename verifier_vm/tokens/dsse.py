# SPDX-License-Identifier: Apache-2.0
"""DSSE envelopes with exactly one Ed25519 signature, read so strictly that no byte of one can change unnoticed.

https://github.com/secure-systems-lab/dsse, protocol 1.0.2.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature

from policy_lake.strict_json import strict_json as read_strictly
from verifier_vm.tokens.errors import Code, TokenError, in_one_line
from verifier_vm.tokens.files import SIZE_LIMIT
from verifier_vm.tokens.public_key import TrustedKey

TOKEN_TYPE = "application/vnd.in-toto+json"
REVOCATIONS_TYPE = "application/vnd.schedcp.revocations+json"
HEAD_TYPE = "application/vnd.schedcp.log-head+json"
ENTRY_TYPE = "application/vnd.schedcp.log-entry+json"
NAMES = {
    TOKEN_TYPE: "token",
    REVOCATIONS_TYPE: "revocation list",
    HEAD_TYPE: "log head",
    ENTRY_TYPE: "log entry",
}


class Signer(Protocol):
    """What signs: a key and its name."""

    @property
    def key_id(self) -> str:
        """See public_key.key_id."""

    def sign(self, message: bytes) -> bytes:
        """A signature."""


def seal(payload: bytes, key: Signer, *, kind: str = TOKEN_TYPE) -> dict[str, Any]:
    """The envelope round a payload, signed. `kind` is signed too: nothing passes for something else."""
    signature = {"keyid": key.key_id, "sig": base64.b64encode(key.sign(pae(kind, payload))).decode()}
    return {"payloadType": kind, "payload": base64.b64encode(payload).decode(), "signatures": [signature]}


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a DSSE signature is over (pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def open_unverified(envelope: bytes | Mapping[str, Any], *, kind: str = TOKEN_TYPE) -> tuple[bytes, str, bytes]:
    """Payload, key id and signature of an envelope that may be anybody's; TokenError when it is none."""
    try:
        data = strict_json(envelope) if isinstance(envelope, bytes) else envelope
        (signature,) = data["signatures"]
        if set(data) != {"payloadType", "payload", "signatures"} or set(signature) != {"keyid", "sig"}:
            raise ValueError("a member is unknown")
        if data["payloadType"] != kind:
            raise ValueError(f"payloadType is {data['payloadType']!r}")
        return _base64(data["payload"]), signature["keyid"], _base64(signature["sig"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TokenError(f"not a {NAMES[kind]}: {in_one_line(fault(error))}", Code.MALFORMED) from error


def unseal(envelope: bytes | Mapping[str, Any], public_key: TrustedKey, *, kind: str = TOKEN_TYPE) -> bytes:
    """The payload of an envelope that this key signed; TokenError with the reason for any other."""
    payload, signer, sig = open_unverified(envelope, kind=kind)
    if signer != public_key.id:
        reason = f"the {NAMES[kind]} is signed with the key {str(signer)[:80]!r}, which is not trusted here"
        raise TokenError(reason, Code.OTHER_KEY)
    try:
        public_key.verify(sig, pae(kind, payload))
    except InvalidSignature:
        reason = f"the {NAMES[kind]}'s signature is wrong: it was changed, or made with another key"
        raise TokenError(reason, Code.BAD_SIGNATURE) from None
    return payload


def fault(error: Exception) -> str:
    """What is wrong with a document on which a reader of it failed so, in our words."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"it is no UTF-8 text (byte {error.start})"
    if isinstance(error, KeyError):
        return f"the member {str(error.args[0])[:80]!r} is missing"
    return "a member is of another type" if isinstance(error, TypeError) else str(error)


def canonical_json(data: Any) -> bytes:
    """The one way in which we write JSON that is signed; ValueError for what JSON cannot carry."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def strict_json(content: bytes, *, limit: int = SIZE_LIMIT) -> Any:
    """JSON of a token's size at most without a member named twice, of which two readers might each believe another."""
    return read_strictly(content, most=limit)


def _base64(text: str) -> bytes:
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:  # unused bits in the last character
        raise ValueError("base64 is not in its one canonical form")
    return content

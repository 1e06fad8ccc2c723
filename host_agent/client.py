# SPDX-License-Identifier: Apache-2.0
"""One question to an agent, over its socket or mutual TLS, and its answer; for the control plane and for people."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_agent.protocol import VERSION, RefusedError
from host_agent.strict import strict_object
from policy_lake.errors import InfraError, InputError

LONGEST_ANSWER = 4 << 20
DEEPEST_ANSWER = 32
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class TlsAddress:
    """A host over TLS: where, our certificate and key, the authority that signed the host's, the name in the host's."""

    host: str
    port: int
    certificate: Path
    key: Path
    authority: Path
    name: str = "localhost"


Address = Path | TlsAddress


def ask(address: Address, request: str, *, timeout_s: float = TIMEOUT_S, **given: Any) -> dict[str, Any]:
    """What the agent answers. RefusedError with its code; InfraError where it cannot be reached or talks nonsense.

    Bytes are to be given as base64 text.
    """
    line = json.dumps({"v": VERSION, "req": request, "id": request, **given}, allow_nan=False).encode() + b"\n"
    try:
        with _connected(address, timeout_s) as stream:
            stream.sendall(line)
            told = strict_object(_line(stream), most=LONGEST_ANSWER, deepest=DEEPEST_ANSWER)
    except (OSError, ValueError) as error:
        raise InfraError(f"{_where(address)}: {' '.join(str(error).split())[:200]}") from None
    if told.get("ok") is True:
        return {name: value for name, value in told.items() if name not in ("v", "id", "ok")}
    more = {name: value for name, value in told.items() if name not in ("v", "id", "ok", "code", "message")}
    raise RefusedError(str(told.get("code"))[:40], str(told.get("message")), **more)


def _connected(address: Address, timeout_s: float) -> socket.socket:
    if isinstance(address, TlsAddress):
        try:
            context = ssl.create_default_context(cafile=str(address.authority))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(address.certificate, address.key)
        except OSError as error:
            raise InputError(f"{address.certificate} or {address.authority}: cannot be used: {error}") from None
        plain = socket.create_connection((address.host, address.port), timeout_s)
        try:
            return context.wrap_socket(plain, server_hostname=address.name)
        except BaseException:
            plain.close()
            raise
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(timeout_s)
    try:
        stream.connect(str(address))
    except BaseException:
        stream.close()
        raise
    return stream


def _line(stream: socket.socket) -> bytes:
    content = b""
    while not content.endswith(b"\n"):
        piece = stream.recv(1 << 16)
        content += piece
        if not piece:
            raise ValueError("it hung up" if not content else "it hung up in the middle of its answer")
        if len(content) > LONGEST_ANSWER:
            raise ValueError(f"it answers with more than {LONGEST_ANSWER} bytes")
    return content


def _where(address: Address) -> str:
    return f"{address.host}:{address.port}" if isinstance(address, TlsAddress) else str(address)

# SPDX-License-Identifier: Apache-2.0
"""A host's agent asked over the network: mutual TLS, one JSON object a line, and nothing that comes back is believed.

A host may be anybody's by the time that it answers: what it sends is bounded in size, depth and time, and read
strictly.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError
from policy_lake.show import for_terminal, shortened
from policy_lake.strict_json import strict_object
from tasks.hosts.certificates import AUTHORITY, CERTIFICATE, CONTROL, KEY
from verifier_vm.machine.host_line import LOOPBACK

VERSION = 1
MOST_BYTES = 1 << 20
ASK_S = 20.0  # less than a rollout's lease; a host on a machine under load took more than 10 s for a word
LONGEST_WORD, LONGEST_MESSAGE = 64, 500


class UnreachableError(InfraError):
    """No answer that can be read came from a host; the message names it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a host's agent listens and by what it is known: its name stands in its certificate.

    `certificates` is the directory with the fleet's authority and the control plane's own certificate and key.
    """

    host: str
    port: int
    certificates: Path
    at: str = LOOPBACK


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent answered: `fields` as it sent them; where it refused (not `ok`) its code and its words."""

    ok: bool
    code: str
    message: str
    fields: Mapping[str, Any]


def ask(address: Address, request: str, *, timeout_s: float = ASK_S, **fields: Any) -> Answer:
    """Send one request and take its answer, within `timeout_s` in all. UnreachableError says what went wrong.

    To reach it takes ASK_S at most, whatever time its answer has.
    """
    id = secrets.token_hex(8)
    line = json.dumps({"v": VERSION, "req": request, "id": id, **fields}, allow_nan=False).encode() + b"\n"
    limit = time.monotonic() + timeout_s
    try:
        with (
            _connected(address, min(limit, time.monotonic() + ASK_S)) as plain,
            context(address).wrap_socket(plain, server_hostname=address.host) as secure,
        ):
            _left(secure, limit)
            secure.sendall(line)
            return read_answer(_line(secure, limit), id)
    except TimeoutError:
        raise UnreachableError(f"host {address.host}: no answer within {timeout_s:.0f} s") from None
    except ssl.SSLCertVerificationError as error:
        raise UnreachableError(f"host {address.host}: whoever answers is not it ({error.verify_message})") from error
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or type(error).__name__
        raise UnreachableError(f"host {address.host}: cannot be reached ({for_terminal(why)})") from error
    except ValueError as error:
        raise UnreachableError(f"host {address.host}: its answer is none: {error}") from None


def context(address: Address) -> ssl.SSLContext:
    """TLS 1.3 with the control plane's certificate, for a host whose own is by the fleet's authority."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which checks certificate and name
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_verify_locations(address.certificates / f"{AUTHORITY}{CERTIFICATE}")
    own = address.certificates / CONTROL
    made.load_cert_chain(own.with_suffix(CERTIFICATE), own.with_suffix(KEY))
    return made


def read_answer(line: bytes, id: str) -> Answer:
    """The answer to the request of that id; ValueError, in one line, for whatever is none."""
    record = strict_object(line, most=MOST_BYTES)
    if type(record.get("v")) is not int or record["v"] != VERSION:
        raise ValueError(f"field 'v' is not {VERSION}")
    if record.get("id") != id:
        raise ValueError("it answers another request")
    ok = record.get("ok")
    if not isinstance(ok, bool):
        raise ValueError("field 'ok' is neither true nor false")
    code, message = record.get("code", ""), record.get("message", "")
    if not isinstance(code, str) or not isinstance(message, str) or (not ok and not code):
        raise ValueError("it refuses without a code")
    rest = {name: value for name, value in record.items() if name not in ("v", "id", "ok", "code", "message")}
    return Answer(ok, shortened(code, LONGEST_WORD), shortened(message, LONGEST_MESSAGE), rest)


def _connected(address: Address, limit: float) -> socket.socket:
    """A connection to one of its addresses, all of them together no longer than until `limit`."""
    wrong: OSError = TimeoutError()
    for family, kind, protocol, _, place in socket.getaddrinfo(address.at, address.port, type=socket.SOCK_STREAM):
        plain = socket.socket(family, kind, protocol)
        try:
            _left(plain, limit)
            plain.connect(place)
            _left(plain, limit)
            return plain
        except OSError as error:
            plain.close()
            wrong = error
    raise wrong


def _left(stream: socket.socket, limit: float) -> None:
    left = limit - time.monotonic()
    if left <= 0:
        raise TimeoutError
    stream.settimeout(left)


def _line(secure: ssl.SSLSocket, limit: float) -> bytes:
    """The first line; one that comes byte by byte has no more time in all than any other."""
    data = bytearray()
    while b"\n" not in data:
        if len(data) > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES >> 20} MiB")
        _left(secure, limit)
        piece = secure.recv(1 << 16)
        if not piece:
            raise ValueError("it ended in the middle" if data else "the connection was closed without one")
        data += piece
    return bytes(data[: data.index(b"\n")])

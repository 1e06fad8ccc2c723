# SPDX-License-Identifier: Apache-2.0
"""Whether a server or cluster that somebody else runs answers, and whether this machine can talk to itself."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.show import is_utf8
from tasks.fleet.environment import joins_a_cluster

MOST_BYTES = 1 << 16  # of a health check's answer
REACH_S = 4.0  # two of these, and the start of Python, within ten seconds
# HTTP/2's client preface with empty SETTINGS (RFC 9113, 3.4); a gRPC server answers with SETTINGS, type 4, of its own.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS = 4


def check_reachable() -> None:
    """Before any work: InfraError in one line for what PREFECT_API_URL or RAY_ADDRESS name and is not there.

    InputError for what is no address, whoever listens anywhere.
    What we start ourselves needs the loopback interface.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    if url:
        _check_url(url)
    if joins_a_cluster():
        _host_and_port(os.environ["RAY_ADDRESS"])
    if not url or not joins_a_cluster():
        _within(check_loopback, "the loopback interface does not answer")
    if url:
        _within(lambda: check_prefect(url), f"PREFECT_API_URL={url}: no Prefect server answers there")
    if joins_a_cluster():
        address = os.environ["RAY_ADDRESS"]
        _within(lambda: check_ray(address), f"RAY_ADDRESS={address}: no Ray cluster can be reached there")


def check_loopback() -> None:
    """InfraError when a connection from this machine to 127.0.0.1 does not come about."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=REACH_S).close()
    except OSError as error:
        raise InfraError(
            f"the loopback interface does not work ({error.strerror or error}): try `ip link set lo up`"
        ) from None


def check_prefect(url: str) -> None:
    """InfraError when no Prefect server answers at the API's address."""
    _check_url(url)
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=REACH_S) as answer:
            json.loads(answer.read(MOST_BYTES))  # `true`; what is no JSON is no Prefect
            return
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # it is there, and wants a key that Prefect's own client brings
            return
        why = f"HTTP {error.code}"
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError, RecursionError) as error:
        why = type(getattr(error, "reason", error)).__name__
    raise InfraError(f"PREFECT_API_URL={url}: no Prefect server answers there ({why})")


def check_ray(address: str) -> None:
    """InfraError when no Ray cluster answers at HOST:PORT."""
    place = _host_and_port(address)
    if place is None:
        return
    try:
        with socket.create_connection(place, timeout=REACH_S) as connection:
            connection.sendall(PREFACE)
            answer = connection.recv(9)
    except OSError as error:
        raise InfraError(f"RAY_ADDRESS={address}: no Ray cluster can be reached there ({error})") from None
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise InfraError(f"RAY_ADDRESS={address}: what answers there is no Ray cluster")


def _check_url(url: str) -> None:
    """InputError for what is no HTTP address."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:  # brackets that do not close, a port that is none
        good = False
    if not good:
        raise InputError(f"PREFECT_API_URL={url}: not an http:// or https:// address")


def _host_and_port(address: str) -> tuple[str, int] | None:
    """Where a Ray cluster listens, None for an address that only Ray understands; InputError for what is none."""
    if address == "auto" or "://" in address.removeprefix("ray://"):
        return None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    host = host.strip("[]")
    if not _is_host(host) or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65536:
        raise InputError(f"RAY_ADDRESS={address}: not a HOST:PORT")
    return host, int(port)


def _is_host(name: str) -> bool:
    """Whether it can be looked up at all: Python's resolver takes no label that is empty or too long."""
    if not name or not name.isprintable() or " " in name or not is_utf8(name):
        return False
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True


def _within(check: Callable[[], None], late: str) -> None:
    """The check on a thread of its own: looking up a name has no time limit."""
    failures: list[SchedcpError] = []

    def run() -> None:
        try:
            check()
        except SchedcpError as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="reach", daemon=True)
    thread.start()
    thread.join(REACH_S + 0.5)
    if failures:
        raise failures[0]
    if thread.is_alive():
        raise InfraError(f"{late} (no answer within {REACH_S:g} s)")

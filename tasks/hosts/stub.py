# SPDX-License-Identifier: Apache-2.0
"""Runs on a host in the place of the agent, by Debian's python3 alone, where a checkout has no `host_agent` yet.

It answers `status` over mutual TLS with the word `idle`, and refuses all else: enough to try a fleet, and nothing that
could attach a policy.
"""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

PLACE = Path("/etc/schedcp/tls")
LONGEST = 1 << 20


def answer(line: bytes) -> bytes:
    """The line that answers a request."""
    try:
        request = json.loads(line)
        id, ok = str(request["id"]), request["req"] == "status"
    except (ValueError, KeyError, TypeError, RecursionError):
        id, ok = "", False
    said = {"status": "idle", "stub": True} if ok else {"code": "unknown", "message": "this host has no agent yet"}
    return json.dumps({"v": 1, "id": id, "ok": ok, **said}).encode() + b"\n"


def main() -> None:
    """Serve for ever, one connection at a time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(PLACE / "host.pem", PLACE / "host.key")
    context.load_verify_locations(PLACE / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("0.0.0.0", 7650)) as server:
        while True:
            plain, _ = server.accept()
            plain.settimeout(5)
            try:
                with context.wrap_socket(plain, server_side=True) as secure, secure.makefile("rwb") as stream:
                    stream.write(answer(stream.readline(LONGEST)))
                    stream.flush()
            except (OSError, ssl.SSLError) as error:
                print(error, flush=True)
                plain.close()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What answers in the place of a Prefect server that is gone for good.

A socket that listens and is never accepted from would hold up every request that a run makes while it ends.
"""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOK_S, HEAR_S = 0.2, 2.0
LONGEST_BODY = 16 << 20


class Refusal(BaseHTTPRequestHandler):
    """Says of every request that it will not be answered; Prefect's client repeats none that got this status."""

    timeout = HEAR_S

    def do_GET(self) -> None:
        """Hear it to its end, or its connection would be reset before the answer is read."""
        length = self.headers.get("Content-Length", "")
        self.rfile.read(min(int(length), LONGEST_BODY) if length.isdecimal() else 0)
        self.send_response(HTTPStatus.GONE)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the reason is told once, by whoever lost the server."""


def refuse(listener: socket.socket, over: threading.Event) -> None:
    """Refuse what comes through this socket, and what waits in it, until `over`; the socket stays open."""
    server = ThreadingHTTPServer(listener.getsockname(), Refusal, bind_and_activate=False)
    server.socket.close()
    server.socket, server.timeout = listener, LOOK_S
    while not over.is_set():
        server.handle_request()

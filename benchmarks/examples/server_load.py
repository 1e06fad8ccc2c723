# SPDX-License-Identifier: Apache-2.0
"""A small threaded server on the loopback device and clients that ask it, all one process tree, bounded in number.

For `schedcp record -- python -m benchmarks.examples.server_load`: the third command of docs/replay.md.
"""

from __future__ import annotations

import multiprocessing
import random
import socket
import socketserver
import sys
import threading
import zlib

CLIENTS, REQUESTS, THINK_S, TIMEOUT_S = 4, 250, 0.002, 20.0
_BODY = random.Random(1).randbytes(30_000)


class _Handler(socketserver.StreamRequestHandler):
    """Compresses something for each line that a client sends, some ms of work, and answers with its checksum."""

    def handle(self) -> None:
        for line in self.rfile:
            packed = zlib.compress(_BODY * (1 + int(line) % 5), 9)
            self.wfile.write(b"%d\n" % zlib.crc32(packed))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def ask(address: tuple[str, int], client: int) -> None:
    """One client: its requests one after the other, with a pause between them."""
    pause = threading.Event()
    with socket.create_connection(address, timeout=TIMEOUT_S) as connection, connection.makefile("rb") as answers:
        for number in range(REQUESTS):
            connection.sendall(b"%d\n" % (client + number))
            if not answers.readline().strip().isdigit():
                sys.exit(1)
            pause.wait(THINK_S)


def main() -> int:
    """Serve until every client is done; 1 if one of them was answered wrongly."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        context = multiprocessing.get_context("fork")
        clients = [context.Process(target=ask, args=((str(host), int(port)), n)) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server.shutdown()
    return int(any(client.exitcode for client in clients))


if __name__ == "__main__":
    sys.exit(main())

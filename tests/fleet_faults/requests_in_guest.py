# SPDX-License-Identifier: Apache-2.0
"""On a host: a server of small requests, as any process, and who sends them at their times, whatever the server does.

A request is lost that has no whole answer LIMIT_S after it was due, is refused or reset. The one who sends is a
real-time task, so that a policy cannot make it send later, and lose less.
"""

import selectors
import socket
import struct
import time

PORT = 9918
EVERY_S, LIMIT_S, LATE_S = 0.25, 5.0, 1.0
BACKLOG = 128
WORK = 500


def serve():
    """Answers one connection after the other, with a little work for each."""
    with socket.create_server(("127.0.0.1", PORT), backlog=BACKLOG) as server:
        while True:
            client, _ = server.accept()
            with client:
                try:
                    asked = client.recv(64)
                    client.sendall(struct.pack("Q", sum(range(WORK)) + len(asked)))
                except OSError:
                    continue


def send(counts):
    """For ever; `counts` gets (sent, answered, lost, late) as four numbers of 64 bits."""
    told, selector, due = [0, 0, 0, 0], selectors.DefaultSelector(), time.monotonic()
    while True:
        now = time.monotonic()
        if now >= due:
            stream = socket.socket()
            stream.setblocking(False)
            stream.connect_ex(("127.0.0.1", PORT))
            selector.register(stream, selectors.EVENT_WRITE, due)
            told[0] += 1
            due += EVERY_S
        for key, _ in selector.select(max(0.0, due - time.monotonic())):
            _go_on(key, selector, told)
        now = time.monotonic()
        for key in [key for key in selector.get_map().values() if now > key.data + LIMIT_S]:
            _end(key, selector)
            told[2] += 1
        counts[:32] = struct.pack("4Q", *told)


def _go_on(key, selector, told):
    stream = key.fileobj
    try:
        if key.events == selectors.EVENT_WRITE:
            stream.sendall(b"request\n")
            selector.modify(stream, selectors.EVENT_READ, key.data)
            return
        answered = len(stream.recv(64)) == 8
    except OSError:
        answered = False
    _end(key, selector)
    told[1 if answered else 2] += 1
    told[3] += answered and time.monotonic() > key.data + LATE_S


def _end(key, selector):
    selector.unregister(key.fileobj)
    key.fileobj.close()

# SPDX-License-Identifier: Apache-2.0
"""How much of a request is heard before it is refused; test_fleet_prefect.py does it on real sockets."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.fleet.refuse import Refusal

MOST = 16 << 20  # bytes of a body


def heard(head: bytes, body: bytes) -> tuple[int, bytes]:
    """How many bytes of the body were read, and the answer."""
    read: list[int] = []
    sent: list[bytes] = []

    class Stream(io.BytesIO):
        def close(self) -> None:
            read.append(self.tell() - len(head))
            super().close()

    connection: Any = SimpleNamespace(
        makefile=lambda *_: Stream(head + body),
        settimeout=lambda _: None,
        sendall=lambda part: sent.append(bytes(part)),
    )
    server: Any = None
    Refusal(connection, ("127.0.0.1", 1), server)
    return read[0], b"".join(sent)


@pytest.mark.parametrize(
    ("length", "bytes_read"),
    [("3", 3), ("0", 0), (None, 0), ("-1", 0), ("three", 0), (f"{MOST}", MOST), (f"{MOST + 1}", MOST)],
)
def test_a_body_is_heard_to_its_end_or_to_the_limit_and_what_is_none_is_not(
    length: str | None, bytes_read: int
) -> None:
    head = b"POST / HTTP/1.1\r\n" + (f"Content-Length: {length}\r\n".encode() if length else b"") + b"\r\n"
    read, answer = heard(head, b"x" * (MOST + 2))
    assert read == bytes_read and answer.startswith(b"HTTP/1.0 410 Gone\r\n")

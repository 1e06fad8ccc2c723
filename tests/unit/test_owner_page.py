# SPDX-License-Identifier: Apache-2.0
"""A page of metrics over HTTP, from a server that does as it likes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.owner.stated import from_page
from policy_lake.errors import InputError
from policy_lake.limits import OWNER_TEXT_BYTES
from tasks.traces import page


@contextmanager
def serving(answer: bytes) -> Iterator[str]:
    """The address of a server that says that to the first who asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client:
                client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/metrics"
        thread.join(5)


def test_a_series_of_a_server_s_page() -> None:
    with serving(b"HTTP/1.1 200 OK\r\n\r\nrequests_per_s 12.5\n") as url:
        metric = from_page(page.read_page(url), "requests_per_s")
    assert (metric.value, metric.unit, metric.better) == (12.5, "1/s", "higher")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n", "answers 302"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (OWNER_TEXT_BYTES + 1), "more than 1048576 bytes"),
        (b"nothing of HTTP\r\n\r\n", "nothing of HTTP"),
        (b"", "closed connection"),
    ],
)
def test_what_is_no_page_is_told(answer: bytes, told: str) -> None:
    with serving(answer) as url, pytest.raises(InputError, match=rf"^{url}: .*{told}"):
        page.read_page(url)


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(InputError, match="timed out"):
        page.read_page(f"http://127.0.0.1:{server.getsockname()[1]}/")


def test_a_server_that_goes_on_for_ever_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE_S", -1.0)
    with serving(b"HTTP/1.1 200 OK\r\n\r\nx") as url, pytest.raises(InputError, match="goes on for more than"):
        page.read_page(url)


@pytest.mark.parametrize(
    "url", ["", "x", "https://a/", "file:///etc/passwd", "http://", "http://a:b@c/", "http://[", "http://a/\n"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InputError, match="not http://HOST:PORT/PATH"):
        page.read_page(url)

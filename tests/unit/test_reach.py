# SPDX-License-Identifier: Apache-2.0
"""What a variable names and is not there is told in one line, soon, whatever is there instead."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from policy_lake.errors import InfraError, InputError, SchedcpError
from tasks.fleet import reach

LIMIT_S = reach.REACH_S


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A port where each connection gets these bytes (None: nothing, for ever)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    connection.recv(4096)
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "REACH_S", 0.5)
    for name in ("PREFECT_API_URL", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, kind: type[SchedcpError] = InfraError) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(SchedcpError) as raised:
        reach.check_reachable()
    assert isinstance(raised.value, kind)
    assert "\n" not in str(raised.value) and str(raised.value).startswith(f"{name}={value}: ")
    return str(raised.value)


def test_without_either_nothing_is_asked_but_the_loopback_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    reach.check_reachable()

    def down(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", down)
    with pytest.raises(InfraError, match=r"loopback interface does not work \(Network is unreachable\): try `ip link"):
        reach.check_reachable()


@pytest.mark.parametrize(
    "answer", [None, b"", b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n", b"SSH-2.0-OpenSSH\r\n",
     b"HTTP/1.1 200 OK\r\n\r\n\0\xff<html>", b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 65_536],
)  # fmt: skip
def test_no_prefect_server(monkeypatch: pytest.MonkeyPatch, answer: bytes | None) -> None:
    with answering(answer) as port:
        refused(monkeypatch, "PREFECT_API_URL", f"http://127.0.0.1:{port}/api")


NO_HOST = ("a..b", "a" * 64, "\x1b[31m", "\udcff", "a b", "")


@pytest.mark.parametrize(
    "value", ["file:///etc/passwd", "127.0.0.1:4200", "nonsense", "http://[::1/api", "http://h:0/api", "http://h:65536",
              *(f"http://{host}:4200/api" for host in NO_HOST)],
)  # fmt: skip
def test_no_address_of_a_prefect_server(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(reach, "check_loopback", lambda: pytest.fail("nothing is tried before"))
    refused(monkeypatch, "PREFECT_API_URL", value, InputError)


@pytest.mark.parametrize(("name", "value"), [("PREFECT_API_URL", "http://127.0.0.1:1/api"), ("RAY_ADDRESS", "[::1]:1")])
def test_nobody_at_an_address(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    refused(monkeypatch, name, value)


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "403 Forbidden"])
def test_a_prefect_server(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    with answering(f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\ntrue".encode()) as port:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
        reach.check_reachable()


@pytest.mark.parametrize("answer", [None, b"", bytes(3), b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_no_ray_cluster(monkeypatch: pytest.MonkeyPatch, answer: bytes | None) -> None:
    with answering(answer) as port:
        refused(monkeypatch, "RAY_ADDRESS", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "value",
    ["nonsense", "host:", ":1", "h:65536", "h:0", "h:\u0661", "h:-1", *(f"{host}:1" for host in NO_HOST)],
)
def test_no_address_of_a_ray_cluster(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(reach, "check_loopback", lambda: pytest.fail("nothing is tried before"))
    refused(monkeypatch, "RAY_ADDRESS", value, InputError)


def test_what_speaks_http_2_may_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    for answer in (settings, settings[:4]):  # of which the kernel may bring the first part alone
        with answering(answer) as port:
            monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
            reach.check_reachable()


def test_the_last_port_is_one_and_the_next_is_none() -> None:
    with pytest.raises(InfraError, match="no Ray cluster can be reached"):
        reach.check_ray("127.0.0.1:65535")
    with pytest.raises(InputError, match="not a HOST:PORT"):
        reach.check_ray("127.0.0.1:65536")


def test_the_loopback_interface_is_tried_on_a_port_of_the_kernels_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, create = [], socket.create_server
    monkeypatch.setattr(socket, "create_server", lambda address: asked.append(address) or create(address))
    reach.check_loopback()
    assert asked == [("127.0.0.1", 0)]


def test_what_we_send_first_is_a_preface_and_one_empty_frame_of_settings() -> None:
    preface, frame = reach.PREFACE[:24], reach.PREFACE[24:]
    assert preface == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" and len(frame) == 9
    length, kind, flags, stream = int.from_bytes(frame[:3]), frame[3], frame[4], int.from_bytes(frame[5:])
    assert (length, kind, flags, stream) == (0, 4, 0, 0)


@pytest.mark.parametrize("address", ["auto", "https://host:1", "ray://https://host"])
def test_an_address_that_only_ray_understands_is_left_to_it(address: str) -> None:
    reach.check_ray(address)


def test_nothing_of_ours_is_asked_where_both_are_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("check_loopback", "check_prefect", "check_ray"):
        monkeypatch.setattr(reach, name, lambda *given, name=name: asked.append(name))
    for prefect, ray, expected in (
        ("", "", ["check_loopback"]), ("http://h/api", "", ["check_loopback", "check_prefect"]),
        ("", "h:1", ["check_loopback", "check_ray"]), ("http://h/api", "h:1", ["check_prefect", "check_ray"]),
    ):  # fmt: skip
        monkeypatch.setenv("PREFECT_API_URL", prefect)
        monkeypatch.setenv("RAY_ADDRESS", ray)
        asked.clear()
        reach.check_reachable()
        assert asked == expected


def test_the_whole_takes_less_than_ten_seconds_and_a_slow_host_has_some() -> None:
    assert LIMIT_S * 2 + 1 <= 10 and LIMIT_S >= 2


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "check_loopback", lambda: None)
    monkeypatch.setattr(reach, "check_ray", lambda _: threading.Event().wait(5))
    assert "no answer within 0.5 s" in refused(monkeypatch, "RAY_ADDRESS", "nowhere.example:6379")
    waiting = [thread for thread in threading.enumerate() if thread.name == "reach"]
    assert waiting and all(thread.daemon for thread in waiting), "no exit waits for it"

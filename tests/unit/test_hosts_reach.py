# SPDX-License-Identifier: Apache-2.0
"""A host's agent asked over mutual TLS: whoever cannot show the fleet's certificate, or answers amiss, is no host."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from policy_lake.strict_json import DEEPEST
from tasks.hosts.certificates import make_certificates
from tasks.hosts.reach import MOST_BYTES, Address, UnreachableError, ask, context, read_answer

Reply = Callable[[bytes, ssl.SSLSocket], bytes]
GOOD = {"v": 1, "id": "a", "ok": True}


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The certificates of two fleets with hosts of the same names."""
    top = tmp_path_factory.mktemp("fleets")
    for name in ("one", "other"):
        make_certificates(top / name, ["fleet-1", "fleet-2"])
    return top / "one", top / "other"


class Host:
    """A server on loopback that shows a certificate and answers as it is told."""

    def __init__(self, certificates: Path, name: str, reply: Reply) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
        self._context.load_verify_locations(certificates / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port, self._reply, self.asked = self._server.getsockname()[1], reply, b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            plain, _ = self._server.accept()
            plain.settimeout(5)
            with self._context.wrap_socket(plain, server_side=True) as secure:
                self.asked = secure.recv(1 << 16)
                secure.sendall(self._reply(self.asked, secure))
        except OSError:
            plain.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def serve(fleets: tuple[Path, Path]) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def begin(reply: Reply, *, certificates: Path = fleets[0], name: str = "fleet-1") -> Host:
        hosts.append(Host(certificates, name, reply))
        return hosts[-1]

    yield begin
    for host in hosts:
        host.close()


def saying(**record: object) -> Reply:
    def reply(line: bytes, secure: ssl.SSLSocket) -> bytes:
        return json.dumps({"v": 1, "id": json.loads(line)["id"], **record}).encode() + b"\n"

    return reply


def raw(content: bytes) -> Reply:
    return lambda line, secure: content.replace(b"ID", json.loads(line)["id"].encode())


def test_a_question_arrives_whole_and_its_answer_comes_back(serve, fleets) -> None:
    host = serve(saying(ok=True, status="idle"))
    found = ask(Address("fleet-1", host.port, fleets[0]), "attach", knobs={"slice_ns": 1})
    assert (found.ok, found.code, found.fields) == (True, "", {"status": "idle"})
    asked = json.loads(host.asked)
    assert asked.pop("id") and asked == {"v": 1, "req": "attach", "knobs": {"slice_ns": 1}}
    assert host.asked.endswith(b"\n") and host.asked.count(b"\n") == 1


def test_a_refusal_is_an_answer_with_its_code(serve, fleets) -> None:
    host = serve(saying(ok=False, code="x" * 100, message="y" * 1000))
    found = ask(Address("fleet-1", host.port, fleets[0]), "attach")
    assert not found.ok and found.code.startswith("xxx") and len(found.code) <= 65 and len(found.message) <= 501


def test_another_host_and_another_fleet_are_not_it(serve, fleets) -> None:
    one, other = fleets
    for certificates, name in ((one, "fleet-2"), (other, "fleet-1"), (one, "control-plane")):
        host = serve(saying(ok=True), certificates=certificates, name=name)
        with pytest.raises(UnreachableError, match=r"^host fleet-1: (whoever answers is not it|cannot be reached)"):
            ask(Address("fleet-1", host.port, one), "status")
        assert host.asked == b""


@pytest.mark.parametrize("shown", ["none", "other fleet", "a host's"])
def test_who_shows_no_certificate_of_the_control_plane_is_not_answered(serve, fleets, shown: str) -> None:
    one, other = fleets
    host = serve(saying(ok=True))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(one / "ca.pem")
    if shown == "other fleet":
        made.load_cert_chain(other / "control-plane.pem", other / "control-plane.key")
    if shown == "a host's":
        made.load_cert_chain(one / "fleet-2.pem", one / "fleet-2.key")
    with (
        pytest.raises(OSError),
        socket.create_connection(("127.0.0.1", host.port), 5) as plain,
        made.wrap_socket(plain, server_hostname="fleet-1") as secure,
    ):
        secure.sendall(b'{"v":1,"req":"status","id":"a"}\n')
        if secure.recv(100) == b"":
            raise ConnectionError
    assert host.asked == b""


def test_nothing_older_than_tls_1_3_and_nothing_unchecked(fleets) -> None:
    made = context(Address("fleet-1", 1, fleets[0]))
    assert made.minimum_version == ssl.TLSVersion.TLSv1_3
    assert made.verify_mode == ssl.CERT_REQUIRED and made.check_hostname


def test_keys_are_the_owners_alone_and_the_authoritys_is_nowhere(fleets) -> None:
    names = {path.name for path in fleets[0].iterdir()}
    assert names == {"ca.pem", "control-plane.pem", "control-plane.key", "fleet-1.pem", "fleet-1.key", "fleet-2.pem",
                     "fleet-2.key"}  # fmt: skip
    assert {path.stat().st_mode & 0o077 for path in fleets[0].iterdir()} == {0}
    assert fleets[0].stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"v":1,"id":"ID","ok":true,"ok":false}\n', "a member is named twice"),
        (b'{"v":1,"id":"ID","ok":true,"x":NaN}\n', "NaN is no number"),
        (b'{"v":1,"id":"ID","ok":true,"x":' + b"[" * DEEPEST + b"]" * DEEPEST + b"}\n", f"deeper than {DEEPEST}"),
        (b"[" * 200_000 + b"\n", "deeper than|not JSON"),
        (b'{"v":2,"id":"ID","ok":true}\n', "field 'v'"),
        (b'{"v":true,"id":"ID","ok":true}\n', "field 'v'"),
        (b'{"v":1,"id":"other","ok":true}\n', "answers another request"),
        (b'{"v":1,"id":"ID","ok":1}\n', "neither true nor false"),
        (b'{"v":1,"id":"ID","ok":false}\n', "without a code"),
        (b'{"v":1,"id":"ID","ok":true,"code":5}\n', "without a code"),
        (b"[]\n", "not an object"),
        (b"hello\n", "not JSON"),
        (b"\xff\n", "no UTF-8 text"),
        (b"", "closed without one"),
        (b'{"v":1', "in the middle"),
        (b"x" * (MOST_BYTES + (1 << 17)), "longer than 1 MiB"),
    ],
)
def test_an_answer_that_is_none_is_one_line(serve, fleets, content: bytes, fault: str) -> None:
    host = serve(raw(content))
    with pytest.raises(UnreachableError, match=fault) as refused:
        ask(Address("fleet-1", host.port, fleets[0]), "status")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200


def test_the_deepest_that_may_be_is_read() -> None:
    line = json.dumps({**GOOD, "x": json.loads("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))}).encode()
    assert read_answer(line, "a").ok


def test_time_runs_out_for_silence_and_for_one_that_comes_byte_by_byte(serve, fleets) -> None:
    def silent(line: bytes, secure: ssl.SSLSocket) -> bytes:
        time.sleep(2)
        return b""

    def slow(line: bytes, secure: ssl.SSLSocket) -> bytes:
        for _ in range(40):
            secure.sendall(b" ")
            time.sleep(0.05)
        return b""

    for reply in (silent, slow):
        host, began = serve(reply), time.monotonic()
        with pytest.raises(UnreachableError, match="no answer within"):
            ask(Address("fleet-1", host.port, fleets[0]), "status", timeout_s=0.5)
        assert time.monotonic() - began < 1.9


def test_nobody_there_is_said_with_the_hosts_name(fleets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnreachableError, match=r"host fleet-1: cannot be reached \(Connection refused\)"):
        ask(Address("fleet-1", port, fleets[0]), "status")

# SPDX-License-Identifier: Apache-2.0
"""The socket: strict lines with limits, who may ask, slow clients, mutual TLS, and hostile messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, Running, attach_words, refused
from fuzz_agent import fuzz

from host_agent import serve
from host_agent.client import TlsAddress, ask
from host_agent.config import Tls
from host_agent.protocol import LONGEST_LINE, read_request
from host_agent.serve import Server
from policy_lake.errors import InfraError, InputError


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def serving(host: FakeHost, test: Any, **changes: Any) -> None:
    async def main() -> None:
        here = Running(host, **changes)
        await here.agent.start()
        server = Server(here.agent.config, here.desk)
        await server.start()
        watching = asyncio.create_task(here.watcher.run())
        try:
            await asyncio.wait_for(test(here, server), 60)
        finally:
            watching.cancel()
            await here.agent.take_off("agent", "over")
            await server.close()

    asyncio.run(main())


async def client(here: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(here.agent.config.socket, limit=1 << 22)


async def say(streams: Any, line: bytes) -> dict[str, Any]:
    reader, writer = streams
    writer.write(line)
    return dict(json.loads(await asyncio.wait_for(reader.readline(), 20)))


STATUS = b'{"v":1,"req":"status","id":"a"}\n'
WRONG: list[tuple[bytes, str]] = [
    (b"", "bad_request"), (b"null", "bad_request"), (b"[]", "bad_request"), (b"\xff", "bad_request"),
    (b'{"v":1}', "unknown_request"), (b'{"v":2,"req":"status","id":"a"}', "bad_version"),
    (b'{"v":true,"req":"status"}', "bad_version"), (b'{"v":1.0,"req":"status"}', "bad_version"),
    (b'{"v":1,"req":"status","id":7}', "bad_request"), (b'{"v":1,"req":["status"]}', "unknown_request"),
    (b'{"v":1,"req":"status","req":"status"}', "bad_request"), (b'{"v":1,"req":"status","more":1}', "bad_request"),
    (b'{"v":1,"req":"attach"}', "bad_request"), (b'{"v":1,"req":"lease","lease":NaN}', "bad_request"),
    (b'{"v":1,"req":"lease","lease":-1}', "bad_request"), (b'{"v":1,"req":"lease","lease":true}', "bad_request"),
    (b'{"v":1,"req":"lease","lease":' + b"9" * 30 + b"}", "bad_request"),
    (b'{"v":1,"req":"stop","reason":"a\\nb"}', "bad_request"), (b'{"a":' * 9 + b"1" + b"}" * 9, "bad_request"),
    (b'{"v":1,"req":"trust","revocations":{"a":' + b"[" * 9 + b"]" * 9 + b"}}", "bad_request"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code"), WRONG)
def test_what_is_no_request_is_refused_by_a_code(line: bytes, code: str) -> None:
    with refused(code):
        read_request(line)


@pytest.mark.parametrize(
    ("member", "value"),
    [("token", 7), ("token", "ä"), ("token", "a"), ("object", None), ("knobs", "a=1"), ("knobs", [1]),
     ("knobs", ["a"] * 63), ("knobs", ["a\0=1"]), ("knobs", ["x" * 70_000]), ("stage", "all"), ("stage", 1),
     ("mode", "quick"), ("lease", "1"), ("lease", 1e6), ("cgroup", "x" * 300)],
)  # fmt: skip
def test_each_member_of_an_attach_is_checked(member: str, value: Any) -> None:
    good = {"v": 1, "req": "attach", "id": "a", **attach_words(b"{}")}
    assert read_request(json.dumps(good).encode()).given["object"] == b"object"
    with refused("bad_request") as caught:
        read_request(json.dumps({**good, member: value}).encode())
    assert member in str(caught.value)


def test_brackets_in_a_text_do_not_nest() -> None:
    line = json.dumps({"v": 1, "req": "stop", "id": "a", "reason": '[{"\\' * 30})
    assert read_request(line.encode()).given["reason"] == '[{"\\' * 30


def test_requests_are_answered_by_their_ids_and_the_connection_goes_on(host: FakeHost) -> None:
    async def test(here: Running, _server: Server) -> None:
        streams = await client(here)
        told = await say(streams, STATUS)
        assert (told["ok"], told["id"], told["status"]) == (True, "a", "idle")
        told = await say(streams, b'{"v":1,"req":"nothing","id":"b"}\n')
        assert (told["ok"], told["id"], told["code"]) == (False, "b", "unknown_request")
        attach = {"v": 1, "req": "attach", "id": "c", **attach_words(host.token())}
        assert (await say(streams, json.dumps(attach).encode() + b"\n"))["ops"] == "ljf"
        assert (await say(streams, STATUS))["status"] == "running"

    serving(host, test)


def test_a_line_beyond_the_limit_ends_the_connection_and_no_other(host: FakeHost) -> None:
    async def test(here: Running, _server: Server) -> None:
        other, streams = await client(here), await client(here)
        told = await say(streams, b"x" * (LONGEST_LINE + 10) + b"\n")
        assert told["code"] == "bad_request" and await streams[0].read() == b""
        assert (await say(other, STATUS))["ok"]

    serving(host, test)


def test_slow_and_silent_clients_keep_nobody_waiting_and_are_ended(host: FakeHost, monkeypatch: Any) -> None:
    monkeypatch.setattr(serve, "LINE_S", 0.5)

    async def test(here: Running, _server: Server) -> None:
        slow = [await client(here) for _ in range(5)]
        for _, writer in slow:
            writer.write(b'{"v":1,')
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(here.agent.config.socket))
        deaf.setblocking(False)
        for _ in range(2000):
            try:
                deaf.send(STATUS)
            except BlockingIOError:
                break
        assert (await say(await client(here), STATUS))["ok"]
        for reader, _ in slow:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        deaf.close()

    serving(host, test)


def test_more_clients_than_are_served_at_once_are_told_so(host: FakeHost, monkeypatch: Any) -> None:
    monkeypatch.setattr(serve, "MOST_CLIENTS", 2)

    async def test(here: Running, _server: Server) -> None:
        kept = [await client(here) for _ in range(2)]
        for streams in kept:
            await say(streams, STATUS)
        reader, _ = await client(here)
        assert json.loads(await reader.readline())["code"] == "busy"
        kept[0][1].close()
        await asyncio.sleep(0.1)
        assert (await say(await client(here), STATUS))["ok"]

    serving(host, test)


def test_a_client_that_goes_away_in_the_middle_leaves_the_attachment_whole(host: FakeHost) -> None:
    async def test(here: Running, _server: Server) -> None:
        _, writer = await client(here)
        writer.write(json.dumps({"v": 1, "req": "attach", "id": "c", **attach_words(host.token())}).encode() + b"\n")
        await writer.drain()
        writer.transport.abort()
        await here.until(lambda: here.agent.on is not None)
        assert here.agent.journal.open[0].done

    serving(host, test)


def test_who_is_neither_root_nor_of_the_group_is_refused(host: FakeHost) -> None:
    server = Server(replace(host.config, group="daemon"), Any)  # type: ignore[arg-type]
    assert server.admits(0, 0) and server.admits(os.geteuid(), 99) and server.admits(4711, 1)
    assert not server.admits(65534, 65534) and not server.admits(4711, 4711)
    assert not Server(replace(host.config, group="no-such"), Any).admits(65534, 65534)  # type: ignore[arg-type]

    async def test(here: Running, strict: Server) -> None:
        strict.admits = lambda uid, gid: False  # type: ignore[method-assign]
        reader, _ = await client(here)
        assert json.loads(await reader.readline())["code"] == "not_allowed"
        assert await reader.read() == b""
        await here.until(lambda: bool(host.told("refused")))

    serving(host, test)
    assert (host.root / "run").is_dir()


def test_a_socket_of_an_agent_that_is_gone_is_taken_over_and_another_thing_is_not(host: FakeHost) -> None:
    path = host.config.socket
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    serve.make_room(path)
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(InputError, match="no socket"):
        serve.make_room(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(InputError, match="another agent"):
            serve.make_room(path)


def certificates(root: Path) -> None:
    """An authority, a host's and a client's certificate by it, and a stranger's."""

    def call(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=root, check=True, capture_output=True)

    for name in ("ca", "stranger"):
        call("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
             "-subj", f"/CN={name}", "-days", "2")  # fmt: skip
    for name in ("host", "client"):
        call(
            "req",
            "-newkey",
            "ed25519",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            "/CN=localhost",
        )
        call(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-out",
            f"{name}.pem",
            "-days",
            "2",
        )
        (root / f"{name}.key").chmod(0o600)


def test_tcp_is_mutual_tls_and_nothing_else(host: FakeHost) -> None:
    certificates(host.root)
    tls = Tls("127.0.0.1", 0, host.root / "host.pem", host.root / "host.key", host.root / "ca.pem")

    def context(name: str) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(host.root / "ca.pem"))
        made.check_hostname = False
        if name:
            made.load_cert_chain(host.root / f"{name}.pem", host.root / f"{name}.key")
        return made

    async def test(here: Running, server: Server) -> None:
        streams = await asyncio.open_connection("127.0.0.1", server.port, ssl=context("client"))
        assert (await say(streams, STATUS))["ok"]
        told = await say(streams, b'{"v":1,"req":"resume","id":"r","object":"' + b"a" * 64 + b'"}\n')
        assert told["code"] == "not_admin"  # a certificate is not root
        for name in ("", "stranger"):
            with pytest.raises((OSError, json.JSONDecodeError)):
                await say(await asyncio.open_connection("127.0.0.1", server.port, ssl=context(name)), STATUS)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(STATUS)
        with contextlib.suppress(ConnectionResetError):
            assert b'"ok"' not in await asyncio.wait_for(reader.read(), 10)
        assert (await say(streams, STATUS))["ok"]
        address = TlsAddress("127.0.0.1", server.port, *(host.root / f for f in ("client.pem", "client.key", "ca.pem")))
        assert (await asyncio.to_thread(ask, address, "status"))["status"] == "idle"
        for wrong in (replace(address, name="other"), replace(address, authority=host.root / "stranger.pem")):
            with pytest.raises(InfraError, match="certificate"):
                await asyncio.to_thread(ask, wrong, "status")
        with pytest.raises(InputError):
            await asyncio.to_thread(ask, replace(address, key=host.root / "none"), "status")

    serving(host, test, tls=tls)
    (host.root / "host.key").chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        serve.tls_context(tls)
    (host.root / "host.key").chmod(0o600)
    for wrong in (replace(tls, authority=host.root / "none"), replace(tls, certificate=host.root / "client.key")):
        with pytest.raises(InputError, match="tls"):
            serve.tls_context(wrong)


def test_the_client_gets_the_answer_or_the_code(host: FakeHost) -> None:
    async def test(here: Running, _server: Server) -> None:
        path = here.agent.config.socket
        assert (await asyncio.to_thread(ask, path, "status"))["status"] == "idle"
        with refused("not_attached"):
            await asyncio.to_thread(ask, path, "lease", lease=1)

    serving(host, test)
    with pytest.raises(InfraError, match="No such file"):
        ask(host.config.socket, "status")
    for said in (b"", b"{", b"junk\n", b"[" * 40 + b"\n"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(host.config.socket))
            listener.listen()

            def answer(said: bytes = said, listener: socket.socket = listener) -> None:
                stream, _ = listener.accept()
                stream.recv(1000)
                stream.sendall(said)
                stream.close()

            answering = threading.Thread(target=answer)
            answering.start()
            with pytest.raises(InfraError):
                ask(host.config.socket, "status")
            answering.join()
        host.config.socket.unlink()


def test_hostile_messages_end_nothing_and_attach_nothing(tmp_path: Path) -> None:
    codes = asyncio.run(fuzz(tmp_path, 400, 7))
    assert {"bad_request", "unknown_request", "bad_version", "ok"} <= codes.keys()
    assert codes.keys() & {"other_audience", "malformed"}, codes

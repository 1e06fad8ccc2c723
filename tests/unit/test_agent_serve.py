# SPDX-License-Identifier: Apache-2.0
"""The socket: strict lines with limits, who may ask, slow clients, mutual TLS, and hostile messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, Running, attach_words, refused
from fuzz_agent import fuzz

from host_agent import serve
from host_agent.config import Tls
from host_agent.protocol import LONGEST_LINE, read_request
from host_agent.serve import Server
from policy_lake.errors import InfraError, InputError
from tasks.hosts.certificates import make_certificates
from tasks.hosts.reach import Address, ask


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


def test_tcp_is_mutual_tls_and_nothing_else(host: FakeHost, tmp_path: Path) -> None:
    ours, strangers = tmp_path / "ours", tmp_path / "strangers"
    for place in (ours, strangers):
        make_certificates(place, ["localhost"])
    tls = Tls("127.0.0.1", 0, ours / "localhost.pem", ours / "localhost.key", ours / "ca.pem")

    def context(by: Path | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(ours / "ca.pem"))
        if by:
            made.load_cert_chain(by / "control-plane.pem", by / "control-plane.key")
        return made

    async def connected(server: Server, **how: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", server.port, **how)

    async def test(here: Running, server: Server) -> None:
        streams = await connected(server, ssl=context(ours), server_hostname="localhost")
        assert (await say(streams, STATUS))["ok"]
        told = await say(streams, b'{"v":1,"req":"resume","object":"%s"}\n' % (b"0" * 64))
        assert told["code"] == "not_admin"  # a certificate is not root
        for by in (None, strangers):
            with pytest.raises((OSError, json.JSONDecodeError)):
                await say(await connected(server, ssl=context(by), server_hostname="localhost"), STATUS)
        reader, writer = await connected(server)
        writer.write(STATUS)
        with contextlib.suppress(ConnectionResetError):
            assert b'"ok"' not in await asyncio.wait_for(reader.read(), 10)
        assert (await say(streams, STATUS))["ok"]
        address = Address("localhost", server.port, ours)
        assert (await asyncio.to_thread(ask, address, "status")).fields["status"] == "idle"
        for wrong in (replace(address, host="other"), replace(address, certificates=strangers)):
            with pytest.raises(InfraError, match="whoever answers is not it"):
                await asyncio.to_thread(ask, wrong, "status")

    serving(host, test, tls=tls)
    tls.key.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        serve.tls_context(tls)
    tls.key.chmod(0o600)
    for wrong in (replace(tls, authority=host.root / "none"), replace(tls, certificate=tls.key)):
        with pytest.raises(InputError, match="tls"):
            serve.tls_context(wrong)


def test_hostile_messages_end_nothing_and_attach_nothing(tmp_path: Path) -> None:
    codes = asyncio.run(fuzz(tmp_path, 400, 7))
    assert {"bad_request", "unknown_request", "bad_version", "ok"} <= codes.keys()
    assert codes.keys() & {"other_audience", "malformed"}, codes

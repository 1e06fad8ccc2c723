# SPDX-License-Identifier: Apache-2.0
"""The socket: who may talk to the agent, and each client served without any other having to wait for it.

Unix: the kernel says who is there (root, or a member of the configured group). TCP: inside mutual TLS alone, by a
certificate that the configured authority signed; there is no way to have plain TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import socket
import ssl
import stat
import struct
from pathlib import Path

from host_agent.config import Config, Tls
from host_agent.desk import Desk
from host_agent.protocol import LONGEST_LINE, RefusedError, answer, read_request, refusal
from policy_lake.errors import InputError

MOST_CLIENTS = 32
LINE_S = 30.0  # a client that begins a line ends it within this, and takes an answer
REST_S = 600.0  # between two lines
HANDSHAKE_S = 10.0
_CREDENTIALS = struct.Struct("3i")


class Server:
    """Serves one desk on its socket, and over TLS where that is configured."""

    def __init__(self, config: Config, desk: Desk) -> None:
        self._config, self._desk = config, desk
        self._clients = 0
        self._servers: list[asyncio.Server] = []
        self._groups = _group_ids(config.group)

    async def start(self) -> None:
        """Listens. InputError for a place or certificate that cannot be used."""
        path = self._config.socket
        make_room(path)
        before = os.umask(0o117)
        try:
            server = await asyncio.start_unix_server(self._serve_unix, path, limit=LONGEST_LINE + 1)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        finally:
            os.umask(before)
        self._servers.append(server)
        for group in self._groups:
            with contextlib.suppress(PermissionError):
                os.chown(path, -1, group)
        if (tls := self._config.tls) is not None:
            context = tls_context(tls)
            try:
                self._servers.append(
                    await asyncio.start_server(
                        self._serve_tls, tls.host, tls.port, ssl=context, limit=LONGEST_LINE + 1,
                        ssl_handshake_timeout=HANDSHAKE_S,
                    )
                )  # fmt: skip
            except OSError as error:
                raise InputError(f"tls: {tls.host}:{tls.port}: {error.strerror or error}") from None

    @property
    def port(self) -> int:
        """The port of TLS; 0 without."""
        return int(self._servers[1].sockets[0].getsockname()[1]) if len(self._servers) > 1 else 0

    async def close(self) -> None:
        """Takes no more clients."""
        for server in self._servers:
            server.close()
        self._config.socket.unlink(missing_ok=True)

    def admits(self, uid: int, gid: int) -> bool:
        """Whether a process of that user may ask: root, our own user, or a member of the group."""
        if uid in (0, os.geteuid()) or gid in self._groups:
            return True
        try:
            name = pwd.getpwuid(uid).pw_name
            return any(name in grp.getgrgid(group).gr_mem for group in self._groups)
        except KeyError:
            return False

    async def _serve_unix(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, gid = _CREDENTIALS.unpack(peer)
        if self.admits(uid, gid):
            await self._serve(reader, writer, admin=uid == 0)
        else:
            error = RefusedError("not_allowed", f"user {uid} is neither root nor of the group {self._config.group}")
            await self._desk.refused("connect", error)
            await self._end(writer, refusal("", error))

    async def _serve_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer, admin=False)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, admin: bool) -> None:
        if self._clients >= MOST_CLIENTS:
            await self._end(writer, refusal("", RefusedError("busy", f"there are {MOST_CLIENTS} clients already")))
            return
        self._clients += 1
        try:
            while line := await _line_of(reader):
                writer.write(await self._answer(line, admin))
                await asyncio.wait_for(writer.drain(), LINE_S)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        except ValueError:  # asyncio's word for a line beyond the limit; what follows cannot be made sense of
            error = RefusedError("bad_request", f"not a request: longer than {LONGEST_LINE} bytes")
            await self._desk.refused("line", error)
            await self._end(writer, refusal("", error))
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, line: bytes, admin: bool) -> bytes:
        try:
            request = read_request(line)
        except RefusedError as error:
            await self._desk.refused("line", error)
            return refusal(str(error.facts.get("id", "")), error)
        try:
            # Shielded: a client that goes away half-way through an attachment leaves it whole.
            return answer(request.id, await asyncio.shield(self._desk.handle(request, admin=admin)))
        except RefusedError as error:
            return refusal(request.id, error)

    async def _end(self, writer: asyncio.StreamWriter, last: bytes) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(last)
            await asyncio.wait_for(writer.drain(), 1.0)
        writer.close()


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Both sides show a certificate, TLS 1.3; InputError for files that cannot be used, or a key open to others."""
    try:
        if stat.S_IMODE(tls.key.stat().st_mode) & 0o077:
            raise InputError(f"{tls.key}: others may use it: `chmod 600 {tls.key}`")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
        context.load_verify_locations(tls.authority)
    except (OSError, ValueError) as error:  # ssl's errors are of OSError
        raise InputError(f"tls: {tls.certificate}, {tls.key} or {tls.authority} cannot be used: {error}") from None
    return context


async def _line_of(reader: asyncio.StreamReader) -> bytes:
    """The next line; empty at the end. Slow ones time out, once they have begun sooner."""
    first = await asyncio.wait_for(reader.read(1), REST_S)
    if not first or first == b"\n":
        return first
    rest = await asyncio.wait_for(reader.readline(), LINE_S)
    return first + rest if rest.endswith(b"\n") else b""


def make_room(path: Path) -> None:
    """Removes the socket of an agent that is gone; InputError where something else lies, or an agent answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise InputError(f"{path}: is there, and no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise InputError(f"{path}: another agent answers there")


def _group_ids(name: str) -> tuple[int, ...]:
    try:
        return (grp.getgrnam(name).gr_gid,) if name else ()
    except KeyError:
        return ()

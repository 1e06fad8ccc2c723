# SPDX-License-Identifier: Apache-2.0
"""The server on its way to a client: stdin and stdout, or HTTP on loopback. What it started ends with it."""

from __future__ import annotations

import importlib.metadata
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from control_plane.mcp.checks import Checks
from control_plane.mcp.jobs import Jobs
from control_plane.mcp.limits import MESSAGE_BYTES
from control_plane.mcp.pump import Pump
from control_plane.mcp.sdk import Server
from control_plane.mcp.server import Reading, make_server
from policy_lake.errors import InfraError, InputError
from policy_lake.show import for_terminal
from tasks.host.interrupts import within
from tasks.host.settings import Settings

PATH = "/mcp"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHORT_S = 2.0  # for answers that are on their way, when the server ends
Transport = Callable[[Server], Awaitable[None]]


def serve(settings: Settings, *, http: str, allow_run: bool) -> None:
    """Serve until the client closes stdin, or a signal comes: then KeyboardInterrupt, or SystemExit with its status.

    `http` is an address of loopback with a port, or empty for stdin and stdout. InputError for an address that is none.
    """
    if not http:
        with Pump() as pump:
            status = anyio.run(partial(_serve, settings, allow_run, partial(_over_stdio, pump)))
            too_long = pump.too_long
    else:
        with listening(http) as listener:
            status, too_long = anyio.run(partial(_serve, settings, allow_run, partial(_over_http, listener))), False
    # What is being read is read to its end, on a thread of its own; nobody waits for that any more.
    ends_with = InputError.exit_status if too_long else 128 + status if status else 0
    within(SHORT_S, lambda: os._exit(ends_with))
    if too_long:
        raise InputError(f"a message of more than {MESSAGE_BYTES} bytes came: the server ends")
    if status == signal.SIGINT:
        raise KeyboardInterrupt
    if status:
        raise SystemExit(128 + status)


async def _serve(settings: Settings, allow_run: bool, transport: Transport) -> int:
    """The server with its queue, up to the end of `transport`; the number of the signal that ended it, or 0."""
    got = 0

    async def until_signal(scope: anyio.CancelScope) -> None:
        nonlocal got
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # nohup
        with anyio.open_signal_receiver(*(SIGNALS[:2] if ignored else SIGNALS)) as signals:
            async for number in signals:
                got = got or int(number)
                scope.cancel()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(until_signal, scope)
            async with AsyncExitStack() as stack:
                jobs = await stack.enter_async_context(Jobs()) if allow_run else None
                reading = Reading(settings, await stack.enter_async_context(Checks()))
                stack.callback(reading.close)
                await transport(make_server(reading, jobs, _version()))
        group.cancel_scope.cancel()
    return got


async def _over_stdio(pump: Pump, server: Server) -> None:
    async def closes() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            pump.close()

    async with anyio.create_task_group() as group:
        group.start_soon(closes)
        await server.run_stdio_async()
        group.cancel_scope.cancel()


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A socket that listens at ADDRESS:PORT; InputError unless that is on loopback, InfraError if it cannot be had."""
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host in ("", "localhost") else host.strip("[]")
    try:
        where = ipaddress.ip_address(host)
    except ValueError:
        raise InputError(f"--http '{for_terminal(address[:60])}': not ADDRESS:PORT, such as 127.0.0.1:7375") from None
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--http '{for_terminal(address[:60])}': the port is not from 0 to 65535")
    if not where.is_loopback:
        raise InputError(f"--http {host}: not loopback, and nothing here asks who a client is: forward a port to it")
    family = socket.AF_INET6 if where.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((str(where), int(port)))
            listener.listen(16)
        except OSError as error:
            raise InfraError(f"--http {host}:{port}: {error.strerror}") from error
        yield listener


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: the jobs end with them, too."""
        yield


async def _over_http(listener: socket.socket, server: Server) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    names = [f"{name}:{port}" for name in dict.fromkeys((shown, "localhost"))]
    # Of a page in a browser the Origin is its own, or the Host is not ours (DNS rebinding).
    security = TransportSecuritySettings(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names])
    app = server.streamable_http_app(
        streamable_http_path=PATH, max_request_body_size=MESSAGE_BYTES, transport_security=security, host=host
    )
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=int(SHORT_S))
    web = _Uvicorn(config)
    print(f"schedcp: MCP at http://{shown}:{port}{PATH}", file=sys.stderr, flush=True)

    async def stops() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            web.should_exit = True

    async with anyio.create_task_group() as group:
        group.start_soon(stops)
        with anyio.CancelScope(shield=True):  # it ends by `should_exit`, within its own time
            await web.serve([listener])
        group.cancel_scope.cancel()


def _version() -> str:
    try:
        return importlib.metadata.version("schedcp")
    except importlib.metadata.PackageNotFoundError:
        return ""

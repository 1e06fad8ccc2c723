# SPDX-License-Identifier: Apache-2.0
"""Metrics of the workload: a number from a command, a file, or a Prometheus endpoint. Bounded in size and time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

from host_agent.config import Source
from policy_lake.errors import InfraError, InputError
from policy_lake.exposition import largest_sample
from policy_lake.files import read_outside

TIMEOUT_S = 2.0
MOST_BYTES = 1 << 20


async def read_source(source: Source) -> float:
    """The metric's value; InfraError if it is silent, too slow, too large, or no number."""
    try:
        text = await asyncio.wait_for(_text(source), TIMEOUT_S)
    except TimeoutError:
        raise InfraError(f"{source.name}: no answer within {TIMEOUT_S:g} s") from None
    except (OSError, InputError) as error:
        raise InfraError(f"{source.name}: {error}") from None
    return (
        series(text, source.at[1] if len(source.at) > 1 else source.name, source.name)
        if (source.kind == "prometheus")
        else number(text, source.name)
    )


async def _text(source: Source) -> str:
    if source.kind == "file":
        return read_outside(Path(source.at[0]), 4096).decode(errors="replace")
    if source.kind == "command":
        return await _output(source.at)
    return await _page(source.at[0])


def number(text: str, name: str) -> float:
    """The last word of the text as a number."""
    words = text.split()
    with contextlib.suppress(ValueError, IndexError):
        if math.isfinite(value := float(words[-1])):
            return value
    raise InfraError(f"{name}: {' '.join(words)[-40:]!r} does not end with a number")


def series(text: str, wanted: str, name: str) -> float:
    """The largest sample of a series in the Prometheus text format."""
    value = largest_sample(text, wanted)
    if value is None:
        raise InfraError(f"{name}: the page has no series {wanted[:60]!r} with numbers")
    return value


async def _output(command: tuple[str, ...]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin"}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        out = await _bounded(process.stdout)
        if status := await process.wait():
            raise InputError(f"{command[0]} ended with {status}")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return out


async def _page(url: str) -> str:
    at = urlsplit(url)
    if at.scheme != "http" or at.hostname not in ("127.0.0.1", "localhost", "::1") or "\n" in url or " " in url:
        raise InputError("only http://127.0.0.1:PORT/PATH, of this host, is asked")
    reader, writer = await asyncio.open_connection(at.hostname, at.port or 80)
    try:
        path = (at.path or "/") + (f"?{at.query}" if at.query else "")
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {at.netloc}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await _bounded(reader)).partition("\r\n\r\n")
    finally:
        writer.close()
    if not re.match(r"HTTP/1\.[01] 200 ", head):
        raise InputError(f"{url}: answers {head.partition(chr(13))[0][:60]!r}")
    return body


async def _bounded(reader: asyncio.StreamReader) -> str:
    content = b""
    while piece := await reader.read(1 << 16):
        content += piece
        if len(content) > MOST_BYTES:
            raise InputError(f"more than {MOST_BYTES} bytes")
    return content.decode(errors="replace")

# SPDX-License-Identifier: Apache-2.0
"""Checks of sources, one after the other, in a process that stays warm: it is ended when one takes too long."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from control_plane.mcp.limits import CHECK_S, CHECKS_AT_ONCE, RESULT_BYTES
from control_plane.mcp.records import Checked
from policy_lake.errors import InfraError, InputError
from policy_lake.secrets import child_environment

CHECK = [sys.executable, "-m", f"{(__package__ or '')}.check"]
TOO_LONG = "the check took more than {} s and was ended: start_verify gives a policy more time"


class Checks:
    """The process behind `check_source`, for the length of an `async with`; it begins with the first check."""

    def __init__(self, command: Sequence[str] = (), *, limit_s: float = CHECK_S) -> None:
        self._command, self._limit_s = list(command or CHECK), limit_s
        self._process: Process | None = None
        self._lines: BufferedByteReceiveStream | None = None
        self._asked, self._lock = 0, anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def check(self, source: str, name: str, knobs: Mapping[str, object]) -> Checked:
        """What the static stages say of a source; InputError and InfraError as of check.py's `check_source`."""
        if self._asked >= CHECKS_AT_ONCE:
            raise InfraError(f"{CHECKS_AT_ONCE} checks are under way: ask again in some seconds")
        self._asked += 1
        try:
            async with self._lock:
                message = await self._answered({"source": source, "name": name, "knobs": knobs})
        finally:
            self._asked -= 1
        if "result" in message:
            return Checked.model_validate(message["result"])
        wrong = InputError if message["exit_status"] == InputError.exit_status else InfraError
        raise wrong(message["text"])

    async def _answered(self, request: dict[str, object]) -> dict[str, Any]:
        try:
            with anyio.fail_after(self._limit_s):
                lines = await self._begun(json.dumps(request).encode() + b"\n")
                return dict(json.loads(await lines.receive_until(b"\n", RESULT_BYTES)))
        except TimeoutError:
            await self._end()
            raise InfraError(TOO_LONG.format(f"{self._limit_s:g}")) from None
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, OSError, ValueError) as error:
            await self._end()
            raise InfraError(f"the check's process gave no answer ({type(error).__name__})") from None
        except BaseException:  # nobody waits for this answer any more, and the next must not get it
            await self._end()
            raise

    async def _begun(self, request: bytes) -> BufferedByteReceiveStream:
        """Hand the request to the process, which is started if there is none."""
        if self._process is None or self._lines is None or self._process.returncode is not None:
            self._process = await anyio.open_process(
                self._command, env=child_environment(), stderr=None, start_new_session=True
            )
            assert self._process.stdout is not None
            self._lines = BufferedByteReceiveStream(self._process.stdout)
        assert self._process.stdin is not None
        await self._process.stdin.send(request)
        return self._lines

    async def _end(self) -> None:
        process, self._process, self._lines = self._process, None, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            with anyio.move_on_after(1.0):
                assert process.stdout is not None
                async for _ in process.stdout:  # to its end, or asyncio keeps hold of the process
                    pass

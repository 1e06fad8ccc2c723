# SPDX-License-Identifier: Apache-2.0
"""A polite client of scx_loader, by `busctl` where that is: asks what is current, stops it, restores the default."""

from __future__ import annotations

import asyncio
import json
import shutil

from host_agent.journal import Action
from policy_lake.errors import InfraError

NAME, PATH = "org.scx.Loader", "/org/scx/Loader"
TIMEOUT_S = 3.0
NONE = ("", "unknown")  # what it says where it runs nothing


class ScxLoader:
    """`program` is busctl's path; empty where there is none, and then there is no scx_loader for us."""

    def __init__(self, program: str | None = None) -> None:
        self._program = shutil.which("busctl") or "" if program is None else program

    async def current(self) -> str:
        """What scx_loader says it runs; empty for nothing, and where it does not run or does not answer."""
        try:
            said = json.loads(await self._ask("get-property", NAME, PATH, NAME, "CurrentScheduler"))
        except (InfraError, ValueError, RecursionError):
            return ""
        name = said.get("data") if isinstance(said, dict) else None
        return name[:64] if isinstance(name, str) and name not in NONE else ""

    async def stop(self) -> None:
        """Stops what it runs; InfraError if it will not."""
        await self._ask("call", NAME, PATH, NAME, "StopScheduler")

    async def undo(self, action: Action) -> None:
        """Restores its default scheduler, after ours went. One that is gone meanwhile has nothing to restore."""
        if self._program:
            await self._ask("call", NAME, PATH, NAME, "RestoreDefault")

    async def _ask(self, *words: str) -> bytes:
        if not self._program:
            raise InfraError("there is no busctl here")
        # Without auto-start: to ask must not be what starts it.
        command = [self._program, "--system", "--json=short", "--auto-start=no", "--timeout=2", *words]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, env={},
            )  # fmt: skip
        except OSError as error:
            raise InfraError(f"{self._program}: {error.strerror}") from error
        try:
            out, err = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise InfraError("scx_loader did not answer") from None
        if process.returncode:
            raise InfraError(f"scx_loader: {err.decode(errors='replace').strip()[:200]}")
        return out[:4096]

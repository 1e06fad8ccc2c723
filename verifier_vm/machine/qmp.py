# SPDX-License-Identifier: Apache-2.0
"""QEMU's control protocol over a socket, as far as taking a snapshot needs it (docs/interop/qmp-spec.rst)."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from policy_lake.errors import InfraError

# A guest's memory is in its file already, so that a snapshot's stream need not hold it.
_MEMORY_APART = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}


def load_commands(state: Path) -> tuple[dict[str, Any], ...]:
    """What to send, all at once, to a QEMU started with `-incoming defer` for it to go on from `state`."""
    return (
        {"execute": "qmp_capabilities"},
        {"execute": "migrate-set-capabilities", "arguments": _MEMORY_APART},
        {"execute": "migrate-incoming", "arguments": {"uri": f"file:{state}"}},
    )


def encode_commands(commands: Iterable[dict[str, Any]]) -> bytes:
    """Commands as QEMU reads them from its socket."""
    return b"".join(json.dumps(command).encode() + b"\n" for command in commands)


class Qmp:
    """A conversation with one QEMU; each command waits at most `limit_s`. InfraError in QEMU's words.

    `sent` is how many commands, the first of them qmp_capabilities, were sent before the conversation began.
    """

    def __init__(self, ours: socket.socket, limit_s: float, *, sent: int = 0) -> None:
        ours.settimeout(limit_s)
        self._sent = sent
        self._limit_s = limit_s
        self._file = ours.makefile("rwb")

    def __enter__(self) -> Qmp:
        self._read()  # the greeting
        for _ in range(self._sent):
            self._answer("a command")
        if not self._sent:
            self.command("qmp_capabilities")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def command(self, name: str, /, **arguments: Any) -> Any:
        """What QEMU returns for a command."""
        try:
            self._file.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise InfraError(f"QEMU went away before {name}") from error
        return self._answer(name)

    def _answer(self, name: str) -> Any:
        while True:
            answer = self._read()
            if "error" in answer:
                raise InfraError(f"QEMU refuses {name}: {_reason(answer['error'])}")
            if "return" in answer:
                return answer["return"]

    def save(self, path: Path) -> None:
        """Write the devices' state to `path`, which leaves the guest stopped.

        QEMU stops it by itself at the end; one that was told to stop before would be restored stopped.
        """
        self.command("migrate-set-capabilities", **_MEMORY_APART)
        self.command("migrate", uri=f"file:{path}")
        limit = time.monotonic() + self._limit_s
        while (status := self.command("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > limit:
                raise InfraError(f"QEMU could not save the guest: {status}")
            time.sleep(0.01)

    def quit(self) -> None:
        """Have QEMU end."""
        self.command("quit")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._file.readline()
        except OSError as error:
            raise InfraError(f"QEMU does not answer: {error}") from error
        if not line:
            raise InfraError("QEMU closed its control socket")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise InfraError(f"QEMU sent something else than an answer: {line[:120]!r}")
        return answer


def _reason(error: object) -> str:
    return str(error.get("desc")) if isinstance(error, dict) else str(error)

# SPDX-License-Identifier: Apache-2.0
"""The process that holds the policy's link (`schedcp-hold`), from the agent's side: started, kept alive, ended.

It is another process than the agent for two reasons. The object is parsed there, and a hostile one can at worst end it.
And the kernel takes the policy off with the last descriptor of its link, so that the policy lives as long as that
process, which ends by itself when the agent has not renewed its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError
from policy_lake.exit_record import ExitRecord
from policy_lake.strict_json import strict_object

RENEW, DETACH, COUNT = b"r", b"d", b"s"
_COUNTER = re.compile(r"nr_[a-z0-9_]{0,45}", re.ASCII)
MOST_COUNTERS = 32
LONGEST_EVENT = 32 << 10
KEPT_WORDS = 16 << 10  # of what libbpf and the BPF verifier say, the end
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class HolderError(InfraError):
    """The holder did not attach: `phase` says how far it came (start, open, load, attach, prove, time-out)."""

    def __init__(self, phase: str, message: str, record: ExitRecord | None = None) -> None:
        super().__init__(message)
        self.phase, self.record = phase, record


@dataclass(frozen=True, slots=True)
class Held:
    """What the holder said as it attached; times in s."""

    ops: str
    enable_seq: int
    attach_s: float
    load_s: float


@dataclass(frozen=True, slots=True)
class Gone:
    """How the holder ended: `reason` (asked, lease, agent, stop, signal, ejected, lost), time to detach in s."""

    reason: str
    detach_s: float
    record: ExitRecord


class Holder:
    """One holder. `start`, then `renew` often, then `detach` or wait for `gone`."""

    def __init__(self, program: Path, *, lease_s: float, stop_files: Sequence[Path], sys: Path = Path("/sys")) -> None:
        self._program, self._lease_s, self._stop_files, self._sys = program, lease_s, stop_files, sys
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._writer: asyncio.StreamWriter | None = None  # kept, since the socket is closed with it
        self._words = b""
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue(64)
        self._tasks: list[asyncio.Task[None]] = []
        self.counters: dict[str, int] = {}  # the policy's own, as it last told them
        self.gone: asyncio.Future[Gone] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """Its process; 0 before it was started."""
        return self._process.pid if self._process else 0

    async def start(self, image: bytes, words: Sequence[str], *, timeout_s: float, shadow: bool = False) -> Held:
        """Loads `image` with these words and attaches it; HolderError if that fails, and nothing is attached then."""
        try:
            return await asyncio.wait_for(self._start(image, words, shadow), timeout_s)
        except TimeoutError:
            await self.kill()
            raise HolderError("timeout", f"it was not attached within {timeout_s:g} s") from None
        except (HolderError, OSError, asyncio.CancelledError) as error:
            await self.kill()
            if isinstance(error, OSError):
                raise HolderError("start", f"{self._program}: {error.strerror}") from error
            raise

    async def _start(self, image: bytes, words: Sequence[str], shadow: bool) -> Held:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        memory = _sealed(image)
        try:
            ours.setblocking(False)
            options = [f"--lease-ms={round(self._lease_s * 1000)}", f"--sys={self._sys}"]
            options += [f"--stop={path}" for path in self._stop_files] + ["--shadow"] * shadow
            self._socket = ours
            self._process = await asyncio.create_subprocess_exec(
                self._program, f"--object=/proc/self/fd/{memory}", *options, "--", *words,
                stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=asyncio.subprocess.PIPE, pass_fds=(memory,),
                start_new_session=True, env={}, cwd="/",
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(memory)
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=LONGEST_EVENT)
        self._tasks = [asyncio.create_task(self._listen(reader)), asyncio.create_task(self._hear_words())]
        while True:
            event = await self._events.get()
            match event:
                case {"event": "attached" | "shadow", "ops": str(ops), "enable_seq": int(seq)}:
                    return Held(ops, seq, _seconds(event, "attach_ns"), _seconds(event, "load_ns"))
                case {"event": "failed", "phase": str(phase)}:
                    await asyncio.wait(self._tasks[1:], timeout=0.5)
                    raise HolderError(phase, self._why(f"it failed to {phase}"), _record(event))
                case {"event": "over"}:
                    raise HolderError("load", self._why("the holder ended before it had attached"))
                case _:
                    continue

    def renew(self) -> None:
        """Another lease. Nothing if it is gone, or does not read."""
        self._send(RENEW)

    def ask_counters(self) -> None:
        """Has it tell the policy's own counters, which `counters` then has; nothing waits for that."""
        self._send(COUNT)

    async def detach(self, timeout_s: float = 0.5) -> Gone:
        """Takes the policy off, by asking and, where that takes too long, by SIGKILL: the link ends with it."""
        self._send(DETACH)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.gone), timeout_s)
        await self.kill()
        return await self.gone

    async def kill(self) -> None:
        """Ends the holder, whatever it does, and what we keep of it."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()
        if self._writer is not None:
            self._writer.close()
        self._socket = None
        self._end("lost")

    def _send(self, byte: bytes) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # gone, or so stuck that its socket is full: its lease ends either way
                self._socket.send(byte, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, ValueError):  # a holder that a hostile object took over may say anything
            while line := await reader.readline():
                event = strict_object(line, most=LONGEST_EVENT)
                if event.get("event") == "detached":
                    self._end(str(event.get("reason"))[:40], _seconds(event, "detach_ns"), _record(event))
                elif event.get("event") == "counters":
                    self.counters = _counters(event.get("values"))
                elif not self._events.full():
                    self._events.put_nowait(event)
        if not self._events.full():
            self._events.put_nowait({"event": "over"})
        if self._process is not None and self._process.returncode is None and not self.gone.done():
            with contextlib.suppress(ProcessLookupError):  # it lives and can no longer be talked to
                self._process.send_signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()
        self._end("lost")

    async def _hear_words(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while piece := await self._process.stderr.read(4096):
            self._words = (self._words + piece)[-KEPT_WORDS:]

    def _end(self, reason: str, detach_s: float = 0.0, record: ExitRecord | None = None) -> None:
        if not self.gone.done():
            self.gone.set_result(Gone(reason, detach_s, record or ExitRecord()))

    def _why(self, what: str) -> str:
        last = self._words.decode(errors="replace").strip().splitlines()[-1:]
        return f"{what}: {last[0][:300]}" if last else what


def _sealed(image: bytes) -> int:
    """A descriptor of the bytes that were checked, which nobody can change any more."""
    fd = os.memfd_create("policy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(image)
        while view:
            view = view[os.write(fd, view) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


def _counters(values: Any) -> dict[str, int]:
    """The counters of an event, as far as they are any: whoever wrote the policy chose their names."""
    if not isinstance(values, dict):
        return {}
    good = ((name, count) for name, count in values.items() if type(count) is int and 0 <= count < 1 << 64)
    return dict([(name, count) for name, count in good if _COUNTER.fullmatch(name)][:MOST_COUNTERS])


def _seconds(event: dict[str, Any], name: str) -> float:
    value = event.get(name)
    return value / 1e9 if type(value) is int and 0 <= value < 10**15 else 0.0


def _record(event: dict[str, Any]) -> ExitRecord:
    match event.get("exit"):
        case {"kind": int(kind), "code": int(code), "reason": str(reason), "message": str(message)}:
            return ExitRecord(kind, code, reason[:128], message[:1024])
        case _:
            return ExitRecord()

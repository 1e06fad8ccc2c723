# SPDX-License-Identifier: Apache-2.0
"""One call: `run` boots a guest, gives it a job, and returns what it reported.

There is nothing to leave behind: the port is a socket pair, the console a pipe, the job never touches a disk, and QEMU
dies with the thread that started it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from policy_lake.model import GuestJob, GuestReport, InfraError, LostVMError
from verifier_vm.qemu import Machine, command_line

BOOT_ALLOWANCE_S = 60.0
BOOT_LIMIT_S = 45.0  # ten times a boot on a quiet host without KVM
BOOT_ATTEMPTS = 2  # a boot under TCG on a busy host was seen to hang before init; the job has not begun by then
CONSOLE_LIMIT = 1 << 20
REPORT_LIMIT = 32 << 20
POWER_OFF_S = 5.0
PROTOCOL = 1
log = logging.getLogger(__name__)
OnEvent = Callable[[dict[str, Any]], None]


def run(
    job: GuestJob,
    machine: Machine,
    *,
    deadline_s: float | None = None,
    on_event: OnEvent | None = None,
    boots: int = BOOT_ATTEMPTS,
) -> GuestReport:
    """Boot `machine`, do `job`, return its events; `on_event` sees each as it arrives.

    `deadline_s` is wall time for everything, by default the steps' own limits and a minute for the boot. Raises
    LostVMError with the console's end when the guest dies, hangs or talks nonsense, InfraError when QEMU cannot start.
    """
    if deadline_s is None:
        deadline_s = BOOT_ALLOWANCE_S + sum(step.timeout_s + 25 for step in job.steps)
    deadline = time.monotonic() + deadline_s
    for attempt in range(1, boots + 1):
        with _Guest(machine) as guest:
            try:
                return guest.do(job, deadline, on_event)
            except LostVMError:
                if guest.events or attempt == boots or time.monotonic() > deadline:
                    raise
                log.warning("a guest did not boot and is booted again")
    raise AssertionError("the last attempt returns or raises")


def encode_job(job: GuestJob) -> bytes:
    """The job as the guest's init reads it (verifier_vm/guest/init.c says the format)."""
    parts = []
    for name, data in job.files.items():
        if not re.fullmatch(r"[\w.-]{1,100}", name):
            raise InfraError(f"guest file name '{name}' has characters other than letters, digits, '.', '_' and '-'")
        parts.append(b"file %s %d\n" % (name.encode(), len(data)) + data)
    for step in job.steps:
        fields = (step.verb, step.label, str(int(step.timeout_s * 1000)), *step.args)
        if any(character in field for field in fields for character in "\t\n\0"):
            raise InfraError(f"guest step '{step.label or step.verb}' has a tab or newline in an argument")
        parts.append(b"step " + "\t".join(fields).encode() + b"\n")
    return b"".join(parts) + b"go\n"


class _Guest:
    """A running QEMU and what it has said so far; leaving the context ends it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.started = time.monotonic()
        self.console = bytearray()
        self.events: list[dict[str, Any]] = []
        self._partial = bytearray()
        self._received = 0

    def __enter__(self) -> _Guest:
        self._port, guest_end = socket.socketpair()
        try:
            self._qemu = subprocess.Popen(
                command_line(self.machine, guest_end.fileno()),
                pass_fds=(guest_end.fileno(),), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            self._port.close()
            raise InfraError(f"cannot start QEMU: {error}; run `schedcp doctor`") from error
        finally:
            guest_end.close()
        self._port.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._port.close()
        self._qemu.kill()
        self._qemu.wait()
        assert self._qemu.stdout
        self._qemu.stdout.close()

    def do(self, job: GuestJob, deadline: float, on_event: OnEvent | None) -> GuestReport:
        assert self._qemu.stdout
        pending = memoryview(encode_job(job))
        with selectors.DefaultSelector() as selector:
            selector.register(self._port, selectors.EVENT_READ | selectors.EVENT_WRITE)
            selector.register(self._qemu.stdout, selectors.EVENT_READ)
            while not (self.events and self.events[-1]["event"] == "done"):
                if time.monotonic() > deadline:
                    raise self._lost("the guest did not finish before its deadline and was ended")
                if not self.events and time.monotonic() > self.started + BOOT_LIMIT_S:
                    raise self._lost("the guest did not boot")
                for key, mask in selector.select(timeout=min(1.0, max(0.0, deadline - time.monotonic()))):
                    if key.fileobj is self._qemu.stdout:
                        self._read_console(selector)
                        continue
                    if mask & selectors.EVENT_WRITE:
                        pending = pending[self._send(pending) :]
                        if not pending:
                            selector.modify(self._port, selectors.EVENT_READ)
                    if mask & selectors.EVENT_READ:
                        self._read_port(on_event)
        self._wait_for_power_off()
        hello = self.events[0]
        return GuestReport(
            events=tuple(e for e in self.events if e["event"] == "step"),
            kernel=str(hello.get("kernel", "")),
            accel=self.machine.accel,
            seconds=time.monotonic() - self.started,
            console=self._console_text(),
        )

    def _send(self, data: memoryview) -> int:
        try:
            return self._port.send(data[:65536])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._lost("the guest closed its port") from error

    def _read_console(self, selector: selectors.BaseSelector) -> None:
        assert self._qemu.stdout
        data = os.read(self._qemu.stdout.fileno(), 65536)
        if not data:
            selector.unregister(self._qemu.stdout)
        self.console += data[: max(0, CONSOLE_LIMIT - len(self.console))]

    def _read_port(self, on_event: OnEvent | None) -> None:
        try:
            data = self._port.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise self._lost("the guest ended in the middle of its job")
        self._received += len(data)
        if self._received > REPORT_LIMIT:
            raise self._lost(f"the guest reported more than {REPORT_LIMIT >> 20} MiB")
        self._partial += data
        *lines, rest = self._partial.split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            self._take(bytes(line), on_event)

    def _take(self, line: bytes, on_event: OnEvent | None) -> None:
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._lost(f"the guest sent something else than an event: {line[:120]!r}") from error
        if not self.events and (kind != "hello" or event.get("protocol") != PROTOCOL):
            raise self._lost("the guest's init speaks another protocol: run `make setup`")
        self.events.append(event)
        if on_event:
            on_event(event)

    def _wait_for_power_off(self) -> None:
        """A guest that has told everything gets a moment to power off; killing one that does not loses nothing."""
        assert self._qemu.stdout
        os.set_blocking(self._qemu.stdout.fileno(), False)
        limit = time.monotonic() + POWER_OFF_S
        while self._qemu.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
            self.console += (self._qemu.stdout.read() or b"")[: max(0, CONSOLE_LIMIT - len(self.console))]

    def _console_text(self) -> str:
        return self.console.decode("ascii", "replace").replace("\r", "")

    def _lost(self, why: str) -> LostVMError:
        # What QEMU or a dying kernel said last usually arrives just after the port closed.
        self._wait_for_power_off()
        console = self._console_text()
        last = next((line for line in reversed(console.splitlines()) if line.strip()), "nothing on its console")
        panic = next((line for line in console.splitlines() if "Kernel panic" in line or "qemu-system" in line), last)
        return LostVMError(f"{why} (console: {panic.strip()[:200]})", console[-65536:])

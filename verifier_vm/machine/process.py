# SPDX-License-Identifier: Apache-2.0
"""One QEMU from exec to exit: its job goes in, its events come out, and its end leaves nothing behind.

The port is a socket pair, the console a pipe, the job never touches a disk, and QEMU dies with the thread that
started it.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from policy_lake.errors import EndedVMError, InfraError, LostVMError
from policy_lake.events import Ready
from policy_lake.guest import ClockCounts, GuestJob, GuestReport
from policy_lake.secrets import child_environment
from verifier_vm.machine.boot import boot_limit_s, boots_too_long
from verifier_vm.machine.clock import Stats, plugin_option
from verifier_vm.machine.executed import BlockTable
from verifier_vm.machine.job import encode_job, enlarge
from verifier_vm.machine.model import ModelFile
from verifier_vm.machine.patience import Look, Patience
from verifier_vm.machine.qemu import Machine, Memory, command_line, unless_orphaned
from verifier_vm.machine.qmp import encode_commands, load_commands
from verifier_vm.machine.said import REPORT_LIMIT, OnEvent, Said
from verifier_vm.machine.wire import parse_step

CONSOLE_LIMIT = 1 << 20
POWER_OFF_S = 5.0
STEP_GRACE_S = 30.0  # of its own time, for what is not a step's: its end, and what init reads after it
# A guest of the virtual clock must never wait for the host to read its console.
PIPE_BYTES = 1 << 20
_running: set[subprocess.Popen[bytes]] = set()
_ended: set[subprocess.Popen[bytes]] = set()


def end_guests() -> None:
    """Kill every guest that this process has started, on whichever thread: who waits for one gets an EndedVMError."""
    for qemu in list(_running):
        _ended.add(qemu)
        qemu.kill()


@dataclass(frozen=True, slots=True)
class Origin:
    """How a guest begins: booted, or from a snapshot (`incoming` is its device state, `memory` its RAM).

    `steps` are the guest's own lines on the steps that it did before the snapshot was taken.
    """

    memory: Memory = field(default_factory=Memory)
    incoming: Path | None = None
    switch_address: int = 0
    steps: tuple[str, ...] = ()


class GuestProcess:
    """A running QEMU and what its guest has reported so far; leaving the context ends it.

    `job` may be None: then the guest waits, ready, for one that never comes. `qmp` is QEMU's end of a control socket.
    """

    def __init__(
        self, machine: Machine, job: GuestJob | None, origin: Origin | None = None, *, qmp: socket.socket | None = None
    ) -> None:
        self.machine = machine
        self.started = time.monotonic()
        self.console = bytearray()
        self.said = Said(self.started)
        self._origin = origin or Origin()
        self._qmp = qmp
        self._control: socket.socket | None = None
        self._library: BufferedReader | None = None
        self._pending = memoryview(encode_job(job) if job else b"")
        self._limit_s = boot_limit_s(machine)
        self._silent_s = STEP_GRACE_S + max((step.timeout_s for step in job.steps), default=0.0) if job else 0.0
        self._asks_what_ran = job is not None and any(step.verb == "layout" for step in job.steps)

    def __enter__(self) -> GuestProcess:
        self._port, guest_end = socket.socketpair()
        self._stats = Stats() if self.machine.clock else None
        self._blocks = BlockTable() if self.machine.clock and self._asks_what_ran else None
        model = self.machine.model if self._origin.incoming else None
        self._model = ModelFile(model, self.machine.topology) if model and self.machine.clock else None
        for end in (self._port, guest_end):
            enlarge(end)
        self._port.setblocking(False)
        if self._pending:
            self._pending = self._pending[self._send(self._pending) :]
        if self._origin.incoming and self._qmp is None:  # else whoever has the other end sends them
            self._control, self._qmp = socket.socketpair()
            self._control.sendall(encode_commands(load_commands(self._origin.incoming)))
        try:
            if self.machine.clock:
                self._library = self.machine.clock.open("rb")
            given = (guest_end, self._stats, self._blocks, self._model, self._qmp, self._library)
            fds = [end.fileno() for end in given if end]
            self._qemu = subprocess.Popen(
                self._command(guest_end.fileno()), pass_fds=fds, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pipesize=PIPE_BYTES, env=child_environment(),
            )  # fmt: skip
        except OSError as error:
            self._port.close()
            for shared in (self._stats, self._blocks, self._model):
                if shared:
                    shared.close()
            raise InfraError(f"cannot start QEMU: {error}; run `schedcp doctor`") from error
        else:
            _running.add(self._qemu)
        finally:
            for held in (guest_end, self._library, self._qmp if self._control else None):
                if held:
                    held.close()
        return self

    def _command(self, port_fd: int) -> list[str]:
        plugin, more = "", []
        if self.machine.clock and self._stats:
            plugin = plugin_option(
                self.machine.clock,
                self._stats,
                switch_address=self._origin.switch_address,
                blocks=self._blocks,
                model=self._model,
            )
        if self._origin.incoming:
            more += ["-incoming", "defer"]
        if self._qmp:
            more += ["-chardev", f"socket,id=qmp,fd={self._qmp.fileno()}", "-mon", "chardev=qmp,mode=control"]
        line = command_line(
            self.machine, port_fd, plugin=plugin, clock_fd=self._library.fileno() if self._library else -1,
            memory=self._origin.memory, more=more,
        )  # fmt: skip
        return unless_orphaned(line)

    def __exit__(self, *_: object) -> None:
        self._port.close()
        self._qemu.kill()
        self._qemu.wait()
        _running.discard(self._qemu)
        _ended.discard(self._qemu)
        assert self._qemu.stdout
        self._qemu.stdout.close()
        for end in (self._stats, self._blocks, self._model, self._control):
            if end:
                end.close()

    def finish(self, deadline: float, on_event: OnEvent | None = None) -> GuestReport:
        """Wait for the end of the job, until `deadline` (monotonic) as Patience has it; LostVMError when none comes."""
        self._await(lambda: self.said.done, deadline, on_event)
        self._wait_for_power_off()
        return GuestReport(
            events=(*map(parse_step, self._origin.steps), *self.said.steps),
            kernel=self.said.hello.kernel if self.said.hello else "",
            accel=self.machine.accel,
            seconds=time.monotonic() - self.started,
            console=self._console_text(),
            clock=self.machine.clock_name,
            counts=self.counts(),
            executed=self._blocks.read() if self._blocks else None,
        )

    def await_ready(self, deadline: float) -> Ready:
        """Wait until the guest is ready for its job; returns what it says of itself."""
        self._await(lambda: self.said.ready is not None, deadline, None)
        assert self.said.ready is not None
        return self.said.ready

    def await_stillness(self, deadline: float) -> None:
        """Wait until a guest that said it is ready has come to rest; InfraError when it does not.

        It says so while it still runs, and how far it got when it is stopped is up to the host. By the
        host's clock there is no such moment.
        """
        while self._stats and not self._stats.awaits_host():
            if time.monotonic() > deadline or self._qemu.poll() is not None:
                raise InfraError("the guest said that it is ready and did not come to rest: it makes no snapshot")
            time.sleep(0.005)

    def exited(self, limit_s: float) -> int:
        """QEMU's exit status; InfraError when it does not end in time."""
        try:
            return self._qemu.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise InfraError("QEMU did not end when asked to") from error

    def counts(self) -> ClockCounts | None:
        """What the clock counted; InfraError when it did not run or gave up a wait: time was not the guest's own."""
        if self._stats is None:
            return None
        counts = self._stats.read()
        if isinstance(counts, str):
            raise InfraError(f"the virtual clock did not run: {counts}")
        if counts.fallbacks:
            raise InfraError(f"the virtual clock gave up waiting {counts.fallbacks} times: the run counts for nothing")
        return counts

    def _look(self) -> Look | None:
        counts = self._stats.read() if self._stats else None
        if not isinstance(counts, ClockCounts):
            return None
        return Look(counts.switches, counts.virtual_s, len(self.said.steps))

    def _await(self, done: Callable[[], bool], deadline: float, on_event: OnEvent | None) -> None:
        assert self._qemu.stdout
        with selectors.DefaultSelector() as selector:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pending else 0)
            selector.register(self._port, wanted)
            selector.register(self._qemu.stdout, selectors.EVENT_READ)
            patience = Patience(self.started, deadline, self._look, silent_s=self._silent_s)
            while not done():
                if (left := patience.left(time.monotonic())) <= 0:
                    raise self._lost("the guest did not finish before its deadline and was ended", ending=False)
                if not self.said.begun and boots_too_long(self._qemu.pid, started=self.started, limit_s=self._limit_s):
                    raise self._lost("the guest did not boot", ending=False)
                for key, mask in selector.select(timeout=min(1.0, left)):
                    if key.fileobj is self._qemu.stdout:
                        self._read_console(selector)
                        continue
                    if mask & selectors.EVENT_WRITE:
                        self._pending = self._pending[self._send(self._pending) :]
                        if not self._pending:
                            selector.modify(self._port, selectors.EVENT_READ)
                    if mask & selectors.EVENT_READ:
                        self._read_port(on_event)

    def _send(self, data: memoryview) -> int:
        try:
            return self._port.send(data[:65536])
        except BlockingIOError:
            return 0
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
        if self.said.takes_no_more(data):
            raise self._lost(f"the guest reported more than {REPORT_LIMIT >> 20} MiB")
        self.said.hear(data, on_event)

    def _wait_for_power_off(self, limit_s: float = POWER_OFF_S) -> None:
        """A guest that has reported everything gets a moment to power off; killing one that does not loses nothing."""
        assert self._qemu.stdout
        os.set_blocking(self._qemu.stdout.fileno(), False)
        limit = time.monotonic() + limit_s
        while self._qemu.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
            self.console += (self._qemu.stdout.read() or b"")[: max(0, CONSOLE_LIMIT - len(self.console))]

    def _console_text(self) -> str:
        return self.console.decode("ascii", "replace").replace("\r", "")

    def _lost(self, why: str, *, ending: bool = True) -> LostVMError:
        if self._qemu in _ended:
            return EndedVMError("the guest was ended, with what it was for")
        # What QEMU or a dying kernel said last usually arrives just after the port closed.
        self._wait_for_power_off(POWER_OFF_S if ending else 0.0)
        console = self._console_text()
        last = next((line for line in reversed(console.splitlines()) if line.strip()), "nothing on its console")
        panic = next((line for line in console.splitlines() if "Kernel panic" in line or "qemu-system" in line), last)
        return LostVMError(f"{why} (console: {panic.strip()[:200]})", console[-65536:])

# SPDX-License-Identifier: Apache-2.0
"""One host's QEMU: started so that it outlives the command, told from any other process, ended.

A process writes who it is into its host's directory before it becomes QEMU, so that there is no moment in which a
killed command leaves a QEMU that nobody knows. An id alone names nobody: ids are given anew, after a reboot the same
ones. What is signalled is a descriptor of the process that was looked at (pidfd_open(2)), not whoever has its id by
then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import read_outside
from policy_lake.secrets import child_environment
from policy_lake.state import boot_id
from verifier_vm.machine.qemu import QEMU

PID_FILE, LOG_FILE = "pid", "qemu.log"
MOST_BYTES = 64 << 10
BEGIN_S, TERM_S, KILL_S, POLL_S = 10.0, 3.0, 3.0, 0.05
# The boot and the process's own line of /proc, by a rename, and then the command in the same process.
_RECORDED = 'cat /proc/sys/kernel/random/boot_id "/proc/$$/stat" >"$0.new" && mv "$0.new" "$0" && exec "$@"'


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was seen to live: its id, and when it started in ticks since the boot (proc(5))."""

    pid: int
    started: int


def start(directory: Path, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> Running:
    """Start the command in the directory as a session of its own, recorded there; InfraError where it is not.

    A QEMU that then does not like its options ends a moment later: `find` and `last_words` tell. Nothing of this
    process is left with it but `pass_fds`: no terminal, no lock, no key.
    """
    pid_file = directory / PID_FILE
    pid_file.unlink(missing_ok=True)
    with (directory / LOG_FILE).open("ab") as log:
        try:
            child = subprocess.Popen(
                ["sh", "-c", _RECORDED, PID_FILE, *command], cwd=directory, env=child_environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=pass_fds,
            )  # fmt: skip
        except OSError as error:
            raise InfraError(f"{directory}: cannot start QEMU: {error.strerror}") from error
    limit = time.monotonic() + BEGIN_S
    while child.poll() is None and time.monotonic() < limit:
        if (running := find(directory)) is not None:
            return running
        time.sleep(POLL_S)
    child.kill()
    child.wait()
    raise InfraError(f"{directory.name}: QEMU did not start: {last_words(directory)}")


def find(directory: Path) -> Running | None:
    """The process that runs the host in that directory; None where none does.

    By what it wrote of itself; where that cannot be read, by its working directory.
    """
    try:
        lines = read_outside(directory / PID_FILE, MOST_BYTES).decode("ascii", "replace").splitlines()
    except InputError:
        return _by_place(directory)
    recorded = _parse_stat(lines[1]) if len(lines) > 1 else None
    if recorded is None:
        return _by_place(directory)
    return recorded if lines[0] == boot_id() and recorded == _look(recorded.pid) else None


def end(running: Running, *, term_s: float = TERM_S) -> None:
    """End it by SIGTERM, and by SIGKILL if it has not ended after `term_s`; it may have ended before. InfraError."""
    for number, limit_s in ((signal.SIGTERM, term_s), (signal.SIGKILL, KILL_S)):
        if _signal(running, number) and await_end(running, limit_s):
            return
    if _look(running.pid) == running:
        raise InfraError(f"process {running.pid} does not end: it is stuck in the kernel")


def await_end(running: Running, limit_s: float) -> bool:
    """Whether it ended within so many seconds."""
    limit = time.monotonic() + limit_s
    while _look(running.pid) == running:
        if time.monotonic() > limit:
            return False
        time.sleep(POLL_S)
    return True


def resident_mib(running: Running) -> int:
    """How much memory of this machine's it has, in MiB; 0 when it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{running.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    return 0


def last_words(directory: Path) -> str:
    """The last line that QEMU wrote of itself."""
    with contextlib.suppress(OSError):
        size = (directory / LOG_FILE).stat().st_size
        with (directory / LOG_FILE).open("rb") as log:
            log.seek(max(0, size - 4096))
            lines = log.read().decode("utf-8", "replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it said nothing")
    return "it said nothing"


def _signal(running: Running, number: signal.Signals) -> bool:
    """Whether it is, or was until now, there to be signalled."""
    try:
        fd = os.pidfd_open(running.pid)
    except OSError:
        return False
    try:
        if _look(running.pid) != running:  # looked at after the descriptor was had: it is the same process
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return True
    finally:
        os.close(fd)
    return True


def _look(pid: int) -> Running | None:
    """The process of that id, unless it has ended and only waits for its parent to hear so."""
    try:
        return _parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, UnicodeDecodeError):
        return None


def _parse_stat(line: str) -> Running | None:
    """A line of /proc/PID/stat; a name may hold blanks and brackets, so the fields are counted from its end."""
    head, _, rest = line.rpartition(") ")
    fields = rest.split()
    try:
        if fields[0] in "ZX":
            return None
        pid, started = int(head.partition(" ")[0]), int(fields[19])
    except (IndexError, ValueError):
        return None
    return Running(pid, started) if pid > 1 else None


def _by_place(directory: Path) -> Running | None:
    return next((found for found in _emulators() if _is_in(found.pid, directory)), None)


def _emulators() -> Iterator[Running]:
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if Path((path / "cmdline").read_bytes().partition(b"\0")[0].decode("utf-8", "replace")).name == QEMU:
                found = _look(int(path.name))
                if found is not None:
                    yield found


def _is_in(pid: int, directory: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").samefile(directory)
    except OSError:
        return False

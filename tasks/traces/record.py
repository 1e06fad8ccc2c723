# SPDX-License-Identifier: Apache-2.0
"""Record: run a command on this host while perf takes down what its tasks do to the scheduler, and build the trace."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.trace.build import build_trace
from benchmarks.trace.perf_data import Event, Format, read_events, read_format
from benchmarks.trace.tasks import Trace, with_footprints
from benchmarks.trace.tracepoints import (
    EXEC,
    NEW,
    RENAME,
    SOFT_FILTER,
    SOFT_IN,
    SOFT_OUT,
    SWITCH,
    WAKING,
    WANTED,
    concerns,
    descendants,
)
from policy_lake.doing import doing
from policy_lake.errors import InfraError, InputError
from policy_lake.files import scratch
from policy_lake.limits import PERF_BYTES
from policy_lake.secrets import child_environment
from tasks.host.places import remove_dead_scratch
from tasks.traces.command import end_process, run_command
from tasks.traces.peaks import peaks_by_name, told_exits

_TRACING = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_START_S, _STOP_S, _END_S = 20.0, 60.0, 5.0
_NEEDS = (
    "recording needs root, or CAP_PERFMON with a readable /sys/kernel/tracing and kernel.perf_event_paranoid at -1: "
    "run `sudo schedcp record …`"
)


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded and how the command ended (a negative status is the signal that ended it)."""

    trace: Trace
    status: int


SCRATCH = "record"
# perf outlives a recorder that is killed otherwise, and goes on writing. It is setpriv's process that perf becomes.
_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
# The kernel's first PID namespace has this number on every machine (PROC_PID_INIT_INO, include/linux/proc_ns.h).
HOST_PIDS = f"pid:[{0xEFFFFFFC}]"
CONTAINED = "this is a container with process ids of its own"


def record(
    command: Sequence[str], *, allow_failure: bool = False, buffer_mib: int = 16,
    on_phase: Callable[[bool], None] = lambda runs: None,
) -> Recording:  # fmt: skip
    """Run `command`, whose output goes through, and return its trace; `on_phase` hears when it starts and has ended.

    InputError for a command that cannot be started or, unless `allow_failure`, fails; InfraError without perf, without
    the right to use it, or where the kernel lost events. An interrupt ends the command and perf, and leaves nothing.
    """
    program = shutil.which(command[0])
    if not program:
        raise InputError(f"{command[0]}: no such command")
    if Path("/proc/self/ns/pid").readlink().name != HOST_PIDS:
        raise InfraError(f"{CONTAINED}, and perf tells those of the host: record on the host itself")
    remove_dead_scratch(SCRATCH)  # a recording of the whole host, of up to 8 GiB, that nobody reads any more
    with scratch(SCRATCH) as folder:
        data = Path(folder) / "perf.data"
        with _perf(data, buffer_mib) as perf, told_exits() as exits:
            formats = _formats()
            on_phase(True)
            before = _host_times()
            root, status = run_command(command, program)
            after = _host_times()
            on_phase(False)
            doing("waiting for perf to write what it took down")
            perf.stop()
        if status and not allow_failure:
            how = f"was ended by signal {-status}" if status < 0 else f"exited with {status}"
            raise InputError(f"{command[0]}: {how}, so nothing is written (--allow-failure keeps it all the same)")
        doing("reading the %d MB that perf took down of the whole host", data.stat().st_size // 10**6)
        with _mapped(data) as recorded:
            events, known = _events(recorded, formats, root)
    passed, busy, stolen = (now - then for now, then in zip(after, before, strict=True))
    doing("building the trace of %d events", len(events))
    trace = build_trace(
        events, root, kernel=os.uname().release, cpus=os.sched_getaffinity(0),
        busy_share=busy / max(1, passed), stolen_share=stolen / max(1, passed),
        base_nice=os.getpriority(os.PRIO_PROCESS, 0),
    )  # fmt: skip
    return Recording(with_footprints(trace, peaks_by_name(exits.found, known)), status)


class _Perf:
    """A running `perf record`, ordered to start and to stop through pipes, so that it misses nothing of the command."""

    def __init__(self, process: subprocess.Popen[str], control: int, answer: int) -> None:
        self.process, self._control, self._answer = process, control, answer

    def order(self, word: str, within_s: float) -> None:
        import select

        os.write(self._control, word.encode() + b"\n")
        answered = bool(select.select([self._answer], [], [], within_s)[0])
        if answered and os.read(self._answer, 64):
            return
        if answered:  # with its end of the pipe closed, it is about to end, and to say why
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_S)
        raise InfraError(self.complaint() or f"perf did not answer to '{word}'")

    def stop(self) -> None:
        self.order("disable", _STOP_S)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(_STOP_S)

    def complaint(self) -> str:
        """What perf printed, if it has ended, in one line."""
        if self.process.poll() is None:
            return ""
        stderr_text = (self.process.stderr.read() if self.process.stderr else "").strip()
        if any(word in stderr_text for word in ("ermission", "not permitted", "paranoid", "Access to performance")):
            return _NEEDS
        lines = [line.strip() for line in stderr_text.splitlines() if line.strip()]
        return f"perf: {lines[0] if lines else 'it ended without a word'}"


@contextmanager
def _perf(data: Path, buffer_mib: int) -> Iterator[_Perf]:
    """perf, recording from when this yields; it is ended and reaped however this is left."""
    perf_path = shutil.which("perf")
    if not perf_path:
        raise InfraError("perf is not installed: run `apt-get install linux-perf`")
    (control_out, control_in), (answer_out, answer_in) = os.pipe(), os.pipe()
    events = [part for name in (SWITCH, WAKING, EXEC, NEW, RENAME) for part in ("-e", name.replace("/", ":"))]
    soft = [part for name in (SOFT_IN, SOFT_OUT) for part in ("-e", name.replace("/", ":"), "--filter", SOFT_FILTER)]
    arguments = [
        "record",
        "-q",
        "-a",
        "-c",
        "1",
        "-k",
        "CLOCK_MONOTONIC",
        "-m",
        f"{buffer_mib}M",
        "-D",
        "-1",
        "-B",
        "-N",
    ]
    control = ["--control", f"fd:{control_out},{answer_in}"]
    process = subprocess.Popen(
        [*_WITH_US, perf_path, *arguments, *control, *events, *soft, "-o", str(data)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        pass_fds=(control_out, answer_in), env=child_environment(),
        start_new_session=True,  # the terminal's interrupt is not perf's to take
    )  # fmt: skip
    os.close(control_out)
    os.close(answer_in)
    try:
        perf = _Perf(process, control_in, answer_out)
        try:
            perf.order("enable", _START_S)
        except BrokenPipeError:
            process.wait(_END_S)
            raise InfraError(perf.complaint()) from None
        yield perf
    finally:
        for descriptor in (control_in, answer_out):
            os.close(descriptor)
        end_process(process, _END_S)
        if process.stderr:
            process.stderr.close()


def _formats() -> dict[int, Format]:
    for folder in _TRACING:
        try:
            texts = {name: (folder / "events" / name / "format").read_text() for name in WANTED}
        except OSError:
            continue
        formats = [read_format(name, text, WANTED[name]) for name, text in texts.items()]
        return {format.id: format for format in formats}
    raise InfraError(_NEEDS)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """perf's file, of which only what is looked at takes memory; InfraError for one too large to be worth a trace."""
    size = path.stat().st_size
    if not 0 < size <= PERF_BYTES:
        raise InfraError(
            f"perf recorded {size >> 20} MiB, and {PERF_BYTES >> 20} is the most: record a shorter command"
        )
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _events(data: bytes | mmap.mmap, formats: dict[int, Format], root: int) -> tuple[list[Event], set[int]]:
    """What concerns the command, by time, and the ids of its tasks.

    Two passes: most of a host's events are of no use, and would take room.
    """
    births = {id: format for id, format in formats.items() if format.name == NEW}
    made = sorted(read_events(data, births, where="perf.data"), key=lambda event: event.time_ns)
    known = descendants(made, root)
    wanted = [event for event in read_events(data, formats, where="perf.data") if concerns(event, known)]
    return sorted(wanted, key=lambda event: event.time_ns), known


def _host_times() -> tuple[int, int, int]:
    """Ticks since boot of the CPUs on which we may run: passed, used by processes, kept by the hypervisor (proc(5))."""
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    cpus = [[int(word) for word in words[1:]] for words in lines if words and words[0] in names]
    passed, idle, stolen = (sum(sum(cpu[i] for i in which) for cpu in cpus) for which in (range(8), (3, 4), (7,)))
    return passed, passed - idle - stolen, stolen

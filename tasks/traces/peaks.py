# SPDX-License-Identifier: Apache-2.0
"""How much memory each process had at most, told by the kernel as its tasks end (taskstats, include/uapi/linux/).

Tracepoints that tell of pages (`exceptions:page_fault_user`, `kmem:rss_stat`) fire with every fault, millions of times
in a build, and slow down what is recorded; of taskstats there is one message a task.
"""

from __future__ import annotations

import socket
import statistics
import struct
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.comm import COMM_BYTES, comm_text

_GENERIC, _CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 16, 3, 1, 2
_GET, _REGISTER_CPUMASK = 1, 3  # TASKSTATS_CMD_GET, _CMD_ATTR_REGISTER_CPUMASK
_OF_A_TASK, _STATS = 4, 3  # TASKSTATS_TYPE_AGGR_PID, _STATS
_REQUEST_ACK, _ERROR = 1 | 4, 2
# struct taskstats, whose fields keep their places (its version only grows): (offset, format).
_COMM_AT, _PID, _PEAK_KIB, _TGID = 80, (128, "<I"), (200, "<Q"), (368, "<I")
_TGID_SINCE = 12  # its version
_ROOM_BYTES = 8 << 20
POSSIBLE = Path("/sys/devices/system/cpu/possible")
_TURN_S = 0.1


@dataclass(frozen=True, slots=True)
class Exit:
    """A task that ended: its name then, its process, and the most resident memory that this had so far, in KiB."""

    pid: int
    process: int
    name: str
    peak_kib: int


@dataclass(slots=True)
class Exits:
    """What has been told; empty where the kernel tells nothing (no CONFIG_TASK_XACCT, no right to ask)."""

    found: list[Exit] = field(default_factory=list)


@contextmanager
def told_exits() -> Iterator[Exits]:
    """The ends of this host's tasks as long as this lasts; complete when it is left. Messages may be lost."""
    exits, ending = Exits(), threading.Event()
    asked = _asked()
    if asked is None:
        yield exits
        return
    reader = threading.Thread(target=_read, args=(asked, exits, ending), daemon=True)
    reader.start()
    try:
        yield exits
    finally:
        ending.set()
        reader.join()
        asked.close()


def peaks_by_name(exits: Iterable[Exit], tasks: Collection[int]) -> dict[str, int]:
    """Of those `tasks` alone, by the name at the end: the median over its processes of each one's most, in KiB."""
    most: dict[tuple[str, int], int] = {}
    for one in exits:
        if one.pid in tasks and one.peak_kib:
            key = one.name, one.process
            most[key] = max(most.get(key, 0), one.peak_kib)
    by_name: dict[str, list[int]] = {}
    for (name, _), kib in most.items():
        by_name.setdefault(name, []).append(kib)
    return {name: round(statistics.median(peaks)) for name, peaks in by_name.items()}


def _asked() -> socket.socket | None:
    """A socket on which the kernel tells of ends on all CPUs; None where it refuses."""
    made = None
    try:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC)
        made.settimeout(2.0)
        made.bind((0, 0))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_BYTES)
        named = _message(_CONTROL, _GET_FAMILY, _FAMILY_NAME, b"TASKSTATS\0")
        made.send(named)
        family = next((data for kind, data in _attributes(made.recv(8192)[20:]) if kind == _FAMILY_ID), b"")
        if len(family) < 2:
            raise OSError
        cpus = POSSIBLE.read_bytes().strip() + b"\0"
        made.send(_message(struct.unpack_from("<H", family)[0], _GET, _REGISTER_CPUMASK, cpus))
        answer = made.recv(8192)
        if len(answer) < 20 or struct.unpack_from("<H", answer, 4)[0] != _ERROR or any(answer[16:20]):
            raise OSError
        made.settimeout(_TURN_S)
    except OSError:
        if made is not None:
            made.close()
        return None
    return made


def _message(family: int, command: int, kind: int, text: bytes) -> bytes:
    attribute = struct.pack("<HH", 4 + len(text), kind) + text + bytes(-len(text) % 4)
    body = struct.pack("<BBH", command, 1, 0) + attribute
    return struct.pack("<IHHII", 16 + len(body), family, _REQUEST_ACK, 1, 0) + body


def _read(asked: socket.socket, exits: Exits, ending: threading.Event) -> None:
    while True:
        last = ending.is_set()
        try:
            exits.found += exits_in(asked.recv(65536))
        except TimeoutError:
            if last:
                return
        except OSError:  # ENOBUFS: some were lost; the others tell as much of their commands
            continue


def exits_in(data: bytes) -> Iterator[Exit]:
    """The ends that one message of the kernel's tells of; none of one that is anything else."""
    for kind, nested in _attributes(data[20:]):
        if kind != _OF_A_TASK:
            continue
        for inner, stats in _attributes(nested):
            if inner == _STATS and len(stats) >= _PEAK_KIB[0] + 8:
                yield _exit(stats)


def _exit(stats: bytes) -> Exit:
    name = stats[_COMM_AT : _COMM_AT + COMM_BYTES + 1].split(b"\0", 1)[0][:COMM_BYTES]
    pid, peak = (struct.unpack_from(form, stats, at)[0] for at, form in (_PID, _PEAK_KIB))
    known = struct.unpack_from("<H", stats)[0] >= _TGID_SINCE and len(stats) >= _TGID[0] + 4
    return Exit(pid, struct.unpack_from(_TGID[1], stats, _TGID[0])[0] if known else pid, comm_text(name), peak)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3

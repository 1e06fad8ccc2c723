# SPDX-License-Identifier: Apache-2.0
"""BPF maps and statistics by the bpf(2) system call: the same whoever loaded the probe."""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError

_NUMBERS = {"x86_64": 321, "aarch64": 280}  # of bpf(2)
_LOOKUP, _UPDATE, _NEXT_KEY, _LOOKUP_BATCH, _ENABLE_STATS = 1, 2, 4, 24, 32
_BATCH = 4096


class _Element(ctypes.Structure):
    _fields_ = (
        ("map_fd", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class _Batch(ctypes.Structure):
    _fields_ = (
        ("in_batch", ctypes.c_uint64), ("out_batch", ctypes.c_uint64), ("keys", ctypes.c_uint64),
        ("values", ctypes.c_uint64), ("count", ctypes.c_uint32), ("map_fd", ctypes.c_uint32),
        ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64),
    )  # fmt: skip


def lookup(map_fd: int, key: bytes, size: int) -> bytes:
    """The value of `size` bytes (of a per-CPU map: of all possible CPUs). OSError if there is none."""
    into = ctypes.create_string_buffer(size)
    from_key = ctypes.create_string_buffer(key, len(key))
    _bpf(_LOOKUP, _Element(map_fd, ctypes.addressof(from_key), ctypes.addressof(into), 0))
    return into.raw


def update(map_fd: int, key: bytes, value: bytes) -> None:
    from_key, from_value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    _bpf(_UPDATE, _Element(map_fd, ctypes.addressof(from_key), ctypes.addressof(from_value), 0))


def array(map_fd: int, entries: int, size: int) -> bytes:
    """All values of an array map, one after the other."""
    values = ctypes.create_string_buffer(entries * size)
    keys = ctypes.create_string_buffer(entries * 4)
    batch, done = ctypes.create_string_buffer(8), 0
    while done < entries:
        count = min(_BATCH, entries - done)
        ask = _Batch(
            ctypes.addressof(batch) if done else 0, ctypes.addressof(batch), ctypes.addressof(keys) + 4 * done,
            ctypes.addressof(values) + size * done, count, map_fd, 0, 0,
        )  # fmt: skip
        try:
            _bpf(_LOOKUP_BATCH, ask)
        except FileNotFoundError:  # that was the last of it
            done += ask.count
            break
        done += ask.count
    if done != entries:
        raise InfraError(f"the kernel gave {done} of {entries} values of a BPF map")
    return values.raw


def pairs_of(map_fd: int, key_size: int, value_size: int, most: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of a hash map, at most so many."""
    found: list[tuple[bytes, bytes]] = []
    key, after = None, ctypes.create_string_buffer(key_size)
    while len(found) < most:
        ask = _Element(map_fd, ctypes.addressof(key) if key else 0, ctypes.addressof(after), 0)
        try:
            _bpf(_NEXT_KEY, ask)
        except FileNotFoundError:
            break
        found.append((after.raw, lookup(map_fd, after.raw, value_size)))
        key = ctypes.create_string_buffer(after.raw, key_size)
    return found


def count_run_time() -> int:
    """A descriptor: while it is open, the kernel counts what BPF programs take. OSError without CAP_SYS_ADMIN."""
    return _bpf(_ENABLE_STATS, ctypes.c_uint32(0))


@dataclass(frozen=True, slots=True)
class RunTime:
    """What a program took, ns, how often it ran, and how often the kernel left it out (Linux 6.7; before, 0)."""

    ns: int
    runs: int
    left_out: int


def run_time(program_fd: int) -> RunTime:
    """Since the kernel has counted. InfraError if it does not say."""
    words = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{program_fd}").read_text().splitlines())
    try:
        return RunTime(int(words["run_time_ns"]), int(words["run_cnt"]), int(words.get("recursion_misses", 0)))
    except (KeyError, ValueError):
        raise InfraError(
            "this kernel does not say what a BPF program takes (run_time_ns in fdinfo, Linux 5.1)"
        ) from None


def possible_cpus() -> int:
    """As many values a per-CPU map has."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().replace(",", "-").split("-")[-1]
    return int(last) + 1


def _bpf(command: int, attributes: ctypes.Structure | ctypes.c_uint32) -> int:
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise InfraError(f"the number of bpf(2) on {platform.machine()} is not known here")
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, command, ctypes.byref(attributes), ctypes.sizeof(attributes)))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"bpf({command}): {os.strerror(error)}")
    return result

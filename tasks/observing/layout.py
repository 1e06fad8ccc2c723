# SPDX-License-Identifier: Apache-2.0
"""The probe's records (bpf/host/tasks.h) taken apart, and those that it is given."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from benchmarks.comm import comm_text
from policy_lake.observed import Apart, Histogram, WakePair

TASKS, CPUS, PAIRS, BUCKETS, FANS, RUNNABLE = 65536, 1024, 4096, 32, 8, 64
UNKNOWN, RUNNING, WAITING, ASLEEP = range(4)
_TASK = struct.Struct("<II4BI5QIIII16s16s")
_COUNTS = struct.Struct(f"<{16 + 8 + 8 + FANS + 6 * BUCKETS + RUNNABLE}Q")
SHARED = struct.Struct("<qqQQ")
CPU = struct.Struct("<IIII")
OPTIONS = struct.Struct("<IIQ")
PAIR = struct.Struct("<16s16s")
PAIR_COUNTS = struct.Struct("<QQ")
TASK_BYTES, COUNTS_BYTES = _TASK.size, _COUNTS.size
NAMES = (
    "switches", "voluntary", "preempted", "wakeups", "redundant", "missed", "ended", "born", "run_ns", "sleep_ns",
    "delay_ns", "delay_idle_ns", "lost_tasks", "lost_pairs", "samples",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task's place in the table; times in ns by CLOCK_MONOTONIC. `cpu`: of its last turn, None if none was seen."""

    pid: int
    cpu: int | None
    state: int
    whole: bool
    waker: int
    since_ns: int
    burst_ns: int
    pending: int
    pongs: int
    name: str
    waker_name: str


@dataclass(frozen=True, slots=True)
class Sums:
    """`struct counts`, of all CPUs together."""

    of: dict[str, int]
    migrations: Apart
    wakes: Apart
    fans: tuple[int, ...]
    bursts: Histogram
    delays: Histogram
    idle_ms: tuple[float, ...]
    lives: Histogram
    runnable: tuple[int, ...]


def seed(pid: int, name: bytes, *, runs: bool, now_ns: int) -> bytes:
    """A task that was there before the probe: running, or asleep for how long nobody knows."""
    state = RUNNING if runs else ASLEEP
    return _TASK.pack(pid, 0, state, 1, int(runs), 0, 0, now_ns, 0, 0, 0, 0, 0, 0, 0, 0, name[:15], b"")


def read_tasks(table: bytes) -> list[TaskEntry]:
    """Every place of the table that is taken."""
    found = []
    for pid, cpu, state, _, _, whole, waker, since, _, burst, _, _, _, pending, pongs, _, name, by in _TASK.iter_unpack(
        table
    ):
        if pid:
            found.append(
                TaskEntry(
                    pid,
                    cpu - 1 if cpu else None,
                    state,
                    bool(whole),
                    waker,
                    since,
                    burst,
                    pending,
                    pongs,
                    _name(name),
                    _name(by),
                )
            )
    return found


def read_counts(values: bytes) -> Sums:
    """The sums over the CPUs of a per-CPU value."""
    rows = list(_COUNTS.iter_unpack(values))
    sums = [sum(column) for column in zip(*rows, strict=True)]
    at = 0

    def take(count: int) -> list[int]:
        nonlocal at
        at += count
        return sums[at - count : at]

    head, migrations, wakes, fans = take(16), take(8), take(8), take(FANS)
    bursts, bursts_ns, delays, delays_ns, delays_idle_ns, lives = (take(BUCKETS) for _ in range(6))
    return Sums(
        dict(zip(NAMES, head, strict=False)), Apart(*migrations[:5]), Apart(*wakes[:5]), tuple(fans),
        Histogram(tuple(bursts), _ms(bursts_ns)), Histogram(tuple(delays), _ms(delays_ns)), _ms(delays_idle_ns),
        Histogram(tuple(lives)), tuple(take(RUNNABLE)),
    )  # fmt: skip


def read_pairs(found: list[tuple[bytes, bytes]], tasks: list[TaskEntry]) -> tuple[WakePair, ...]:
    """Who wakes whom, the most first: what the map has, and what tasks still hold back."""
    sums: dict[tuple[str, str], list[int]] = {}
    for key, value in found:
        waker, wakee = PAIR.unpack(key)
        wakes, pongs = PAIR_COUNTS.unpack(value)
        sums[_name(waker), _name(wakee)] = [wakes, pongs]
    for task in tasks:
        if task.pending:
            known = sums.setdefault((task.waker_name, task.name), [0, 0])
            known[0] += task.pending
            known[1] += task.pongs
    pairs = [WakePair(waker, wakee, wakes, pongs) for (waker, wakee), (wakes, pongs) in sums.items()]
    return tuple(sorted(pairs, key=lambda pair: (-pair.wakes, pair.waker, pair.wakee)))


def _name(comm: bytes) -> str:
    return comm_text(comm.split(b"\0", 1)[0])


def _ms(ns: list[int]) -> tuple[float, ...]:
    return tuple(value / 1e6 for value in ns)

# SPDX-License-Identifier: Apache-2.0
"""The probe on this machine's real tracepoints: by libbpf, by BCC and by perf the same run is the same.

Both probes and perf watch one command at a time; what they counted is compared, so no load of others matters.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.trace.perf_data import Event, read_events
from benchmarks.trace.tracepoints import NEW, SWITCH, WAKING
from policy_lake.errors import InfraError
from policy_lake.observed import Histogram, Histograms
from tasks.observing import scope as scopes
from tasks.observing.bcc_probe import PACKAGES
from tasks.observing.needs import check_needs
from tasks.observing.probe import watched
from tasks.observing.started import HeldCommand
from tasks.traces import record as recorder
from tasks.traces.record import HOST_PIDS

COMMAND = ("perf", "bench", "sched", "pipe", "-l", "4000")
# Forty tasks on one CPU, so that they wait, and on a quiet machine do so while another is idle.
CROWD = ("taskset", "-c", "0", "perf", "bench", "sched", "messaging", "-g", "1", "-l", "300")
BUCKETS = 32


def why_not() -> str:
    try:
        check_needs()
    except InfraError as error:
        return str(error)
    if not (PACKAGES / "bcc").is_dir():
        return "python3-bpfcc is not installed"
    return "" if shutil.which("perf") else "perf is not installed"


WHY_NOT = why_not()
contained = Path("/proc/self/ns/pid").readlink().name != HOST_PIDS  # probes tell the ids of the host's namespace
needs_kernel = pytest.mark.skipif(contained or bool(WHY_NOT and not os.environ.get("REQUIRE_VM")), reason=WHY_NOT)


@dataclass
class Told:
    """What perf's events come to, by the probe's own definitions."""

    switches: int = 0
    voluntary: int = 0
    wakeups: int = 0
    delay_ns: int = 0
    idle_ns: int = 0


class Idle:
    """How long at least one CPU was idle, from the switches of all."""

    def __init__(self) -> None:
        self.cpus: set[int] = set()
        self.since_ns = self.whole_ns = 0

    def note(self, event: Event) -> None:
        before = bool(self.cpus)
        (self.cpus.add if event.fields[3] == 0 else self.cpus.discard)(event.cpu)
        if before and not self.cpus:
            self.whole_ns += event.time_ns - self.since_ns
        elif self.cpus and not before:
            self.since_ns = event.time_ns

    def until(self, time_ns: int) -> int:
        return self.whole_ns + (time_ns - self.since_ns if self.cpus else 0)


def by_perf(events: list[Event], known: set[int]) -> tuple[Told, Histogram, Histogram]:
    """Counts, delays (runnable to running), bursts (CPU time from a wake-up to the next sleep)."""
    told, delays, bursts = Told(), Counter[int](), Counter[int]()
    waits: dict[int, int] = {}
    idle, idle_at = Idle(), dict[int, int]()
    runs: dict[int, int] = {}
    cpu_ns: dict[int, int] = {}
    for event in events:
        if event.name == WAKING and event.fields[0] in known:
            told.wakeups += 1
            pid = event.fields[0]
            if pid not in waits and pid not in runs:
                waits[pid], idle_at[pid] = event.time_ns, idle.until(event.time_ns)
                cpu_ns[pid] = 0
        elif event.name == NEW and event.current in known:
            pid = event.fields[0]
            waits[pid], idle_at[pid], cpu_ns[pid] = event.time_ns, idle.until(event.time_ns), 0
        elif event.name == SWITCH:
            prev, _, state, following = event.fields
            idle.note(event)
            if prev in known:
                told.switches += 1
                ran = event.time_ns - runs.pop(prev, event.time_ns)
                if prev in cpu_ns:
                    cpu_ns[prev] += ran
                if state & 0xFF:
                    told.voluntary += 1
                    if prev in cpu_ns:
                        bursts[bucket(cpu_ns.pop(prev))] += 1
                else:
                    waits[prev], idle_at[prev] = event.time_ns, idle.until(event.time_ns)
            if following in known:
                if following in waits:
                    delay = event.time_ns - waits.pop(following)
                    delays[bucket(delay)] += 1
                    told.delay_ns += delay
                    told.idle_ns += idle.until(event.time_ns) - idle_at[following]
                runs[following] = event.time_ns
    return told, as_histogram(delays), as_histogram(bursts)


def bucket(ns: int) -> int:
    return max(0, (ns // 1000).bit_length() - 1)


def as_histogram(counts: Counter[int]) -> Histogram:
    return Histogram(tuple(counts.get(i, 0) for i in range(BUCKETS)))


def near(one: int, other: int) -> bool:
    """Within 1 %, or 3 of a few: a command's last switch is seen by whoever is still on."""
    return abs(one - other) <= max(3, 0.01 * other)


# On a quiet machine perf's times of two CPUs are out of order by a microsecond: it misses waits that the probe has.
@pytest.mark.skipif(not os.environ.get("AGREE"), reason="nightly: it wants CPUs that are busy (`make observe-agree`)")
@needs_kernel
@pytest.mark.parametrize("words", [COMMAND, CROWD], ids=["pair", "crowd"])
def test_core_bcc_and_perf_agree_on_one_run(words: tuple[str, ...], tmp_path: Path) -> None:
    with ExitStack() as on:
        command = HeldCommand(words, silent=True)
        on.callback(command.end)
        scope = scopes.of_command(words, command.pid)
        perf = on.enter_context(recorder._perf(tmp_path / "perf.data", 16))
        probes = [
            on.enter_context(watched(scope, tmp_path / "cache", backend=backend, most_share=1.0))
            for backend in ("core", "bcc")
        ]
        command.let_go()
        os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOWAIT)
        for probe in probes:
            probe.end()
        perf.stop()
        with recorder._mapped(tmp_path / "perf.data") as data:
            formats = recorder._formats()
            _, known = recorder._events(data, formats, command.pid)
            # All of them: a CPU that others' tasks have is not idle.
            whole = read_events(data, formats, where="perf.data")
            events = sorted(whole, key=lambda event: event.time_ns)
        seen: list[Histograms] = [probe.histograms() for probe in probes]
    told, delays, bursts = by_perf(events, known)
    assert told.switches > 400
    for one in seen:
        who = one.cost.backend
        assert one.lost_tasks == one.lost_pairs == 0, who
        assert one.lost_events <= 0.001 * one.cost.events, (who, "where two meet the kernel leaves one out")
        counts = (one.switches, one.voluntary, one.wakeups, one.delays.total, one.bursts.total)
        wanted = (told.switches, told.voluntary, told.wakeups, delays.total, bursts.total)
        assert all(near(count, want) for count, want in zip(counts, wanted, strict=True)), (who, counts, wanted)
        # Three observers see an event one after the other, each a part of a microsecond later.
        apart = max(0.05 * told.delay_ns / 1e9, 1e-6 * delays.total)
        assert one.delay_s == pytest.approx(told.delay_ns / 1e9, abs=apart), who
        # The part while a CPU was idle is a part, no more: perf's own count differs by up to 15 % of all waiting in
        # one run in four, and which of the two is wrong is not known (docs/observe.md).
        assert 0 <= sum(one.idle_ms) <= 1e3 * one.delay_s + 1 and told.idle_ns >= 0, (who, told)
        for ours, its in ((one.delays, delays), (one.bursts, bursts)):
            for share in (0.5, 0.99):
                place, other = ours.bucket(share), its.bucket(share)
                assert place is not None and other is not None and abs(place - other) <= 1, (who, ours, its)


@needs_kernel
def test_who_wakes_whom_is_seen_and_answers_are_known(tmp_path: Path) -> None:
    """Two tasks over a pipe: nearly every wake-up answers the one before."""
    command = HeldCommand(COMMAND, silent=True)
    scope = scopes.of_command(COMMAND, command.pid)
    try:
        with watched(scope, tmp_path, backend="core", most_share=1.0) as probe:
            command.let_go()
            os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOWAIT)
            seen = probe.histograms()
    finally:
        command.end()
    first = seen.pairs[0]
    assert (first.waker, first.wakee) == ("sched-pipe", "sched-pipe")
    # Who still runs when the other writes is not woken: how often that is, hangs on where the two are.
    assert first.wakes > 500 and first.pongs > 0.9 * first.wakes
    assert seen.born >= 1 and seen.ended >= 1
    assert sum(seen.runnable) > 0 and seen.run_s > 0
    assert seen.cost.events > seen.switches and seen.cost.cpu_share > 0


@needs_kernel
def test_a_probe_takes_itself_off_when_it_costs_more_than_it_may(tmp_path: Path) -> None:
    from tasks.observing.observe import Ask, observe_scope

    words = ("perf", "bench", "sched", "pipe", "-l", "1000000")
    command = HeldCommand(words, silent=True)
    try:
        ask = Ask(6, "histograms", "core", most_share=1e-6)
        seen = observe_scope(scopes.of_command(words, command.pid), ask, tmp_path, command=command)
    finally:
        command.end()
    assert seen.histograms is not None and seen.histograms.cost.taken_off
    assert seen.histograms.seconds < seen.seconds, "it was off before the observation ended"
    assert seen.steps[-1].reason == "probe-cost"

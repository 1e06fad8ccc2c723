# SPDX-License-Identifier: Apache-2.0
"""Tier `histograms` without a kernel: the probe's records, the planner, the needs, the words, the picture."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.plot_observed import draw_observed
from policy_lake.observed import (
    Apart,
    CgroupLoad,
    Counters,
    Histogram,
    Histograms,
    HostLoad,
    Observed,
    ProbeCost,
    Step,
    TaskLoad,
    WakePair,
)
from tasks.observing import layout, needs
from tasks.observing.bcc_probe import _text
from tasks.observing.core_probe import SOURCE
from tasks.observing.plan import after_counters, after_histograms, asks_for_histograms, asks_for_trace
from tasks.observing.words import lines, targets

HOST = HostLoad(2, 0.5, 0.0, 1000.0)
ZEROES = (0,) * layout.BUCKETS


def buckets(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"b{i}", 0) for i in range(layout.BUCKETS))


def ms(**sums: float) -> tuple[float, ...]:
    return tuple(sums.get(f"b{i}", 0.0) for i in range(layout.BUCKETS))


SEEN = Histograms(
    seconds=10.0, cpus=2,
    cost=ProbeCost("core", 1000, 200.0, 0.001, 1.0, False), switches=1000, voluntary=900, wakeups=950,
    redundant=5, born=2, ended=2, run_s=8.0, sleep_s=2.0, delay_s=0.4, delay_idle_s=0.3,
    bursts=Histogram(buckets(b3=900, b14=20), ms(b3=9.0, b14=400.0)),
    delays=Histogram(buckets(b3=900, b11=100), ms(b3=9.0, b11=300.0)), idle_ms=ms(b11=291.0),
    lives=Histogram(ZEROES), fans=(1,) * 8, runnable=(10, 20, 30, 40, *([0] * 60)), migrations=Apart(same_llc=3),
    wakes=Apart(same_llc=50, other_node=50), pairs=(WakePair("a", "b", 100, 60), WakePair("", "a", 10, 0)),
)  # fmt: skip


def counted(run_s: float, wait_s: float, turns: int, *, throttled: int = 0) -> Counters:
    groups = (CgroupLoad("/a", "v2", run_s, 10, throttled, 0.5),) if throttled else ()
    return Counters(10.0, HOST, TaskLoad(3, run_s, wait_s, turns), groups)


@pytest.mark.parametrize(
    ("seen", "reason", "more"),
    [
        (counted(0.05, 0.0, 100), "idle", False),
        (counted(5.0, 0.04, 10_000), "no-delay", False),
        (counted(5.0, 0.04, 10_000, throttled=2), "delay-unsplit", True),
        (counted(5.0, 0.04, 100), "delay-unsplit", True),  # 400 us each
        (counted(5.0, 0.06, 10_000), "delay-unsplit", True),  # 1.2 %
        (Counters(10.0, HOST, None), "no-schedstat", True),
        (replace(counted(5.0, 0.04, 10_000), cgroups=(CgroupLoad("/a", "v2", 5.4, 0, 0, 0.0),)), "no-delay", False),
        (replace(counted(5.0, 0.04, 10_000), cgroups=(CgroupLoad("/a", "v2", 5.6, 0, 0, 0.0),)), "tasks-unseen", True),
        (replace(counted(0.0, 0.0, 0), cgroups=(CgroupLoad("/a", "v1", None, 0, 0, 0.0),)), "idle", False),
    ],
)
def test_the_probe_is_asked_for_only_where_the_counters_leave_it_open(seen: Counters, reason: str, more: bool) -> None:
    assert after_counters(seen) == reason
    assert asks_for_histograms(after_counters(seen)) is more


@pytest.mark.parametrize(
    ("seen", "reason", "more"),
    [
        (SEEN, "answered", False),
        (replace(SEEN, delays=Histogram(buckets(b3=99))), "few-events", False),
        (replace(SEEN, lost_tasks=11), "events-lost", True),
        (replace(SEEN, lost_events=11), "events-lost", True),
        (replace(SEEN, cost=replace(SEEN.cost, taken_off=True)), "probe-cost", True),
        (None, "no-probe", True),
    ],
)
def test_a_full_trace_is_asked_for_only_where_the_histograms_cannot_tell(seen, reason: str, more: bool) -> None:
    assert after_histograms(seen) == reason
    assert asks_for_trace(after_histograms(seen)) is more


def test_quantiles_are_buckets() -> None:
    seen = Histogram(buckets(b0=50, b3=49, b10=1), ms(b10=1.5))
    assert (seen.bucket(0.5), seen.bucket(0.99), seen.bucket(1.0)) == (0, 3, 10)
    assert seen.upper_us(0.99) == 16
    assert seen.above(1024) == (1, 1.5)
    assert Histogram(ZEROES).upper_us(0.5) is None


def test_targets_have_their_figures() -> None:
    seen = Observed("pid", "1", "process 1", "6.18", 10.0, (Step("counters", True, "first"),), counted(8, 0.4, 9), SEEN)
    said = "\n".join(targets(seen))
    assert "97% of run delay above 1 ms (300 ms in 100 waits) happens while another CPU idles" in said
    assert "in 40% of the ms more tasks wanted a CPU than there are" in said
    assert "no scheduler can save more than 5% of the time" in said
    assert "98% of bursts are below 128 us, and bursts above 8 ms take 98% of the CPU time" in said
    assert "55% of wake-ups answer the task that woke the waker, and 50% cross a last-level cache: keep" in said
    assert any("PSI not available" in line for line in lines(seen))
    assert any("(idle or interrupt) -> a: 10" in line for line in lines(seen))


def test_the_layout_is_that_of_the_header() -> None:
    header = (SOURCE.parent / "tasks.h").read_text()
    for name in ("TASKS", "CPUS", "PAIRS", "BUCKETS", "FANS"):
        match = re.search(rf"#define {name} (\d+)", header)
        assert match and int(match[1]) == getattr(layout, name)
    body = header[header.index("struct counts {") : header.index("struct shared {")]
    words = re.findall(r"u64 ([^;]+);", body)
    named = [name.strip() for name in ",".join(words[:4]).split(",")]
    assert named[: len(layout.NAMES)] == list(layout.NAMES)
    states = re.search(r"enum task_state \{ (.+?) \}", header)
    assert states and [getattr(layout, name) for name in states[1].split(", ")] == [0, 1, 2, 3]


def test_a_seeded_task_is_read_as_what_it_was() -> None:
    table = bytes(layout.TASK_BYTES) + layout.seed(7, b"a-name-of-more-than-15", runs=True, now_ns=5)
    (one,) = layout.read_tasks(table)
    assert (one.pid, one.cpu, one.state, one.since_ns, one.name) == (7, None, layout.RUNNING, 5, "a-name-of-more-")
    (other,) = layout.read_tasks(layout.seed(8, b"b", runs=False, now_ns=5))
    assert other.state == layout.ASLEEP


def test_sums_are_over_all_cpus_and_edges_held_back_are_added() -> None:
    row = bytearray(layout.COUNTS_BYTES)
    row[0:8] = (3).to_bytes(8, "little")
    assert layout.read_counts(bytes(row) * 4).of["switches"] == 12
    held = replace(layout.read_tasks(layout.seed(7, b"b", runs=True, now_ns=1))[0], pending=4, pongs=1, waker_name="a")
    known = [(layout.PAIR.pack(b"a", b"b"), layout.PAIR_COUNTS.pack(5, 2))]
    assert layout.read_pairs(known, [held]) == (WakePair("a", "b", 9, 3),)


def test_bcc_gets_its_dialect_and_no_macro_of_ours_is_left() -> None:
    text = _text()
    assert "tasks.lookup(&place)" in text and "pairs.update(&key, &fresh)" in text
    assert not re.findall(r"^[^#\n]*\b(LOOKUP|UPDATE)\(", text, re.MULTILINE)


@pytest.mark.parametrize("held", [0, 1 << needs.CAP_BPF, 1 << needs.CAP_PERFMON])
def test_what_is_missing_is_told_with_what_grants_it(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "HOST_PIDS", Path("/proc/self/ns/pid").readlink().name)
    with pytest.raises(needs.NeedError, match="CAP_BPF and CAP_PERFMON are missing") as error:
        needs.check_needs(held)
    assert "--ambient-caps=+bpf,+perfmon" in error.value.mend


def test_tracepoints_that_cannot_be_read_are_told_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "HOST_PIDS", Path("/proc/self/ns/pid").readlink().name)
    monkeypatch.setattr(needs, "TRACING", (tmp_path,))
    both = 1 << needs.CAP_BPF | 1 << needs.CAP_PERFMON
    with pytest.raises(needs.NeedError) as error:
        needs.check_needs(both)
    assert error.value.mend == needs.READ_TRACEPOINTS
    needs.check_needs(both, formats=False)
    (tmp_path / needs.TRACEPOINT).parent.mkdir(parents=True)
    (tmp_path / needs.TRACEPOINT).write_text("1")
    needs.check_needs(both)


def test_the_picture_is_the_same_for_the_same_figures() -> None:
    first = draw_observed(SEEN, title="a $ title")
    assert first == draw_observed(SEEN, title="a $ title")
    assert b"<svg" in draw_observed(SEEN, title="t", form="svg")
    assert (
        draw_observed(replace(SEEN, pairs=(), bursts=Histogram(ZEROES, ms())), title="t", form="png")[:4] == b"\x89PNG"
    )

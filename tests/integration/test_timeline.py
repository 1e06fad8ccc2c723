# SPDX-License-Identifier: Apache-2.0
"""Who ran where: the guest's lines as spans and waits, and the pictures made of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import verifier_vm as guest
from benchmarks.comm import comm_text
from benchmarks.perfetto import trace_events
from benchmarks.plots import draw_scores, draw_timelines, draw_waits
from benchmarks.timeline import Span, Wait, busiest, longest_waiting, read_timeline
from policy_lake.errors import InfraError
from policy_lake.scores import Pair, Ratio, Score
from verifier_vm.machine.wire import Fields

OUT = (Path(__file__).parent.parent / "golden" / "timeline.txt").read_text()
PNG, SVG = b"\x89PNG", b"<?xml"


def timeline():
    return read_timeline(OUT, where="baseline")


def score(policy: str, ratio: float, outcome: str) -> Score:
    pairs = (Pair(100.0, 100.0 / ratio),) * 5
    interval = Ratio(ratio, (ratio * 0.98, ratio * 1.02))
    return Score(
        policy, "batch", policy, "eevdf", {}, "makespan_ms", "ms", "virtual", 2, pairs, interval, 1.33, True, outcome
    )  # fmt: skip


def test_spans_bear_the_name_a_task_had_when_it_left():
    assert timeline().spans == (
        Span(0, 101, "job-renamed", 0, 1000),
        Span(1, 102, "job b", 250, 2000),
        Span(0, 103, "late", 1000, 1500),
        Span(0, 101, "job-renamed", 1500, 2500),
    )
    assert (timeline().cpus, timeline().wall_us, timeline().lost) == (2, 2500, 3)


def test_a_wait_begins_with_a_wake_up_or_with_being_pushed_off():
    # 102 woke at 100 and ran at 250; 103 from 300 to 1000; 101 was pushed off at 1000 and ran again at 1500.
    assert timeline().waits_us == (150, 700, 500)


def test_who_still_waits_at_the_end_is_told_and_is_no_finished_wait():
    out = OUT.replace("E 2500 8 3", "W 2100 104\nE 2500 8 3")
    waiting = read_timeline(out, where="baseline")
    assert [wait for wait in waiting.waits if not wait.served] == [Wait(104, "104", 2100, 2500, served=False)]
    assert waiting.waits_us == timeline().waits_us
    assert longest_waiting(waiting, 3) == [103, 101, 104]


def test_names_by_time():
    assert busiest([timeline()], 2) == ["job-renamed", "job b"]
    assert busiest([], 3) == []


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("", "no end"),
        (OUT.replace("E 2500 8 3\n", ""), "no end"),
        ("S 1 x 2 S\nE 1 1 0\n", "line 1"),
        ("C 5 a\nS 1 0\nE 1 1 0\n", "line 2"),
    ],
)
def test_a_timeline_that_is_not_whole_is_an_error_that_names_the_line(out, words):
    with pytest.raises(InfraError, match=words) as raised:
        read_timeline(out, where="pair 0")
    assert "pair 0" in str(raised.value)


def test_pictures_are_pictures_and_the_same_ones_again():
    runs = {"eevdf": timeline(), "ljf": timeline()}
    first, again = (draw_timelines(runs, title="t") for _ in range(2))
    assert first.startswith(PNG) and first == again
    assert draw_waits(runs, title="t").startswith(PNG)
    assert draw_waits(runs, title="t", form="svg").startswith(SVG)
    given = [score("ljf", 1.3, "win"), score("fifo", 1.0, "inconclusive"), score("percpu", 0.8, "loss")]
    assert draw_scores(given, title="t").startswith(PNG)


def test_a_run_in_which_nothing_ran_still_makes_a_picture():
    empty = read_timeline("E 0 0 0\n", where="x")
    assert draw_waits({"eevdf": empty}, title="t").startswith(PNG)
    assert draw_timelines({"eevdf": empty}, title="t").startswith(PNG)


def test_perfetto_gets_one_process_a_run_and_one_track_a_cpu():
    events = trace_events({"eevdf": timeline(), "ljf": timeline()})["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert {event["pid"] for event in slices} == {1, 2} and {event["tid"] for event in slices} == {0, 1}
    assert (slices[0]["name"], slices[0]["ts"], slices[0]["dur"]) == ("job-renamed", 0, 1000)
    assert {event["args"]["name"] for event in events if event["ph"] == "M"} == {"eevdf", "ljf", "CPU 0", "CPU 1"}


NAMES = ("çıkış".encode(), b"cut \xc3", "日本".encode(), b"a\x0cE 1 1 0", "x\u2028E 1 1 0".encode(), b"\x85\xff ?")


def test_init_carries_every_byte_of_a_name_to_the_timeline(tmp_path):
    """As guest/text.c writes what a program printed, and machine/wire.py reads it."""
    main = """
        #include <stdio.h>
        #include <unistd.h>
        #include "text.c"
        int main(void) {
            static char in[4096]; struct text t = { 0 }; ssize_t n = read(0, in, sizeof(in));
            text_json(&t, in, n); fwrite(t.data, 1, t.len, stdout); text_free(&t);
        }
    """
    flags = ["-Wall", "-Werror", "-I", Path(guest.__file__).parent / "guest", "-o", tmp_path / "text", "-x", "c", "-"]
    subprocess.run(["gcc", *flags], input=main, text=True, check=True)
    told = b"".join(b"C %d %s\nS 0 %d %d R\n" % (pid, name, pid, pid) for pid, name in enumerate(NAMES, 1))
    line = subprocess.run([tmp_path / "text"], input=told + b"E 9000 9 0\n", capture_output=True, check=True).stdout
    assert line.isascii()
    out = Fields({"out": json.loads(line)}, "a test").text("out")
    made = read_timeline(out, where="a test")
    assert {span.pid: span.comm for span in made.spans} == {pid: comm_text(name) for pid, name in enumerate(NAMES, 1)}
    assert made.wall_us == 9000

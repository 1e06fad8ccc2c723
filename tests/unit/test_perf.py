# SPDX-License-Identifier: Apache-2.0
"""perf as a child process of a recording, and what is read of its file; tests/vm runs the real one."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.trace.tracepoints import NEW, WANTED
from policy_lake.errors import InfraError
from tasks.traces import record as recorder
from tasks.traces.record import _events, _mapped, _perf


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A perf that starts; `seen` is how, and what became of it."""
    seen = SimpleNamespace(words=[], options={}, waited=[], ended=[], orders=[], stderr=io.StringIO("no room"))

    def popen(words: list[str], **options: Any) -> Any:
        seen.words, seen.options = words, options
        return SimpleNamespace(stderr=seen.stderr, poll=lambda: 1, wait=seen.waited.append)

    monkeypatch.setattr(recorder.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(recorder.subprocess, "Popen", popen)
    monkeypatch.setattr(recorder, "end_process", lambda process, within_s: seen.ended.append(within_s))
    return seen


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_perf_takes_down_the_whole_host_and_is_ended_however_it_is_left(
    child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder._Perf, "order", lambda perf, word, within_s: child.orders.append((word, within_s)))
    files = open_files()
    with pytest.raises(KeyError), _perf(Path("/data"), 16) as perf:
        assert perf.process.wait and child.orders == [("enable", 20.0)] and child.ended == []
        raise KeyError
    assert child.ended == [5.0] and child.stderr.closed and open_files() == files
    words, options = child.words, child.options
    assert words[:6] == ["setpriv", "--pdeathsig", "KILL", "--", "/usr/bin/perf", "record"]
    assert words[-2:] == ["-o", "/data"] and {"-a", "16M"} < set(words)
    control = words[words.index("--control") + 1].removeprefix("fd:").split(",")
    assert options["pass_fds"] == tuple(map(int, control)) and options["start_new_session"] is True
    assert options["text"] is True and "OPENAI_API_KEY" not in options["env"]
    asked = [words[at + 1] for at, word in enumerate(words) if word == "-e"]
    assert sorted(asked) == sorted(name.replace("/", ":") for name in WANTED)
    filtered = [words[at + 1] for at, word in enumerate(words) if word == "-e" and words[at + 2] == "--filter"]
    assert sorted(filtered) == ["irq:softirq_entry", "irq:softirq_exit"]


def test_a_perf_that_has_gone_before_it_is_told_says_why(child: Any) -> None:
    """Nobody has the other end of the pipe open."""
    files = open_files()
    with pytest.raises(InfraError, match=r"^perf: no room$"), _perf(Path("/data"), 16):
        pytest.fail("it records")
    assert child.waited == [5.0] and child.ended == [5.0] and open_files() == files


def test_without_perf_the_package_is_named(child: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder.shutil, "which", lambda name: None)
    with pytest.raises(InfraError, match=r"perf is not installed: run `apt-get install linux-perf`"):
        _perf(Path("/data"), 16).__enter__()
    assert child.words == []


@pytest.mark.parametrize(("size", "good"), [(0, False), (1, True), (2 << 20, True), ((2 << 20) + 1, False)])
def test_a_file_of_perf_s_is_read_up_to_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, good: bool
) -> None:
    monkeypatch.setattr(recorder, "PERF_BYTES", 2 << 20)
    with (tmp_path / "perf.data").open("wb") as file:
        file.truncate(size)
    if good:
        with _mapped(tmp_path / "perf.data") as data:
            assert len(data) == size
    else:
        told = rf"^perf recorded {size >> 20} MiB, and 2 is the most"
        with pytest.raises(InfraError, match=told), _mapped(tmp_path / "perf.data"):
            pytest.fail("it is read")


def test_what_concerns_the_command_is_kept_in_the_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    formats: Any = {1: SimpleNamespace(name=NEW), 2: SimpleNamespace(name="sched/sched_switch")}
    events = [SimpleNamespace(time_ns=time_ns, of=of) for time_ns, of in ((3, 1), (1, 2), (2, 9), (0, 1))]

    def read_events(data: bytes, asked: Any, *, where: str) -> Any:
        return [event for event in events if set(asked) == {1, 2} or event.of in asked]

    monkeypatch.setattr(recorder, "read_events", read_events)
    monkeypatch.setattr(recorder, "descendants", lambda made, root: [[event.time_ns for event in made], root])
    monkeypatch.setattr(recorder, "concerns", lambda event, known: known == [[0, 3], 77] and event.of != 9)
    kept, known = _events(b"data", formats, 77)
    assert [event.time_ns for event in kept] == [0, 1, 3] and known == [[0, 3], 77]

# SPDX-License-Identifier: Apache-2.0
"""Recording by its decisions; tests/vm records for real."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError, InputError
from tasks.traces import record as recorder
from tasks.traces.command import end_process, run_command
from tasks.traces.record import CONTAINED, HOST_PIDS, _formats, _host_times, _Perf, record


class Perf:
    """perf as it was told to be: what it was ordered, whether it has ended, and what it said."""

    def __init__(self, *, ended: bool = False, words: str = "", waits: bool = False) -> None:
        self.ended, self.stderr, self.waits, self.did = ended, io.StringIO(words), waits, list[str]()

    def poll(self) -> int | None:
        return 1 if self.ended else None

    def send_signal(self, number: int) -> None:
        self.did.append(f"signal {number}")

    def terminate(self) -> None:
        self.did.append("terminate")

    def kill(self) -> None:
        self.did.append("kill")

    def wait(self, timeout: float | None = None) -> int:
        self.did.append("wait" if timeout is None else f"wait {timeout:g}")
        if self.waits and timeout is not None:
            raise subprocess.TimeoutExpired("perf", timeout)
        return 0


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Records with a perf and a kernel that are fakes; `seen` is what the trace was built from."""
    seen = SimpleNamespace(built=None, status=0, stopped=0, times=[(1000, 100, 10), (3000, 900, 110)])
    (tmp_path / "pid").symlink_to(HOST_PIDS)
    real = Path

    class Paths:
        def __call__(self, *parts: str) -> Any:
            return (
                SimpleNamespace(readlink=lambda: real(seen.pids)) if parts == ("/proc/self/ns/pid",) else real(*parts)
            )

    class Context:
        def __enter__(self) -> Any:
            seen.data.write_bytes(b"data" * 5)
            return SimpleNamespace(stop=lambda: setattr(seen, "stopped", seen.stopped + 1))

        def __exit__(self, *_: object) -> None:
            return None

    def perf(data: Path, buffer_mib: int) -> Any:
        seen.data, seen.buffer_mib = data, buffer_mib
        return Context()

    def build(events: Any, root: int, **more: Any) -> str:
        seen.built = (events, root, more)
        return "trace"

    seen.pids = HOST_PIDS
    monkeypatch.setattr(recorder, "Path", Paths())
    monkeypatch.setattr(recorder, "_perf", perf)
    monkeypatch.setattr(recorder, "_formats", dict)
    monkeypatch.setattr(recorder, "_host_times", lambda: seen.times.pop(0))
    monkeypatch.setattr(recorder, "run_command", lambda command, program: (77, seen.status))
    monkeypatch.setattr(recorder, "_events", lambda data, formats, root: ((bytes(data), root), {root}))
    monkeypatch.setattr(recorder, "told_exits", lambda: nullcontext(SimpleNamespace(found=[])))
    monkeypatch.setattr(recorder, "peaks_by_name", lambda found, known: known)
    monkeypatch.setattr(recorder, "with_footprints", lambda trace, peaks: (trace, peaks))
    monkeypatch.setattr(recorder, "build_trace", build)
    return seen


def test_a_recording_has_the_shares_of_the_time_that_passed(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    phases, told = list[bool](), list[Any]()
    monkeypatch.setattr(recorder, "doing", lambda words, *numbers: told.extend(numbers))
    monkeypatch.setattr(recorder.os, "sched_getaffinity", lambda pid: {pid})
    monkeypatch.setattr(recorder.os, "getpriority", lambda which, who: 5 if (which, who) == (os.PRIO_PROCESS, 0) else 0)
    made = record(["true", "--no-command"], on_phase=phases.append)
    assert phases == [True, False] and session.built[2]["base_nice"] == 5 and session.built[2]["cpus"] == {0}
    assert told == [0, 2], "no megabyte, and two events"
    assert (made.trace, made.status, session.stopped, session.buffer_mib) == (("trace", {77}), 0, 1, 16)
    events, root, more = session.built
    assert (events, root) == ((b"data" * 5, 77), 77)
    assert (more["busy_share"], more["stolen_share"]) == (800 / 2000, 100 / 2000)


def test_where_no_time_passed_nothing_is_divided_by_it(session: Any) -> None:
    session.times = [(1000, 100, 10), (1000, 100, 10)]
    record(["true"])
    assert (session.built[2]["busy_share"], session.built[2]["stolen_share"]) == (0.0, 0.0)
    session.times = [(1000, 100, 10), (1001, 101, 11)]
    record(["true"])
    assert (session.built[2]["busy_share"], session.built[2]["stolen_share"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("status", "words"),
    [(3, "true: exited with 3, so"), (1, "exited with 1,"), (-9, "true: was ended by signal 9, so"), (-1, "signal 1,")],
)
def test_a_command_that_fails_leaves_nothing_unless_that_is_allowed(session: Any, status: int, words: str) -> None:
    session.status = status
    with pytest.raises(InputError, match=words):
        record(["true"])
    assert session.built is None
    session.times = [(1, 1, 1), (2, 2, 2)]
    assert record(["true"], allow_failure=True).status == status


def test_nothing_is_recorded_of_an_unknown_command_or_in_a_container(session: Any) -> None:
    with pytest.raises(InputError, match="no-such-command: no such command"):
        record(["no-such-command"])
    session.pids = "pid:[4026532000]"
    with pytest.raises(InfraError, match=CONTAINED):
        record(["true"])
    assert session.built is None and HOST_PIDS == "pid:[4026531836]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("\n  cannot open\nmore", "perf: cannot open"), ("", "perf: it ended without a word"),
        ("Permission denied", recorder._NEEDS), ("not permitted", recorder._NEEDS),
        ("perf_event_paranoid is 3", recorder._NEEDS), ("Access to performance monitoring is limited", recorder._NEEDS),
    ],
)  # fmt: skip
def test_what_perf_says_is_one_line_or_what_it_needs(words: str, said: str) -> None:
    assert _Perf(Perf(ended=True, words=words), 0, 0).complaint() == said  # type: ignore[arg-type]
    assert _Perf(Perf(words=words), 0, 0).complaint() == ""  # type: ignore[arg-type]


def test_an_order_waits_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import select

    state: dict[str, Any] = {"ready": [5], "answer": b"ack\n"}
    written: list[bytes] = []
    monkeypatch.setattr(select, "select", lambda *_: (state["ready"], [], []))
    monkeypatch.setattr(os, "write", lambda _, data: written.append(data))
    monkeypatch.setattr(os, "read", lambda *_: state["answer"])
    process = Perf(words="broke")
    perf = _Perf(process, 4, 5)  # type: ignore[arg-type]
    perf.order("enable", 1.0)
    assert written == [b"enable\n"] and process.did == []
    state["answer"] = b""
    with pytest.raises(InfraError, match="perf did not answer to 'enable'"):
        perf.order("enable", 1.0)
    assert process.did == ["wait 5"], "it is about to end, and to say why"
    process.ended = True
    with pytest.raises(InfraError, match="perf: broke"):
        perf.order("enable", 1.0)
    silent = Perf()
    state["ready"] = []
    with pytest.raises(InfraError, match="did not answer to 'disable'"):
        _Perf(silent, 4, 5).order("disable", 1.0)  # type: ignore[arg-type]
    assert silent.did == [], "it is not waited for where it says nothing"
    state.update(ready=[5], answer=b"ack\n")
    stopped = Perf()
    _Perf(stopped, 4, 5).stop()  # type: ignore[arg-type]
    assert stopped.did == [f"signal {signal.SIGINT}", "wait 60"]
    state.update(answer=b"")
    slow = Perf(waits=True)
    with pytest.raises(InfraError, match="did not answer"):
        _Perf(slow, 4, 5).order("enable", 1.0)  # type: ignore[arg-type]


def test_a_child_is_ended_kindly_and_then_made_to() -> None:
    gone, kind, stubborn = Perf(ended=True), Perf(), Perf(waits=True)
    for process in (gone, kind, stubborn):
        end_process(process, 5.0)  # type: ignore[arg-type]
    assert (gone.did, kind.did) == ([], ["terminate", "wait 5"])
    assert stubborn.did == ["terminate", "wait 5", "kill", "wait"]


def test_a_command_s_end_is_its_status(tmp_path: Path) -> None:
    pid, status = run_command(["sh", "-c", "exit 3"], "/bin/sh")
    assert pid > 0 and status == 3
    (tmp_path / "broken").write_bytes(b"\x7fELF")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(InputError, match="broken: cannot be started"):
        run_command(["broken"], str(tmp_path / "broken"))


def test_tracepoints_are_read_where_they_are_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_TRACING", (tmp_path / "none", tmp_path / "debug"))
    with pytest.raises(InfraError, match="recording needs root"):
        _formats()
    for number, name in enumerate(recorder.WANTED):
        (tmp_path / "debug/events" / name).mkdir(parents=True)
        (tmp_path / "debug/events" / name / "format").write_text(str(number))
    monkeypatch.setattr(recorder, "read_format", lambda name, text, fields: SimpleNamespace(id=int(text), name=name))
    assert [made.name for made in _formats().values()] == list(recorder.WANTED)


def test_only_our_cpus_ticks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    all_cpus, ours, other = "cpu  9 9 9 9 9 9 9 9 9 9", "cpu0 1 2 3 40 5 6 7 8 99 99", "cpu1 1 1 1 1 1 1 1 1 9 9"
    text = "\n".join([all_cpus, ours, other, "", "intr 5", "cpu2 1 0 0 10 0 0 0 2 9 9"])
    monkeypatch.setattr(recorder, "Path", lambda _: SimpleNamespace(read_text=lambda: text))
    monkeypatch.setattr(recorder.os, "sched_getaffinity", lambda pid: {0, 2} if pid == 0 else {1})
    passed, stolen = 72 + 13, 10
    assert _host_times() == (passed, passed - 55 - stolen, stolen)

# SPDX-License-Identifier: Apache-2.0
"""The kernel's word of how much memory a process had: its messages read, the peaks by command, and silence."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from benchmarks.trace.check import info_fault
from benchmarks.trace.tasks import with_footprints
from tasks.traces import peaks
from tasks.traces.peaks import Exit, exits_in, peaks_by_name, told_exits


def stats(pid: int, name: bytes, peak_kib: int, *, process: int = 0, version: int = 14, size: int = 432) -> bytes:
    data = bytearray(size)
    struct.pack_into("<H", data, 0, version)
    data[80 : 80 + len(name)] = name
    struct.pack_into("<I", data, 128, pid)
    struct.pack_into("<Q", data, 200, peak_kib)
    if size > 372:
        struct.pack_into("<I", data, 368, process or pid)
    return bytes(data)


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(*attributes: bytes) -> bytes:
    return bytes(20) + b"".join(attributes)


def told(one: bytes, kind: int = 4) -> bytes:
    return attribute(kind | 0x8000, attribute(1, struct.pack("<I", 7)) + attribute(3, one))


def test_a_message_tells_of_a_task_that_ended() -> None:
    group = told(stats(8, b"no", 5), kind=5)  # of a whole process, which its last task has told already
    assert list(exits_in(message(told(stats(7, b"cc1", 4096, process=6)), group))) == [Exit(7, 6, "cc1", 4096)]
    assert list(exits_in(message(told(stats(7, b"fifteen-letters!!", 1))))) == [Exit(7, 7, "fifteen-letters", 1)]
    assert list(exits_in(message(told(stats(7, b"\xff", 1, process=6, version=11))))) == [Exit(7, 7, "\\xff", 1)]
    assert list(exits_in(message(told(stats(7, b"old", 9, size=328))))) == [Exit(7, 7, "old", 9)]


@pytest.mark.parametrize("data", [b"", bytes(20), bytes(30), message(told(b"short")), message(b"\xff\xff\4\0abcd")])
def test_what_is_no_such_message_tells_nothing(data: bytes) -> None:
    assert list(exits_in(data)) == []


def test_peaks_are_the_median_over_the_processes_of_a_command() -> None:
    exits = [
        Exit(1, 1, "cc1", 100), Exit(2, 1, "cc1", 300), Exit(3, 3, "cc1", 500), Exit(4, 4, "cc1", 400),
        Exit(5, 5, "sh", 20), Exit(6, 6, "kthread", 0), Exit(9, 9, "other", 7),
    ]  # fmt: skip
    assert peaks_by_name(exits, {1, 2, 3, 4, 5, 6}) == {"cc1": 400, "sh": 20}
    assert peaks_by_name([], {1}) == {}


def test_a_trace_keeps_the_peaks_of_its_own_names() -> None:
    from trace_cases import parent_and_child

    made = with_footprints(parent_and_child(), {"worker": 10, "stranger": 9, "top": 1 << 30})
    assert made.info.footprints_kib == {"top": 128 << 10, "worker": 10} and made.info.footprints_from == "peak_rss"
    assert info_fault(made.info) == "" and len(made) == len(parent_and_child())
    none = with_footprints(parent_and_child(), {}).info
    assert (none.footprints_kib, none.footprints_from) == ({}, "")


class Kernel:
    """A socket that answers as the kernel does, by the answers that are left."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.sent, self.closed = answers, [], False

    def recv(self, _: int) -> bytes:
        answer = self.answers.pop(0) if self.answers else TimeoutError()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


FAMILY = message(attribute(1, struct.pack("<H", 31)))
DONE, REFUSED = struct.pack("<IHHIIi", 36, 2, 0, 1, 0, 0), struct.pack("<IHHIIi", 36, 2, 0, 1, 0, -1)


def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *answers: Any) -> Kernel:
    (tmp_path / "possible").write_text("0-3\n")
    monkeypatch.setattr(peaks, "POSSIBLE", tmp_path / "possible")
    made = Kernel(list(answers))
    monkeypatch.setattr(socket, "socket", lambda *_: made)
    return made


def test_the_ends_of_all_tasks_are_told_while_it_lasts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lost = OSError(105, "No buffer space available")
    made = kernel(monkeypatch, tmp_path, FAMILY, DONE, message(told(stats(7, b"a", 1))), lost,
                  message(told(stats(8, b"b", 2))))  # fmt: skip
    with told_exits() as exits:
        pass
    assert [one.name for one in exits.found] == ["a", "b"] and made.closed
    assert b"TASKSTATS\0" in made.sent[0] and b"0-3\0" in made.sent[1] and made.sent[1][4:6] == b"\x1f\0"


@pytest.mark.parametrize("answers", [(OSError(),), (FAMILY, REFUSED), (REFUSED,), (FAMILY, TimeoutError())])
def test_a_kernel_that_tells_nothing_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: tuple[Any, ...]
) -> None:
    made = kernel(monkeypatch, tmp_path, *answers)
    with told_exits() as exits:
        assert exits.found == []
    assert made.closed

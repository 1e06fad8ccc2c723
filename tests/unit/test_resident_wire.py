# SPDX-License-Identifier: Apache-2.0
"""The socket of the resident process: whose it is, what may come over it, and what a dead one's is worth."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane import resident_client
from control_plane.resident_client import down, status, tune_at_resident
from control_plane.wire import differences, identity, messages, peer_is_us, send, socket_path
from policy_lake.errors import InfraError
from policy_lake.model import to_json
from policy_lake.scores import Ratio
from policy_lake.tuned import TunedBaseline, TunedBest, TuneResult
from tasks.host.settings import Settings
from tasks.run.spec import define_run


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a socket's path may have 107 bytes, and tmp_path has more
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


def test_the_socket_lies_in_a_directory_of_the_user_s_alone(settings: Settings, tmp_path: Path) -> None:
    assert not socket_path(settings).parent.exists(), "only the process itself makes it"
    path = socket_path(settings, create=True)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path != socket_path(settings.model_copy(update={"data_dir": tmp_path / "other"}))
    path.parent.chmod(0o755)
    with pytest.raises(InfraError, match="must be a directory of yours that is closed to others"):
        socket_path(settings)
    path.parent.rmdir()
    (tmp_path / "mine").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "mine")
    with pytest.raises(InfraError, match="must be a directory of yours"):
        socket_path(settings)


def test_without_a_resident_process_a_run_is_not_handed_over(settings: Settings) -> None:
    run = define_run("batch", settings)
    assert (status(settings), down(settings), tune_at_resident(run, 0.0)) == (None, None, None)


def test_the_socket_of_a_killed_process_is_none(settings: Settings) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(settings, create=True)))
    assert socket_path(settings).is_socket()
    assert (status(settings), tune_at_resident(define_run("batch", settings), 0.0)) == (None, None)


def test_what_differs_is_named_and_its_value_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    before = identity()
    assert "sesame" not in str(before)
    assert differences(before, identity()) == []
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("SCHEDCP_TIER", "full")
    assert differences(before, identity()) == ["variable PREFECT_API_URL"]
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 99})
    assert differences(before, identity()) == ["CPUs", "variable PREFECT_API_URL"]


def test_of_path_what_it_finds_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = identity()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert differences(before, identity()) == []
    other = tmp_path / "qemu-system-x86_64"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert differences(before, identity()) == ["programs in PATH"]


def test_code_that_was_changed_is_another_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "changing"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("control_plane.wire.PACKAGES", ("changing",))
    before = identity()
    (package / "new.py").write_text("x = 1\n")
    assert differences(before, identity()) == ["code"]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"kind": 1}\n', b'{"no": "kind"}\n', b"\xff\n"])
def test_a_message_that_is_none_ends_the_conversation(line: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_is_us(ours)
        send(theirs, "status", pid=os.getpid())
        theirs.sendall(line)
        arriving = messages(ours)
        assert next(arriving) == {"kind": "status", "pid": os.getpid()}
        with pytest.raises(InfraError, match="a message that is none of ours"):
            next(arriving)


BEST = TunedBest(
    "ljf", {"slice_ns": 7, "lifo": True}, "ljf-1", Ratio(1.5, (1.25, 2.0)), "win", None, "virtual", "cpus=4",
    TunedBaseline("eevdf", "p99", "us", 3.5), "/t.json",
)  # fmt: skip
SECONDS = {"vm": 8.0, "overhead": 2.0, "total": 10.0}
TUNED = TuneResult("r", "batch", (), BEST, 1, 0, 0, SECONDS, "/r.md", ("slow",), {"waits": "/w.png"})


def test_the_run_s_result_comes_over_as_it_was_made() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, "begins")
        send(theirs, "result", result=to_json(TUNED))
        begun: list[bool] = []
        assert resident_client._result(ours, begun) == TUNED and begun
    for other in (None, {"run_id": "r"}, {**to_json(TUNED), "seconds": {"vm": "long"}}):
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(InfraError, match="none of ours"):
            send(theirs, "result", result=other)
            resident_client._result(ours, [])


def test_what_comes_behind_the_report_counts_as_stop_and_overhead() -> None:
    stopped = TUNED.with_stop(10.50049)
    assert stopped == replace(TUNED, seconds={"vm": 8.0, "overhead": 2.5, "total": 10.5, "stop": 0.5})
    assert TUNED.with_stop(9.5).seconds == {"vm": 8.0, "overhead": 2.0, "total": 9.5, "stop": 0.0}
    assert TUNED.seconds == {"vm": 8.0, "overhead": 2.0, "total": 10.0}

# SPDX-License-Identifier: Apache-2.0
"""Directories that are held: by any number of processes at once, and by nobody while one clears away."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.host import in_use
from tasks.host.in_use import LOCK, alone, claim, hold, holders

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Path, int]]:
    """What this process holds: nothing at first."""
    mine: dict[Path, int] = {}
    monkeypatch.setattr(in_use, "_held", mine)
    before = os.umask(0o022)
    yield mine
    os.umask(before)
    for fd in mine.values():
        os.close(fd)


@contextmanager
def another(directory: Path) -> Iterator[int]:
    """The id of a process that holds the directory."""
    command = [sys.executable, "-I", "-S", "-c", HOLDER, str(directory / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdin and child.stdout.readline() == b"held\n"
        yield child.pid
        child.stdin.close()


def is_free(directory: Path, kind: int) -> bool:
    with (directory / LOCK).open("r+") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def mode(directory: Path) -> int:
    return stat.S_IMODE((directory / LOCK).stat().st_mode)


def test_several_hold_it_at_once_and_each_is_named(tmp_path: Path, held: dict[Path, int]) -> None:
    with another(tmp_path) as first, another(tmp_path) as second:
        hold(tmp_path)
        assert not is_free(tmp_path, fcntl.LOCK_EX) and is_free(tmp_path, fcntl.LOCK_SH)
        with alone(tmp_path) as others:
            assert others == sorted([first, second]), "we are none of the others"
    with alone(tmp_path) as others:
        assert others == [], "it is held, by us"
    assert not is_free(tmp_path, fcntl.LOCK_EX) and list(held) == [tmp_path / LOCK] and mode(tmp_path) == 0o644


def test_who_is_alone_keeps_all_others_out_until_it_is_through(tmp_path: Path) -> None:
    with alone(tmp_path) as others:
        assert others is None and not is_free(tmp_path, fcntl.LOCK_SH)
    assert is_free(tmp_path, fcntl.LOCK_EX) and mode(tmp_path) == 0o644


def test_it_is_held_once(tmp_path: Path, held: dict[Path, int]) -> None:
    hold(tmp_path)
    before = dict(held)
    hold(tmp_path)
    assert held == before and mode(tmp_path) == 0o644


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.touch(), lambda path: (path / LOCK).mkdir(parents=True)]
)
def test_what_cannot_be_held_is_left_alone(tmp_path: Path, held: dict[Path, int], make: Callable[[Path], None]) -> None:
    make(tmp_path / "place")
    hold(tmp_path / "place")
    assert held == {}


def test_a_directory_that_was_removed_while_we_waited_is_held_as_it_is_now(
    tmp_path: Path, held: dict[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = fcntl.flock, []

    def flock(fd: int, kind: int) -> None:
        real(fd, kind)
        if not gone:
            (tmp_path / LOCK).unlink()
            gone.append(fd)

    monkeypatch.setattr(in_use, "fcntl", SimpleNamespace(flock=flock, LOCK_SH=fcntl.LOCK_SH))
    hold(tmp_path)
    assert os.path.samestat(os.fstat(held[tmp_path / LOCK]), (tmp_path / LOCK).stat())


def test_the_kernels_list_is_read_for_this_file_and_whole_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    inode = os.fstat(fd).st_ino
    told = [
        f"1: FLOCK  ADVISORY  READ 71 fe:01:{inode} 0 EOF", f"1: -> FLOCK  ADVISORY  WRITE 72 fe:01:{inode} 0 EOF",
        f"2: FLOCK  ADVISORY  READ 1 fe:01:{inode}", f"2: POSIX  ADVISORY  READ 73 fe:01:{inode} 0 EOF",
        f"3: FLOCK  ADVISORY  READ 74 fe:01:{inode}1 0 EOF", f"4: FLOCK  ADVISORY  READ -1 fe:01:{inode} 0 EOF",
        f"5: FLOCK  ADVISORY  READ 0 fe:01:{inode} 0 EOF", "6: FLOCK  ADVISORY  READ 75", "",
        f"7: FLOCK  ADVISORY  READ {os.getpid()} fe:01:{inode} 0 EOF", f"8: FLOCK ADVISORY READ 71 fe:01:{inode} 0 EOF",
    ]  # fmt: skip
    listed: Any = SimpleNamespace(read_text=lambda: "\n".join(told))
    monkeypatch.setattr(in_use, "Path", lambda path: listed if path == "/proc/locks" else Path(path))
    assert holders(fd) == [1, 71, 72]
    os.close(fd)


def test_a_directory_that_is_claimed_is_made_and_held(tmp_path: Path, held: dict[Path, int]) -> None:
    for _ in range(2):
        claim(tmp_path / "a" / "b")
        assert list(held) == [tmp_path / "a" / "b" / LOCK]


@pytest.mark.parametrize(("place", "why"), [
    ("/dev/null/x", "Not a directory"), ("/proc/none/x", "No such file or directory"), ("/dev/null", "File exists"),
])  # fmt: skip
def test_a_place_where_nothing_can_be_kept_is_named(place: str, why: str, held: dict[Path, int]) -> None:
    with pytest.raises(InfraError, match=rf"^{place}: {why}; name another place in SCHEDCP_DATA_DIR"):
        claim(Path(place))
    assert held == {}


@pytest.mark.parametrize("missing", [os.R_OK, os.W_OK, os.X_OK])
def test_a_directory_that_is_not_ours_to_use_is_refused(
    tmp_path: Path, held: dict[Path, int], monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    monkeypatch.setattr(in_use.os, "access", lambda path, wanted: not wanted & missing)  # root may do everything
    with pytest.raises(InfraError, match="it cannot be written to"):
        claim(tmp_path)
    assert held == {}

# SPDX-License-Identifier: Apache-2.0
"""Files written in one step: whatever stops a writer, a reader meets the old file or the new one."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import stat
import threading
import time

import pytest
from skipping import skip_or_fail

from policy_lake.errors import InfraError
from policy_lake.files import PARTS, atomic_create, atomic_write, atomic_write_together, beyond

OLD, NEW = b"old", b"new" * 50_000
CALLS = ("open", "write", "fchmod", "fsync", "replace")


def parts(directory):
    return list(directory.glob(PARTS))


def in_child(act):
    """The exit code of a process that does this."""

    def run():
        act()
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(30)
    return child.exitcode


def test_a_file_is_replaced_and_its_directory_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    atomic_write(path, OLD)
    atomic_write(path, iter((b"in ", b"pieces")))
    assert path.read_bytes() == b"in pieces" and list(path.parent.iterdir()) == [path]


def test_permissions_are_the_ones_asked_for_or_what_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        for mode, found in ((None, 0o640), (0o644, 0o644), (0o600, 0o600)):
            atomic_write(tmp_path / "file", NEW, mode=mode)
            assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == found
    finally:
        os.umask(before)


def test_a_private_file_is_at_no_time_open_to_others(tmp_path, monkeypatch):
    modes, write = [], os.write

    def noting(fd, data):
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return write(fd, data)

    monkeypatch.setattr(os, "write", noting)
    atomic_write(tmp_path / "file", NEW, mode=0o600)
    assert set(modes) == {0o600}


@pytest.mark.parametrize("call", CALLS)
def test_a_killed_writer_leaves_the_old_file_and_does_not_stop_the_next(tmp_path, monkeypatch, call):
    path, true_call = tmp_path / "file", getattr(os, call)
    atomic_write(path, OLD)

    def killing(*args, **named):
        if call == "write":
            true_call(args[0], args[1][:1000])
        os.kill(os.getpid(), signal.SIGKILL)

    def write():
        setattr(os, call, killing)
        atomic_write(path, NEW, durable=True, mode=0o644)

    assert in_child(write) == -signal.SIGKILL
    assert path.read_bytes() == OLD
    atomic_write(path, NEW)
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("call", CALLS)
def test_a_failed_writer_leaves_nothing_but_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    atomic_write(path, OLD)

    def failing(*args, **named):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing)
        with pytest.raises(InfraError, match=r"file: Input/output error$"):
            atomic_write(path, NEW, durable=True, mode=0o644)
    assert path.read_bytes() == OLD and list(tmp_path.iterdir()) == [path]


def test_a_durable_write_syncs_the_content_before_the_name_and_then_the_name(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def syncing(fd):
        calls.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def replacing(*args):
        calls.append("replace")
        replace(*args)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    atomic_write(tmp_path / "file", NEW, durable=True)
    assert calls == ["file", "replace", "directory"]
    atomic_write(tmp_path / "file", NEW)
    assert calls[3:] == ["replace"]


def test_a_file_size_limit_is_an_error_of_one_line(tmp_path):
    path = tmp_path / "file"
    atomic_write(path, OLD)

    def write():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            atomic_write(path, NEW)
        except InfraError as error:
            os._exit(7 if str(error) == f"{path}: File too large" else 8)

    assert in_child(write) == 7
    assert path.read_bytes() == OLD and parts(tmp_path) == []


def test_a_full_disk_keeps_the_old_file_and_gives_back_the_room(small_disk):
    path = small_disk / "file"
    atomic_write(path, OLD)
    for _ in range(3):
        with pytest.raises(InfraError, match=r"/file: No space left on device$"):
            atomic_write(path, bytes(5_000_000), durable=True)
    assert path.read_bytes() == OLD and list(small_disk.iterdir()) == [path]
    atomic_write(path, bytes(3_000_000))


def test_files_that_belong_together_are_replaced_only_when_all_are_written(tmp_path, monkeypatch):
    first, second = tmp_path / "a", tmp_path / "b"
    atomic_write_together({first: OLD, second: OLD})
    (tmp_path / "c").mkdir()

    def broken():
        yield b"begun"
        raise OSError(28, "No space left on device")

    with pytest.raises(InfraError, match="b: No space left"):
        atomic_write_together({first: NEW, second: broken()})
    assert first.read_bytes() == second.read_bytes() == OLD and parts(tmp_path) == []
    atomic_write_together({first: NEW, second: NEW}, durable=True)
    assert first.read_bytes() == second.read_bytes() == NEW


def test_a_source_that_breaks_off_leaves_nothing(tmp_path):
    def broken():
        yield b"begun"
        raise InfraError("the source is gone")

    with pytest.raises(InfraError, match="the source is gone"):
        atomic_write(tmp_path / "file", broken())
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_is_told_in_one_line(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    for path, reason in (
        (tmp_path / "plain" / "x", "File exists|Not a directory"),
        (tmp_path / "plain" / "deeper" / "x", "Not a directory"),
        (tmp_path / "folder", "Is a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(InfraError, match=rf"^{path}: ({reason})$") as caught:
            atomic_write(path, NEW)
        assert caught.value.exit_status == 4
    assert parts(tmp_path) == []


def test_no_permission_is_told_in_one_line(tmp_path):
    if os.geteuid() != 0:
        skip_or_fail("needs root to become another user")
    (tmp_path / "closed").mkdir(mode=0o755)
    tmp_path.chmod(0o755)

    def write():
        os.chdir(tmp_path)  # the directories above may be closed to other users
        os.setuid(65534)
        try:
            atomic_write(type(tmp_path)("closed/file"), NEW)
        except InfraError as error:
            os._exit(7 if str(error) == "closed/file: Permission denied" else 8)

    assert in_child(write) == 7


def test_writers_and_readers_at_once_never_meet_a_part(tmp_path):
    path, versions, stop = tmp_path / "file", [bytes([n]) * (20_000 + n) for n in range(4)], threading.Event()
    atomic_write(path, versions[0])
    torn = []

    def read():
        while not stop.is_set():
            if (content := path.read_bytes()) not in versions:
                torn.append(len(content))

    def write(version):
        for _ in range(50):
            atomic_write(path, version)

    reader = threading.Thread(target=read)
    reader.start()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(version,)) for version in versions]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    stop.set()
    reader.join()
    assert [writer.exitcode for writer in writers] == [0] * 4 and torn == []
    assert path.read_bytes() in versions and list(tmp_path.iterdir()) == [path]


def test_of_many_that_create_a_file_one_does(tmp_path):
    path, made = tmp_path / "file", []
    threads = [threading.Thread(target=lambda n=n: made.append((atomic_create(path, b"%d" % n), n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for created, number in made if created]
    assert path.read_bytes() == b"%d" % winner and list(tmp_path.iterdir()) == [path]
    with pytest.raises(InfraError, match="gone/file: No such file"):
        atomic_create(tmp_path / "gone" / "file", b"")


def test_the_longest_unused_beyond_a_size_are_named_and_nothing_that_is_new(tmp_path):
    now = time.time()
    for age in (1, 2, 3, 4):
        place = tmp_path / f"{age}"
        place.mkdir()
        (place / "file").write_bytes(bytes(8192))
        os.utime(place, (now - age * 100_000, now - age * 100_000))
    (tmp_path / "new").write_bytes(bytes(65536))
    everything = sorted(tmp_path.iterdir())
    assert beyond(everything, room=1 << 20) == []
    assert beyond(everything, room=65536 + 2 * 8192) == [tmp_path / "3", tmp_path / "4"]
    assert [path.name for path in beyond(everything, room=0)] == ["1", "2", "3", "4"]
    assert beyond([*everything, tmp_path / "gone"], room=0, least_age_s=0)[0] == tmp_path / "new"

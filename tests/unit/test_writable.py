# SPDX-License-Identifier: Apache-2.0
"""Where nothing may be written, or can be: told before any work, and what is there stays as it is."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from trace_cases import parent_and_child

from benchmarks.trace.file import read_trace
from control_plane import record
from control_plane.verify import verified
from policy_lake.embed import embedder
from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.files import atomic_write, atomic_write_together, check_writable, read_outside
from policy_lake.lake import Lake
from tasks.host import places
from tasks.host.settings import Settings
from tasks.run.spec import define_run
from tasks.tokens.issue import check_key_store
from tasks.traces import keep
from tasks.traces.record import Recording
from tasks.verify import VerifyOptions
from verifier_vm.machine.kernel import prepare_kernel
from verifier_vm.tokens.errors import KeyFileError
from verifier_vm.tokens.files import LOCK
from verifier_vm.tokens.private_key import PRIVATE, signing_key

HAS_OTHER_KINDS = {
    "pipe": "not a plain file", "socket": "not a plain file", "link": "a symbolic link", "loop": "a symbolic link",
    "dangling": "a symbolic link",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with one of each kind that is no plain file."""
    (tmp_path / "file").write_text("old")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(tmp_path, os.O_RDONLY)
        made.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "dir").mkdir()
    return tmp_path


def kinds(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "why"), HAS_OTHER_KINDS.items())
def test_what_is_no_plain_file_is_never_replaced(folder: Path, name: str, why: str) -> None:
    before = kinds(folder)
    for write in (check_writable, lambda path: atomic_write(path, b"new")):
        with pytest.raises(InputError, match=why) as error:
            write(folder / name)
        assert str(error.value).startswith(f"{folder / name}: ") and "\n" not in str(error.value)
    assert kinds(folder) == before and (folder / "file").read_text() == "old"


def test_of_files_that_belong_together_none_is_replaced(folder: Path) -> None:
    with pytest.raises(InputError):
        atomic_write_together({folder / "file": b"new", folder / "pipe": b"new"})
    assert (folder / "file").read_text() == "old" and not list(folder.glob("*.part"))


@pytest.mark.parametrize(
    ("name", "why"),
    [("dir", "it is a directory"), ("file/x", "Not a directory"), ("none/x", "No such file"), ("x" * 300, "too long")],
)
def test_where_no_file_can_be_made_it_is_told(folder: Path, name: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        check_writable(folder / name)


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_path_without_a_name_is_told(path: str) -> None:
    for write in (check_writable, lambda where: atomic_write(where, b"new")):
        with pytest.raises(InputError, match="names no file"):
            write(Path(path))


def test_a_check_leaves_nothing_and_changes_nothing(folder: Path) -> None:
    before = kinds(folder)
    for name in ("file", "new", "é" * 127, os.fsdecode(b"\xff" * 255)):
        check_writable(folder / name)
    assert kinds(folder) == before and (folder / "file").read_text() == "old"


@pytest.mark.parametrize("name", ["pipe", "link", "dir", "x" * 300, "none/x"])
def test_no_command_is_recorded_for_nothing(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []
    monkeypatch.setattr(record, "record", lambda *given, **more: ran.append(given))
    with pytest.raises(InputError):
        record.record_command(["true"], folder / name, hashed=False, allow_failure=False, check=False, as_json=False)
    assert ran == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("build.trace", r"name it \*\.parquet"),
        ("build", r"name it \*\.parquet"),
        ("2nd.parquet", "must begin with a letter"),
        ("a\nb.parquet", "cannot be printed"),
        ("batch.parquet", "'batch' is a workload that comes with the project"),
    ],
)
def test_no_command_is_recorded_under_a_name_that_cannot_be_added(
    folder: Path, name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(record, "record", lambda *given, **more: ran.append(given))
    with pytest.raises(InputError, match=told):
        record.record_command(["true"], folder / name, hashed=False, allow_failure=False, check=False, as_json=False)
    assert ran == []


def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch, *, where: list[Path]) -> str:
    """What a recording is told whose target's folder is a file by the time it ends; it may be kept in `where`."""

    def spoilt(*_: object, **__: object) -> Recording:
        (folder / "out").rmdir()
        (folder / "out").write_text("in the way")
        return Recording(parent_and_child(), 0)

    (folder / "out").mkdir()
    monkeypatch.setattr(record, "record", spoilt)
    monkeypatch.setattr(keep.tempfile, "gettempdir", lambda: str(where[0]))
    monkeypatch.setattr(keep, "ELSEWHERE", [str(place) for place in where[1:]])
    with pytest.raises(InfraError) as error:
        record.record_command(
            ["true"], folder / "out" / "my trace.parquet", hashed=False, allow_failure=False, check=False, as_json=False
        )
    assert (folder / "out").read_text() == "in the way" and "\n" not in str(error.value)
    return str(error.value)


def test_a_recording_that_cannot_be_written_is_kept_elsewhere_and_told_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tmp").mkdir()
    told = recorded(folder, monkeypatch, where=[folder / "file" / "full", folder / "tmp"])
    assert told.startswith(f"{folder / 'out' / 'my trace.parquet'}: ")
    (kept,) = (folder / "tmp").iterdir()
    assert read_trace(kept).tasks == parent_and_child().tasks and kept.stat().st_mode & 0o777 == 0o600
    (folder / "out").unlink()
    (folder / "out").mkdir()
    subprocess.run(["sh", "-c", told.split("`")[1]], check=True)
    assert read_trace(folder / "out" / "my trace.parquet").tasks == 2
    assert places._OURS.fullmatch(kept.name) is None, "what was kept for its user is no rubbish"
    assert list((folder / "tmp").iterdir()) == []


def test_a_recording_that_no_place_takes_is_told_as_lost_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (folder / "tmp").mkdir()
    monkeypatch.setattr(keep.os, "fsync", full)
    assert "it is lost" in recorded(folder, monkeypatch, where=[folder / "tmp", folder / "none"])
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["pipe", "socket", "dir", "nothing"])
def test_what_is_no_plain_file_is_not_read_as_a_kernel(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"^kernel {folder / name}: cannot be read: "):
        prepare_kernel(folder / name, folder / "cache")
    assert not (folder / "cache").exists()


def test_a_file_beyond_the_limit_is_told_before_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / "file").open("w") as file:
        file.truncate(100 << 30)

    def read(*_: object) -> bytes:
        raise AssertionError("nothing of it is to be read")

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(InputError, match="larger than 1024 MiB"):
        prepare_kernel(folder / "file", folder / "cache")


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 70_000])
def test_a_file_is_read_whole_or_not_at_all(folder: Path, size: int) -> None:
    content = os.urandom(size)
    (folder / "file").write_bytes(content)
    assert read_outside(folder / "file", max(10, size)) == content
    if size > 10:
        with pytest.raises(InputError, match="larger than"):
            read_outside(folder / "file", size - 1)


def test_a_file_that_says_nothing_of_its_size_has_the_limit_too() -> None:
    whole = read_outside("/proc/self/maps", 1 << 20)
    assert len(whole) > 4096 and Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(InputError, match="larger than 4 KiB"):
        read_outside("/proc/self/maps", 4096)


@pytest.mark.parametrize("name", ["journal.jsonl", "tables.json"])
def test_a_pipe_among_the_files_of_the_lake_holds_nobody(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    lake = Lake(tmp_path, embedder=embedder("hash"))
    with pytest.raises(SchedcpError, match=f"{name}: no plain file"):
        lake.counts()


@pytest.mark.parametrize("name", ["file", "pipe", "loop"])
def test_a_lake_that_is_no_directory_is_told_before_any_work(folder: Path, name: str) -> None:
    settings = Settings(data_dir=folder / "data", lake=folder / name)
    with pytest.raises(InfraError, match=r"(File exists|Too many).*SCHEDCP_LAKE$"):
        define_run("batch", settings)


@pytest.mark.parametrize("name", ["file", "pipe", "loop", "open"])
def test_a_key_store_that_cannot_be_used_is_told_before_any_work(folder: Path, name: str) -> None:
    (folder / "open").mkdir()
    (folder / "open").chmod(0o755)
    settings = Settings(data_dir=folder / "data", key_store=folder / name)
    options = VerifyOptions("short", False, (), None, False, None)
    for begin in (
        lambda: define_run("batch", settings),
        lambda: verified(folder / "no-policy.bpf.c", settings, options=options),
    ):
        with pytest.raises(KeyFileError, match=rf"^key store: {folder / name}: .*SCHEDCP_KEY_STORE$"):
            begin()


def test_nobody_is_advised_to_close_a_directory_of_other_things(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(KeyFileError, match=r"it holds other things: name a directory of its own") as error:
        check_key_store(Settings(data_dir=folder / "data", key_store=folder))
    assert "chmod" not in str(error.value)
    for name in ("", LOCK):
        (folder / "keys").mkdir(exist_ok=True)
        (folder / "keys").chmod(0o755)
        if name:
            (folder / "keys" / name).touch()
        with pytest.raises(KeyFileError, match=rf"`chmod 700 {folder / 'keys'}`"):
            check_key_store(Settings(data_dir=folder / "data", key_store=folder / "keys"))


def test_a_key_store_is_made_for_its_owner_alone(folder: Path) -> None:
    settings = Settings(data_dir=folder / "data", key_store=folder / "a" / "keys")
    check_key_store(settings)
    check_key_store(settings)
    assert stat.S_IMODE((folder / "a" / "keys").stat().st_mode) == 0o700


def test_a_pipe_in_place_of_the_key_holds_no_signer(folder: Path) -> None:
    (folder / "keys").mkdir(mode=0o700)
    os.mkfifo(folder / "keys" / PRIVATE, 0o600)
    with pytest.raises(KeyFileError, match="not an unencrypted private key"):
        signing_key(folder / "keys")

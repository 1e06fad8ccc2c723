# SPDX-License-Identifier: Apache-2.0
"""What `schedcp clean` removes, what it leaves, and why; tests/integration holds it against live processes."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from clean_cases import left, prepared

from policy_lake.errors import InfraError
from policy_lake.files import scratch
from tasks.host import places
from tasks.host.places import KERNELS, SCRATCH, SETUP_LOCK, clean, remove_dead_scratch, size_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("bpf", "benchmarks", "control_plane", "flows", "policy_lake", "tasks", "verifier_vm")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return prepared(tmp_path, monkeypatch)


def test_what_is_made_again_goes_and_the_kernel_and_the_findings_stay(settings):
    before = left(settings.data_dir)
    cleaned = clean(settings)
    assert left(settings.cache_dir) == {"letter.txt", f"{KERNELS}/current.json", f"{KERNELS}/now/bzImage"}
    assert left(settings.data_dir) == before and cleaned.kept == []
    assert min(part.size for part in cleaned.removed) >= 8192


def test_a_dry_run_says_the_same_and_removes_nothing(settings):
    before = left(settings.cache_dir) | left(settings.data_dir)
    said = clean(settings, everything=True, dry_run=True)
    assert left(settings.cache_dir) | left(settings.data_dir) == before
    assert clean(settings, everything=True).removed == said.removed


def test_all_leaves_only_what_is_not_ours(settings):
    clean(settings, everything=True)
    assert left(settings.cache_dir) == left(settings.data_dir) == {"letter.txt"}
    (settings.data_dir / "letter.txt").unlink()
    (settings.data_dir / "runs").mkdir()
    clean(settings, everything=True)
    assert not settings.data_dir.exists()


def test_a_set_up_that_runs_keeps_the_cache(settings):
    with (settings.cache_dir / SETUP_LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert {part.why for part in clean(settings).kept} == {"in use by a set-up"}
    assert clean(settings).kept == []


def test_scratch_of_a_killed_run_goes_and_that_of_a_live_one_stays(settings, tmp_path):
    dead, live = (tmp_path / "tmp" / f"{SCRATCH}{pid}-x" for pid in (2**22 + 1, os.getpid()))
    dead.mkdir()
    live.mkdir()
    clean(settings)
    assert live.is_dir() and not dead.exists()


def test_scratch_of_an_older_version_goes_when_nothing_of_it_has_changed_for_a_day(settings, tmp_path, monkeypatch):
    tmp, now = tmp_path / "tmp", time.time()
    ages = {"schedcp-front-ab_1cd9z": 86_401, "schedcp-record-00000000": 10**7, "schedcp-link-abcdefgh": 86_390,
            "schedcp-front-abcdefg": 10**7, "schedcp-other-abcdefgh": 10**7,
            "schedcp-image-inside00": 10**7}  # fmt: skip
    for name in ages:
        (tmp / name).mkdir()
        (tmp / name / "vmlinux.pch").touch()
    for name, age in ages.items():
        for path in (tmp / name / "vmlinux.pch", tmp / name):
            os.utime(path, (now - age, now - age))
    os.utime(tmp / "schedcp-image-inside00" / "vmlinux.pch")  # it is at work there
    (tmp / "schedcp-clock-a_link00").symlink_to(tmp / "schedcp-front-abcdefg")
    (tmp / "schedcp-program-afile000").touch()
    for name in ("schedcp-clock-a_link00", "schedcp-program-afile000"):
        os.utime(tmp / name, (1, 1), follow_symlinks=False)
    with monkeypatch.context() as here:
        here.setattr(places.os, "getuid", lambda: os.geteuid() + 1)
        clean(settings)
        assert set(ages) <= left_names(tmp), "of others"
    remove_dead_scratch("record")
    assert set(ages) - left_names(tmp) == {"schedcp-record-00000000"}
    clean(settings)
    assert set(ages) - left_names(tmp) == {"schedcp-record-00000000", "schedcp-front-ab_1cd9z"}
    assert {"schedcp-clock-a_link00", "schedcp-program-afile000"} <= left_names(tmp)


def left_names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_lake_elsewhere_is_left_to_the_user(settings, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    chosen = settings.model_copy(update={"lake": tmp_path / "elsewhere"})
    assert [part.path for part in clean(chosen, everything=True).kept] == [tmp_path / "elsewhere"]
    assert (tmp_path / "elsewhere").is_dir()


def test_a_link_goes_and_what_it_leads_to_stays(settings, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").touch()
    (settings.cache_dir / "images" / "link").symlink_to(tmp_path / "disk")
    clean(settings)
    assert (tmp_path / "disk" / "file").exists()


def test_one_elsewhere_that_is_not_there_or_lies_in_the_data_directory_is_not_mentioned(settings, tmp_path):
    (tmp_path / "keys").mkdir()
    for lake, names in ((tmp_path / "gone", ["keys"]), (settings.data_dir / "lake", ["keys"])):
        chosen = settings.model_copy(update={"lake": lake, "key_store": tmp_path / "keys"})
        kept = clean(chosen, everything=True, dry_run=True).kept
        assert [part.path.name for part in kept] == names and "you chose" in kept[0].why
    assert clean(settings, everything=True).kept == []


@pytest.mark.parametrize("current", [None, "{", "[]", "{}", '{"directory": 3}'])
def test_where_no_kernel_is_known_to_be_in_use_all_go(settings, current):
    told = settings.cache_dir / KERNELS / "current.json"
    told.unlink() if current is None else told.write_text(current)
    clean(settings)
    assert left(settings.cache_dir) == {"letter.txt"} | (set() if current is None else {f"{KERNELS}/current.json"})


def test_a_directory_with_nothing_but_ours_stays_in_a_dry_run(settings):
    (settings.data_dir / "letter.txt").unlink()
    clean(settings, everything=True, dry_run=True)
    assert left(settings.data_dir)
    clean(settings, everything=True)
    assert not settings.data_dir.exists()
    assert clean(settings, everything=True).kept == [] and not settings.data_dir.exists(), (
        "nothing is made to be removed"
    )


def test_who_holds_a_directory_is_named(settings, monkeypatch):
    with (settings.data_dir / "in-use.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # by this process, which holders() leaves out
        kept = clean(settings, everything=True).kept
    assert {part.why for part in kept} == {"in use by a process of another container"}
    assert {part.path.parent for part in kept} == {settings.data_dir} and min(part.size for part in kept) >= 8192

    @contextmanager
    def alone(directory):
        yield [5, 70]

    monkeypatch.setattr(places, "alone", alone)
    assert {part.why for part in clean(settings, everything=True).kept} == {"in use by process 5, 70"}


def test_what_cannot_be_removed_is_told_with_its_place(settings, monkeypatch):
    def rmtree(path):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as here, pytest.raises(InfraError) as error:
        here.setattr(shutil, "rmtree", rmtree)
        clean(settings)
    assert str(error.value) == f"{settings.cache_dir}: Input/output error"
    (settings.cache_dir / "in-use.lock").unlink()
    (settings.cache_dir / "in-use.lock").mkdir()
    with pytest.raises(InfraError) as error:
        clean(settings)
    assert str(error.value) == f"{settings.cache_dir / 'in-use.lock'}: Is a directory"


def test_a_file_that_another_process_removed_meanwhile_is_gone(settings, monkeypatch):
    shutil.rmtree(settings.cache_dir / "kvm.json")
    (settings.cache_dir / "kvm.json").touch()
    monkeypatch.setattr(places, "size_of", lambda path: path.unlink() if path.name == "kvm.json" else 0)
    assert settings.cache_dir / "kvm.json" in [part.path for part in clean(settings).removed]


def test_scratch_of_every_kind_goes_and_a_new_recording_removes_that_of_dead_ones(settings, tmp_path):
    gone, lives = 2**22 + 1, os.getpid()
    dead = {kind: tmp_path / "tmp" / f"schedcp-{kind}-{gone}-x" for kind in ("record", "front", "image", "ray")}
    others = [
        tmp_path / "tmp" / name
        for name in (
            f"schedcp-record-{lives}-x",
            "schedcp-record-ab1",
            "schedcp-0",
            f"schedcp-{gone}-x",
            f"a-b-{gone}-x",
        )
    ]
    for path in (*dead.values(), *others):
        (path / "in").mkdir(parents=True)
    remove_dead_scratch("record")
    assert not dead["record"].exists() and dead["front"].exists()
    assert {part.path for part in clean(settings).removed} >= set(dead.values()) - {dead["record"]}
    assert not any(path.exists() for path in dead.values()) and all(path.exists() for path in others)


def test_scratch_bears_the_process_that_it_is_of(settings, tmp_path):
    with scratch("record") as made:
        assert Path(made).parent == tmp_path / "tmp" and Path(made).name.startswith(f"schedcp-record-{os.getpid()}-")
        clean(settings)
        remove_dead_scratch("record")
        assert Path(made).is_dir()


def test_nothing_makes_scratch_that_clean_would_not_know():
    sources = [path for top in PACKAGES for path in (ROOT / top).rglob("*.py") if path.parts[-2] != "bench"]
    made = [path for path in sources if re.search(r"(TemporaryDirectory|mkdtemp)\((?!.*dir=)", path.read_text())]
    assert [path.relative_to(ROOT).as_posix() for path in made] == ["policy_lake/files.py"]


def test_scratch_is_looked_for_in_both_places_and_only_ours_with_a_process_id_goes(settings, tmp_path, monkeypatch):
    dead = [tmp_path / place / f"{SCRATCH}{2**22 + 1}-x" for place in ("tmp", "shared")]
    others = [tmp_path / "shared" / f"{SCRATCH}{word}" for word in ("x-1", f"{2**22 + 1}", "-1", "1x-y")]
    for path in (*dead, *others):
        path.mkdir()
    with monkeypatch.context() as here:
        here.setattr(os, "getuid", lambda: dead[0].stat().st_uid + 1)
        clean(settings)
        assert all(path.exists() for path in dead), "another user's"
    assert [part.path for part in clean(settings).removed] == sorted(dead)
    assert not any(path.exists() for path in dead) and all(path.exists() for path in others)


def test_a_size_is_what_lies_on_the_disk_with_all_that_is_in_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(8192))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    parts = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "file"]
    assert size_of(tmp_path / "a") == sum(part.lstat().st_blocks for part in parts) * 512 >= 8192
    assert size_of(tmp_path / "link") == (tmp_path / "link").lstat().st_blocks * 512 < 8192
    assert size_of(tmp_path / "gone") == 0

# SPDX-License-Identifier: Apache-2.0
"""`schedcp clean`: what goes, what stays, and that a live process loses nothing."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from contract_cases import contract

from tasks.host.places import CACHE, DATA, KERNELS, SCRATCH, SETUP_LOCK, clean
from tasks.host.settings import load_settings

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from tasks.host.in_use import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A cache and a data directory with something of everything, and a file of somebody else's in each."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    for folder, names in (("cache", CACHE), ("data", DATA)):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            (tmp_path / folder / name / "file").write_bytes(bytes(8192))
        (tmp_path / folder / "letter.txt").write_text("mine")
    for name in ("now", "old"):
        for part in ("bzImage", "pch-1/header.pch"):
            path = tmp_path / "cache" / KERNELS / name / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(4096))
    (tmp_path / "cache" / KERNELS / "current.json").write_text(json.dumps({"directory": "/elsewhere/kernels/now"}))
    return load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


def left(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()} - {"in-use.lock"}


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


@pytest.mark.parametrize("which", ["cache_dir", "data_dir"])
def test_what_a_live_process_holds_stays_whole_and_goes_when_it_was_killed(settings, which):
    directory = getattr(settings, which)
    before = left(directory)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", HOLDER, directory], stdout=subprocess.PIPE, env=environment) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            cleaned = clean(settings, everything=True)
            assert left(directory) == before
            assert {part.why for part in cleaned.kept} == {f"in use by process {holder.pid}"}
        finally:
            holder.kill()
    clean(settings, everything=True)
    assert left(directory) == {"letter.txt"}


def test_a_process_that_begins_meanwhile_waits_until_it_is_through(settings):
    lock = settings.cache_dir / "in-use.lock"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        command = [sys.executable, "-c", HOLDER, settings.cache_dir]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        time.sleep(0.5)
        lock.unlink()  # as the end of `clean --all` does
    try:
        assert holder.stdout.readline() == b"held\n"
        assert clean(settings).kept, "it holds the lock that is there now"
    finally:
        holder.kill()
        holder.communicate()


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


def test_the_command_prints_its_contract(settings):
    environment = {
        **os.environ, "SCHEDCP_CACHE_DIR": str(settings.cache_dir), "SCHEDCP_DATA_DIR": str(settings.data_dir),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-m", "schedcp", "clean", "--all", "--dry-run"]
    environment["PYTHONPATH"] += f":{ROOT / 'control_plane/face'}"
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment, check=True)
    told = contract(done.stdout)
    assert told["dry_run"] and told["all"] and told["bytes"] == sum(part["bytes"] for part in told["removed"])
    shown = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert f"{settings.data_dir}/lake" in shown and shown.splitlines()[-1].startswith("would remove: ")


def test_every_directory_that_the_program_makes_is_known():
    """A new place in the cache or beside the lake has to be named in places.py, or nobody could remove it."""
    named: dict[str, set[str]] = {"cache_dir": set(), "data_dir": set()}
    for package in ("benchmarks", "bpf", "control_plane", "policy_lake", "tasks", "verifier_vm"):
        for path in (ROOT / package).rglob("*.py"):
            for which, name in re.findall(r'\b(cache_dir|data_dir) / "([\w.-]+)"', path.read_text(encoding="utf-8")):
                named[which].add(name)
    assert named["cache_dir"] <= {*CACHE, KERNELS} and len(named["cache_dir"]) > 5
    assert named["data_dir"] <= set(DATA) and len(named["data_dir"]) > 5

# SPDX-License-Identifier: Apache-2.0
"""`schedcp clean`: what goes, what stays, and that a live process loses nothing."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clean_cases import left, prepared
from contract_cases import contract

from tasks.host.places import CACHE, DATA, KERNELS, clean

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
    return prepared(tmp_path, monkeypatch)


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

# SPDX-License-Identifier: Apache-2.0
"""A process that a run needs is killed: it is started again, or the run ends with the reason, and is known for dead.

Here one deterministic moment of each; `make attack` has the random ones.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from contract_cases import contract
from homes import SCHEDCP, SMALL, Home

from tasks.fleet import prefect_server
from tasks.fleet.prefect_server import Server

HERE = Path(__file__).parent
RAY = """
import os, signal, sys, time
before = None
def note(event, arguments):
    if event == "os.putenv" and before is not None and arguments[0].decode() not in before:
        print("set beside threads:", arguments[0].decode(), flush=True)
sys.addaudithook(note)
from tasks.fleet import cluster
from tasks.fleet.environment import prepare_environment
from tasks.fleet.fan_out import fan_out
from tasks.host.settings import Settings
import ray_cases
prepare_environment()
before = set(os.environ)
with cluster.running(Settings(microvm_slots=1), host_cpus=1) as ours:
    ours.ready()
    for kind in ("raylet", "gcs_server"):
        from ray._private import worker
        (victim,) = worker._global_node.all_processes[kind]
        os.kill(victim.process.pid, signal.SIGKILL)
        ends = time.monotonic() + 20
        while not ours.lost() and time.monotonic() < ends:
            time.sleep(0.05)
        print(ours.lost(), flush=True)
        ours.ready()
        print(ours.lost() or "again", [o.value for o in fan_out(ray_cases.fail, ["a"], deadline_s=60, label="x")])
"""
# Kills the first worker of our cluster as soon as there is one; a process of its own, for the other may hold the GIL.
KILLER = """
import os, signal, sys, time
from pathlib import Path
ends = time.monotonic() + 100
while time.monotonic() < ends and os.getppid() == int(sys.argv[1]):
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\\0")
            ours = f"schedcp-ray-{sys.argv[1]}-".encode() in b" ".join(words)
            if ours and any(word.endswith(b"/default_worker.py") for word in words):  # the raylet has it within a word
                os.kill(int(path.parent.name), signal.SIGKILL)
                sys.exit(3)
        except OSError:
            pass
    time.sleep(0.02)
"""
FIRST_WORKER = f"""
import os, subprocess, sys
killer = subprocess.Popen([sys.executable, "-c", {KILLER!r}, str(os.getpid())])
from tasks.fleet import cluster
from tasks.fleet.environment import prepare_environment
from tasks.fleet.fan_out import fan_out
from tasks.host.settings import Settings
import ray_cases
prepare_environment()
with cluster.running(Settings(microvm_slots=2), host_cpus=2) as ours:
    ours.ready()
    print([outcome.value for outcome in fan_out(ray_cases.fail, ["a", "b"], deadline_s=60, label="x")])
print(killer.wait())
"""
FAILS = """
import os
from leftovers import children
from policy_lake.errors import InfraError
from tasks.fleet import cluster
from tasks.fleet.environment import prepare_environment
from tasks.host.settings import Settings
prepare_environment()  # before Ray is imported
from ray._private import services
def fails(*_, **__):
    print("there", *(comm for _, comm in children(os.getpid())), flush=True)
    ours._ends = 0.0  # no time for another
    raise fault
services.start_raylet = fails
with cluster.running(Settings(microvm_slots=1), host_cpus=1) as ours:
    for fault in (RuntimeError("no room"), SystemExit(1)):
        try:
            ours.ready()
        except InfraError:
            print("left", *children(os.getpid()), flush=True)
"""
BREAKS_OFF = """
import time
from tasks.fleet import cluster
from tasks.host.settings import Settings
import ray
began = time.monotonic()
with cluster.running(Settings(microvm_slots=1), host_cpus=1) as ours:
    time.sleep(1.0)
    began = time.monotonic()
print(time.monotonic() - began)
"""


def python(program: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(map(str, (HERE.parents[1], HERE, HERE.parent)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONBREAKPOINT"))}
    with tempfile.TemporaryDirectory(prefix="k-", dir="/tmp") as place:
        env = {**kept, "PYTHONPATH": paths, "TMPDIR": place, "HOME": place}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=False, env=env
        )
        assert not list(Path(place).iterdir())
        return done


def test_a_ray_that_is_killed_is_told_and_begun_again_and_moves_no_environment() -> None:
    done = python(RAY)
    assert done.stdout.splitlines() == [
        "Ray's raylet ended (signal 9)", "again ['a']", "Ray's gcs_server ended (signal 9)", "again ['a']",
    ], done.stdout + done.stderr  # fmt: skip


def test_a_worker_that_is_killed_while_ray_starts_holds_nothing_up() -> None:
    done = python(FIRST_WORKER)
    assert done.stdout.splitlines() == ["['a', 'b']", "3"], done.stdout + done.stderr


def test_a_start_of_ray_that_failed_leaves_nothing_when_it_is_told() -> None:
    done = python(FAILS)
    assert set(done.stdout.splitlines()) == {"there gcs_server", "left"}, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "left"


def test_a_start_of_ray_is_broken_off_at_once() -> None:
    assert float(python(BREAKS_OFF).stdout) < 4  # 2 s on a quiet host


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    made = Server()
    try:
        made.ready()
        yield made
    finally:
        made.end()


def test_a_prefect_server_that_is_killed_is_started_again_and_requests_wait(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        os.kill(server._process.pid, signal.SIGKILL)
        with urllib.request.urlopen(f"{server.url}/health", timeout=120) as answer:  # refused at no moment
            assert answer.status == 200
    assert "the Prefect server ended (signal 9) and is started again" in caplog.text


def test_one_that_is_killed_again_and_again_ends_the_run(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(prefect_server, "STARTS", 0)
    monkeypatch.setattr(prefect_server, "lose", said.append)
    os.kill(server._process.pid, signal.SIGKILL)
    ends = time.monotonic() + 20
    while not said and time.monotonic() < ends:
        time.sleep(0.05)
    assert [line.partition(":")[0] for line in said] == ["the Prefect server ended in the middle of the run (signal 9)"]


@pytest.mark.vm
@pytest.mark.timeout(600)
def test_a_run_that_was_killed_is_known_for_dead_and_leaves_nothing(guest, tmp_path: Path) -> None:
    home = Home(tmp_path)
    child = subprocess.Popen(
        [SCHEDCP, "tune", "batch", *SMALL], env=home.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr
    said = []
    for line in child.stderr:
        said.append(line)
        if "] plan: " in line:
            break
    else:  # its pipe ends before it does: to ask whether it lives would be a race
        pytest.fail("it ended before it planned: " + "".join(said))
    assert [run["status"] for run in contract(home.run("runs", "--json").stdout)["runs"]] == ["running"]
    child.kill()
    child.wait()
    child.stderr.close()
    assert home.left_running() == []
    with contextlib.closing(sqlite3.connect(tmp_path / "prefect/prefect.db")) as database:
        left = database.execute("SELECT tags FROM flow_run WHERE state_type = 'RUNNING'").fetchall()
    (run,) = contract(home.run("runs", "--json").stdout)["runs"]
    assert run["status"] == "killed"
    assert left and set(left) == {(json.dumps([run["id"]]),)}, "by this the next run knows that they are dead"
    (entry,) = json.loads(home.run("lake", "show", run["id"], "--json").stdout)["entries"]
    assert entry["data"]["status"] == "killed"

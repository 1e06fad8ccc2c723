# SPDX-License-Identifier: Apache-2.0
"""Recording for real: what comes out of commands that fail, are interrupted or may not be recorded; and a replay."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from contract_cases import contract
from leftovers import processes
from skipping import skip_or_fail

from benchmarks.trace.file import read_trace
from benchmarks.trace.tasks import FORK, THREAD, cpu_by_name
from tasks.traces.record import CONTAINED, HOST_PIDS

contained = Path("/proc/self/ns/pid").readlink().name != HOST_PIDS
pytestmark = [
    pytest.mark.vm,
    # Not a matter of guests, so REQUIRE_VM does not ask for it; CI's machine has the host's process ids.
    pytest.mark.skipif(contained, reason=f"{CONTAINED}: perf tells those of the host"),
]
SCHEDCP = str(Path(sys.executable).parent / "schedcp")
# A shell that waits for a program with a thread, and for a sleeper: edges, timers, names and CPU time.
PROGRAM = "import threading as t; w = t.Thread(target=lambda: sum(range(3_000_000))); w.start(); w.join()"
SCRIPT = f"sleep 0.05; {sys.executable} -c '{PROGRAM}' & wait; sleep 0.02"


def record(path, *command, options=(), **popen):
    line = [SCHEDCP, "record", *options, "-o", str(path), "--", *command]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, **popen)


def ours_run(*needles):
    """Processes with these words, but for the recorder, whose command line has the command's."""
    return set(processes(*needles)) - set(processes("schedcp record"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "script.parquet"
    done = record(path, "sh", "-c", SCRIPT, options=["--json"])
    if done.returncode == 4 and "schedcp/error" in done.stdout:
        skip_or_fail(f"this host cannot record: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return path, contract(done.stdout)


def test_a_recording_has_every_task_with_its_name_and_nothing_of_its_arguments(recorded):
    path, printed = recorded
    trace = read_trace(path)
    assert printed["command"] == "sh" and printed["tasks"] == trace.tasks
    assert {"sleep", Path(sys.executable).resolve().name[:15]} & set(cpu_by_name(trace))
    assert (trace.op == FORK).sum() == 3 and (trace.op == THREAD).sum() == 1
    assert trace.info.wall_us > 70_000
    if kib := trace.info.footprints_kib:  # this kernel tells
        assert trace.info.footprints_from == "peak_rss" and set(kib) <= {"sh", *trace.info.names}
        interpreter = max(kib.values())
        assert 4096 < interpreter < 262_144 and kib.get("sleep", 100) < interpreter / 2
        assert printed["footprints_kib"] == kib
    assert b"threading" not in path.read_bytes() and b"/" not in json.dumps(trace.info.to_json()).encode()


def test_a_replay_uses_the_same_cpu_time_and_is_no_faster_than_its_chain(recorded):
    path, printed = recorded
    done = subprocess.run(
        [SCHEDCP, "fidelity", str(path), "--json"], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode == 4:
        skip_or_fail(f"no guest here: {done.stderr.strip()}")
    printed_trace = contract(done.stdout)
    assert printed_trace["share_error_points"] < 3
    replayed_ms = sum(command["replay_ms"] for command in printed_trace["commands"])
    assert replayed_ms == pytest.approx(printed["cpu_ms"], rel=0.05)
    assert printed_trace["bound_ms"] <= printed_trace["replay_ms"] <= printed_trace["original_ms"] * 1.05
    again = subprocess.run(
        [SCHEDCP, "fidelity", str(path), "--json"], capture_output=True, text=True, timeout=300, check=False
    )
    assert contract(again.stdout) == printed_trace and again.returncode == done.returncode


def test_names_are_hashed_on_request(tmp_path, recorded):
    assert record(tmp_path / "h.parquet", "sh", "-c", "sleep 0.01; true", options=["--hash-names"]).returncode == 0
    info = read_trace(tmp_path / "h.parquet").info
    assert info.hashed and not {"sh", "sleep"} & {info.command, *info.names}


def test_a_command_that_fails_writes_nothing_unless_asked(tmp_path, recorded):
    done = record(tmp_path / "f.parquet", "sh", "-c", "echo out; exit 3")
    assert (done.returncode, done.stdout) == (2, "out\n")
    assert done.stderr.startswith("schedcp: sh: exited with 3") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert record(tmp_path / "f.parquet", "sh", "-c", "exit 3", options=["--allow-failure"]).returncode == 0
    assert read_trace(tmp_path / "f.parquet").tasks == 1


@pytest.mark.parametrize(
    ("command", "complaint"),
    [(["no-such-command"], "no-such-command: no such command"), (["/etc/passwd"], "/etc/passwd: no such")],
)
def test_a_command_that_cannot_be_started(tmp_path, command, complaint):
    done = record(tmp_path / "n.parquet", *command)
    assert done.returncode == 2 and complaint in done.stderr and not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told_before_the_command_runs(tmp_path):
    done = record(tmp_path / "none" / "x.parquet", "touch", str(tmp_path / "ran"))
    assert done.returncode == 2 and "no folder" in done.stderr and not (tmp_path / "ran").exists()


def test_a_killed_recorder_takes_perf_along_and_the_next_removes_what_it_left(tmp_path, recorded):
    line = [SCHEDCP, "record", "-o", str(tmp_path / "k.parquet"), "--", "sleep", "27.1828"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not ours_run("sleep 27.1828") and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.wait()
    for pid in ours_run("sleep 27.1828"):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while processes("perf", str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes("perf", str(tmp_path)) and len(list(tmp_path.glob("schedcp-record-*"))) == 1
    assert record(tmp_path / "n.parquet", "true", env=environment).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["n.parquet"]


def test_an_interrupt_ends_command_and_perf_and_leaves_nothing(tmp_path, recorded):
    line = [SCHEDCP, "record", "-o", str(tmp_path / "i.parquet"), "--", "sleep", "31.4159"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # perf's own file is then in a folder that names this test
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 20
    while not ours_run("sleep 31.4159") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ours_run("perf", str(tmp_path))
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in stderr
    assert not list(tmp_path.iterdir())
    assert not ours_run("sleep 31.4159") and not ours_run("perf", str(tmp_path))


def test_who_may_not_record_is_told_what_it_needs(recorded):
    # Root without capabilities is nobody to perf, and can still run a Python that belongs to root.
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    line = [*powerless, SCHEDCP, "record", "-o", "/tmp/none.parquet", "--", "true"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("schedcp: recording needs root, or CAP_PERFMON") and done.stderr.count("\n") == 1

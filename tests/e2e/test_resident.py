# SPDX-License-Identifier: Apache-2.0
"""`schedcp up` and `down` as a user runs them: real runs in the resident process, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_cases import contract
from homes import SCHEDCP, SMALL, Home
from leftovers import children, processes, runs

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def home(guest: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("home"))
    yield made
    made.run("down")
    assert made.left_running() == []


@pytest.fixture
def resident(home: Home) -> int:
    done = home.run("up", "--json")
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["pid"])


def until(true: Callable[[], Any], limit_s: float = 60) -> Any:
    ends = time.monotonic() + limit_s
    while not (value := true()):
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.1)
    return value


def tune(home: Home) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SCHEDCP, "tune", "batch", *SMALL], env=home.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def tuning(home: Home) -> subprocess.Popen[str]:
    """A tune that has come as far as its guests."""
    child = tune(home)
    until(home.guests, 120)
    return child


def waiting(home: Home) -> subprocess.Popen[str]:
    """A tune that waits for another."""
    child = tune(home)
    assert "waiting for run batch-" in child.stderr.readline()  # type: ignore[union-attr]
    return child


def state(home: Home) -> str:
    findings = json.loads(home.run("doctor", "--json").stdout)["findings"]
    return next(str(one["detail"]) for one in findings if one["name"] == "resident")


def test_two_runs_are_done_by_one_process_and_told_as_ever(home: Home, resident: int) -> None:
    assert contract(home.run("up", "--json").stdout) == {"schema": "schedcp/up/1", "pid": resident, "started": False}
    results = [home.run("tune", "batch", *SMALL, "--json") for _ in range(2)]
    for done in results:
        assert done.returncode == 0, done.stderr
        assert "] plan: " in done.stderr
    first, second = (contract(done.stdout) for done in results)
    assert first["run_id"] != second["run_id"]
    assert (
        first["candidates_tried"] == 2 and (home.root / "data/schedcp/runs" / second["run_id"] / "report.md").exists()
    )
    assert f"process {resident}, 2 runs so far, idle" in state(home)
    assert home.guests() == []


def test_it_listens_on_loopback_and_a_socket_of_the_user_s_alone(home: Home, resident: int) -> None:
    assert runs(resident)
    places = [path for path in (home.root / "tmp").rglob("*.socket") if path.is_socket() and "schedcp-" in str(path)]
    (place,) = [path for path in places if path.parent.name == f"schedcp-{os.getuid()}"]
    assert place.stat().st_mode & 0o777 == 0o600
    program = (
        "import ray, psutil, sys\n"  # Ray brings psutil along
        "top = psutil.Process(int(sys.argv[1]))\n"
        "sockets = [c for p in (top, *top.children(recursive=True)) for c in p.net_connections('tcp')]\n"
        "print({c.laddr.ip.removeprefix('::ffff:') for c in sockets if c.status == 'LISTEN'})"
    )
    done = subprocess.run([sys.executable, "-c", program, str(resident)], capture_output=True, text=True, check=True)
    assert done.stdout == "{'127.0.0.1'}\n"


@pytest.mark.usefixtures("resident")
def test_bad_input_and_a_wrong_option_are_told_as_ever(home: Home) -> None:
    assert home.run("tune", "nonsense").returncode == 2
    assert home.run("tune", "batch", "--tier", "huge").returncode == 2


def test_another_environment_is_refused_in_one_line(home: Home, resident: int) -> None:
    done = home.run("tune", "batch", *SMALL, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "another variable PREFECT_API_URL: run `schedcp down && schedcp up`" in done.stderr
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(next((home.root / "tmp").glob("schedcp-*/*.socket"))))
        stranger.sendall(b'{"kind": "tune", "run": 3, "identity": {}}\n')
        assert b"refused" in stranger.recv(4096)
    assert runs(resident)


def test_a_second_run_waits_for_the_first_and_ctrl_c_clears_away_its_own_alone(home: Home, resident: int) -> None:
    first, second = tuning(home), waiting(home)
    second.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert second.wait(60) == 143
    assert time.monotonic() - began < 20
    until(home.guests)
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    assert home.guests() == []
    assert runs(resident)
    status = [run["status"] for run in contract(home.run("runs", "--json").stdout)["runs"]]
    assert status.count("cancelled") == 1 and "running" not in status


def test_a_client_that_is_killed_is_a_run_that_is_cancelled(home: Home, resident: int) -> None:
    child = tuning(home)
    child.kill()
    child.wait()
    until(lambda: not home.guests())
    until(lambda: "idle" in state(home))
    assert runs(resident)


def test_a_server_that_dies_again_and_again_ends_the_run_in_one_line_and_not_the_next(
    home: Home, resident: int
) -> None:
    child = tuning(home)
    while (servers := until(lambda: [*prefect_servers(resident), child.poll()])) != [4]:  # it has ended
        for pid in servers[:-1]:
            with contextlib.suppress(ProcessLookupError):  # it has ended since they were counted
                os.kill(pid, signal.SIGKILL)
    assert "the Prefect server ended in the middle of the run (signal 9)" in child.stderr.read()  # type: ignore[union-attr]
    second = tuning(home)
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 130
    assert "it is started again for this run" in second.stderr.read()  # type: ignore[union-attr]
    assert runs(resident)


def prefect_servers(resident: int) -> list[int]:
    return [pid for pid, _ in children(resident) if pid in processes("-m", "tasks.fleet.prefect_server")]


def test_down_ends_a_run_and_one_that_waits_for_it(home: Home, resident: int) -> None:
    told = [tuning(home), waiting(home)]
    done = home.run("down", "--json")
    assert contract(done.stdout)["pid"] == resident
    for child in told:
        assert child.wait(60) == 4
        assert "ended by `schedcp down`" in child.stderr.read()  # type: ignore[union-attr]
    assert home.left_running() == []
    assert contract(home.run("down", "--json").stdout)["pid"] is None


def test_killed_it_takes_everything_with_it_and_its_socket_does_not_matter(home: Home, resident: int) -> None:
    child = tuning(home)
    os.kill(resident, signal.SIGKILL)
    assert child.wait(60) == 4
    assert "ended" in child.stderr.read()  # type: ignore[union-attr]
    assert home.left_running() == []
    assert "none: `schedcp up`" in state(home)
    again = json.loads(home.run("up", "--json").stdout)
    assert again["started"] and again["pid"] != resident


def test_of_several_that_are_started_at_once_one_stays_and_all_tell_it(home: Home) -> None:
    home.run("down")
    words = [SCHEDCP, "up", "--json"]
    children = [subprocess.Popen(words, env=home.env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [json.loads(child.communicate(timeout=180)[0]) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len({one["pid"] for one in told}) == 1 and sorted(one["started"] for one in told) == [False, False, True]
    assert runs(told[0]["pid"])


def test_down_ends_one_that_is_still_starting(home: Home) -> None:
    home.run("down")
    starting = subprocess.Popen([SCHEDCP, "up"], env=home.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    pid = until(lambda: held(home))
    os.kill(pid, signal.SIGSTOP)  # or a busy host lets it finish its start before `down` has begun
    ends = subprocess.Popen([SCHEDCP, "down", "--json"], env=home.env, stdout=subprocess.PIPE, text=True)
    until(lambda: told_to_end(pid))
    os.kill(pid, signal.SIGCONT)
    assert json.loads(ends.communicate(timeout=120)[0])["pid"] == pid
    assert ends.returncode == 0 and not runs(pid)
    assert starting.wait(60) == 4
    assert home.left_running() == []


def held(home: Home) -> int:
    """The process that has the resident's lock, 0 if none has."""
    known = (int(path.read_text() or 0) for path in (home.root / "tmp").glob("schedcp-*/*.lock"))
    return next(filter(runs, known), 0)


def told_to_end(pid: int) -> bool:
    lines = (line.partition(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    pending = next(value for name, _, value in lines if name == "ShdPnd")
    return bool(int(pending, 16) >> (signal.SIGTERM - 1) & 1)

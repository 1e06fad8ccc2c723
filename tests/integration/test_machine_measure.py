# SPDX-License-Identifier: Apache-2.0
"""This machine measured, shortly: what comes out is read back, or refused, and an interrupt leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from contract_cases import contract
from skipping import skip_or_fail

from benchmarks.machine_file import read_machine
from policy_lake.errors import InfraError
from tasks.host.settings import load_settings
from tasks.host.topology import read_host_topology
from tasks.machine.experiments import Experiment, measuring_program, samples

COMMAND = [sys.executable, "-m", "schedcp", "machine", "measure", "--short"]


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return measuring_program(load_settings().cache_dir)
    except InfraError as error:
        skip_or_fail(str(error))


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "SCHEDCP_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": os.pathsep.join(sys.path)}


def test_instructions_are_counted_without_counters(program: Path) -> None:
    """Each time the same, and as many as the guest's virtual clock counts for the same work (63,800)."""
    counts = [samples(program, Experiment("count", ("count", "crc"))) for _ in range(2)]
    assert counts[0] == counts[1] and counts[0][1] == ""
    assert 57_000 < counts[0][0][0] < 70_000
    assert samples(program, Experiment("count", ("count", "nothing")))[0][0] < 10


@pytest.mark.parametrize("words", [(), ("count",), ("nonsense", "1"), ("count", "nonsense"), ("work", "crc", "0")])
def test_wrong_words_end_it_with_a_line(program: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    "words",
    [
        ("work", "matrix", "{cpu}", "2", "{cpu}"), ("syscalls", "{cpu}", "2"), ("switch", "{cpu}", "2"),
        ("pingpong", "{cpu}", "2"), ("wake", "{cpu}", "{cpu}", "10", "2"), ("chase", "{cpu}", "64", "2"),
        ("refill", "{cpu}", "{cpu}", "64", "256", "2"), ("refill", "{cpu}", "{cpu}", "64", "flush", "2"),
        ("stream", "{cpu}", "1024", "2"), ("beyond", "{cpu}", "64", "1024", "2"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_each_experiment_gives_its_samples(program: Path, words: tuple[str, ...]) -> None:
    cpu = str(read_host_topology().cpus[0])
    values, why = samples(program, Experiment("x", tuple(word.format(cpu=cpu) for word in words)))
    assert (len(values), why) == (2, "") and all(-1e6 < value < 1e12 for value in values)


def test_a_cpu_that_is_not_there_is_said(program: Path) -> None:
    values, why = samples(program, Experiment("x", ("chase", "1023", "64", "2")))
    assert values == [] and "CPU 1023: Invalid argument" in why


def test_this_machine_is_measured_and_read_back(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "here.toml"
    command = [*COMMAND, "-o", path, "--force", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    printed = contract(done.stdout)
    assert printed["file"] == str(path) and printed["seconds"] < 120
    machine = read_machine(path)
    assert machine.name == "here" and machine.topology == read_host_topology().topology
    assert printed["trusted"] == (not printed["why"]) == ("not to be trusted" not in machine.title)
    known = {number["name"]: number for number in printed["numbers"]}
    assert known["user_ps"]["low"] <= known["user_ps"]["value"] <= known["user_ps"]["high"]
    assert known["user_ps.crc"]["why"] or 20 < known["user_ps.crc"]["value"] < 2000
    assert "round 1 of 1: syscalls" in done.stderr
    if not printed["trusted"]:
        assert "not to be trusted" in done.stderr.splitlines()[-1]


def test_what_is_not_to_be_trusted_is_not_written(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from control_plane.machine_measure import measure_command
    from tasks.machine import measure

    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(measure, "OTHERS", -1.0)
    monkeypatch.setattr(measure, "plan", lambda lie, effort: iter([Experiment("syscalls", ("syscalls", "0", "7"))]))
    status = measure_command(tmp_path / "x.toml", force=False, short=True, as_json=True)
    out = capsys.readouterr()
    assert status == 4 and not (tmp_path / "x.toml").exists()
    assert json.loads(out.out)["file"] is None and not json.loads(out.out)["trusted"]
    assert "nothing is written: other processes took" in out.err


@pytest.mark.parametrize("output", ["no/folder.toml", "x.json", "."])
def test_an_output_that_cannot_be_is_refused_at_once(tmp_path: Path, output: str) -> None:
    done = subprocess.run([*COMMAND, "-o", output], capture_output=True, text=True, cwd=tmp_path, check=False,
                          env=environment(tmp_path))  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "round" not in done.stderr


def test_an_interrupt_leaves_nothing(program: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "-o", tmp_path / "x.toml"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(tmp_path),
    ) as process:  # fmt: skip
        assert process.stderr
        while "wake" not in process.stderr.readline():  # an experiment of two processes
            assert process.poll() is None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        out, complaint = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in complaint and not out
    assert not (tmp_path / "x.toml").exists()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)

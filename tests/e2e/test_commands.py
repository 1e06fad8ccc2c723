# SPDX-License-Identifier: Apache-2.0
"""The commands as a user runs them, nothing played: real guests, a real Prefect server, a real Ray, a lake on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from contract_cases import contract
from homes import SCHEDCP, SMALL, Home

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def home(guest, tmp_path_factory):
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def tuned(home):
    done = home.run("tune", "batch", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr  # LanceDB's, of a fork beside its threads
    return contract(done.stdout)


def test_tune_prints_the_fixed_shape(tuned):
    assert tuned["workload"] == "batch" and tuned["run_id"]
    assert tuned["candidates_tried"] == 2 and tuned["rejected"] == 0, tuned
    assert set(tuned["seconds"]) >= {"total", "vm", "overhead"}
    seconds = dict(tuned["seconds"])
    total, guests, overhead = (seconds.pop(name) for name in ("total", "vm", "overhead"))
    assert total == pytest.approx(guests + overhead, abs=0.1)
    assert total == pytest.approx(sum(seconds.values()), abs=0.1)
    assert min(seconds["start"], seconds["execute"], seconds["stop"]) > 0
    low, high = tuned["best"]["ratio"]["ci95"]
    assert low <= tuned["best"]["ratio"]["median"] <= high
    assert {c["policy"] for i in tuned["iterations"] for c in i["candidates"]} >= {"ljf"}


def test_nothing_is_left_running_or_lying_about(home, tuned):
    assert home.left_running() == []
    assert list((home.root / "tmp").iterdir()) == []


def test_a_score_in_the_lake_has_proof_and_pairs(home, tuned):
    scored = [c["score"] for i in tuned["iterations"] for c in i["candidates"] if c["score"]]
    (entry,) = contract(home.run("lake", "show", scored[0], "--json").stdout)["entries"]
    shown = entry["data"]
    assert shown["attached"] is True and shown["clock"] == "virtual" and shown["cpus"] == 2
    # What looks better and is not sure gets more pairs.
    assert 4 <= len(shown["pairs"]) <= 12 and all(p["baseline"] > 0 and p["policy"] > 0 for p in shown["pairs"])
    assert {"workload", "policy", "baseline", "metric", "unit", "ratio", "bound", "kernel", "accel"} <= set(shown)


def test_its_report_shows_pictures_that_lie_beside_it(home, tuned):
    directory = home.root / "data" / "schedcp" / "runs" / tuned["run_id"]
    report = (directory / "report.md").read_text()
    for name in ("scores", "timeline", "waits"):
        assert f"({name}.png)" in report
        assert (directory / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_run_can_be_found_again(home, tuned):
    (run,) = contract(home.run("runs", "--json").stdout)["runs"]
    assert (run["id"], run["status"]) == (tuned["run_id"], "done")
    matches = contract(home.run("lake", "search", "one long job among many short ones, makespan", "--json").stdout)
    assert matches["policies"][0]["policy"]["id"] == "ljf"
    assert tuned["run_id"] in home.run("lake", "show", tuned["run_id"]).stdout


def test_a_damaged_table_is_told_in_one_line_and_mended(home, tuned):
    lake = home.root / "data" / "schedcp" / "lake"
    victims = [p for p in lake.rglob("*.lance") if p.is_file() and "policies" in str(p)]
    assert victims
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:50])
    done = home.run("lake", "search", "makespan")
    assert done.returncode == 4 and done.stderr.count("\n") == 1, done.stderr
    assert "schedcp lake rebuild" in done.stderr
    assert home.run("lake", "rebuild").returncode == 0
    assert json.loads(home.run("lake", "search", "makespan", "--json").stdout)["policies"]


def test_a_full_disk_is_one_line_and_exit_4(guest, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    try:
        home = Home(tmp_path)
        (place / "fill").write_bytes(bytes(60_000))
        done = home.run("verify", "bpf/library/fifo.bpf.c", "--json", SCHEDCP_DATA_DIR=str(place / "data"))
        assert done.returncode == 4, done.stderr
        verdict = json.loads(done.stdout)
        assert verdict["accepted"] and verdict["token"] is None, "the verdict is not lost"
        assert "No space left" in verdict["no_token"]["reason"] and "No space left" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_a_run_ends_everything(guest, tmp_path, number, status):
    home = Home(tmp_path)
    child = subprocess.Popen(
        [SCHEDCP, "tune", "batch", *SMALL], env=home.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    messages = []
    for line in child.stderr:
        messages.append(line)
        if "] plan: " in line:
            break
    limit = time.monotonic() + 60
    while not home.guests() and time.monotonic() < limit:
        time.sleep(0.1)
    child.send_signal(number)
    drain = threading.Thread(target=lambda: messages.extend(child.stderr))
    drain.start()
    assert child.wait(60) == status, messages
    drain.join(5)
    assert "Traceback" not in "".join(messages), messages
    assert number != signal.SIGINT or "schedcp: interrupted" in "".join(messages), messages
    assert home.left_running() == []
    assert list((tmp_path / "tmp").iterdir()) == []
    (run,) = contract(home.run("runs", "--json").stdout)["runs"]
    assert run["status"] == "cancelled"

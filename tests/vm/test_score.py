# SPDX-License-Identifier: Apache-2.0
"""`schedcp score` in real guests: a score, its floor and its pictures, and the same once more by its id."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from contract_cases import contract

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]
SCHEDCP = Path(sys.executable).parent / "schedcp"
WORKLOAD = ("-w", "schbench", "--tier", "smoke")


@pytest.fixture(scope="module")
def home(guest, tmp_path_factory):
    """Where the user's lake is; the cache is the real one."""
    return tmp_path_factory.mktemp("home")


def schedcp(home, *args, **env):
    known = {key: value for key, value in os.environ.items() if not key.startswith("SCHEDCP_")}
    data = {"XDG_DATA_HOME": str(home), **env}
    return subprocess.run([SCHEDCP, *args], capture_output=True, text=True, check=False, env={**known, **data})


@pytest.fixture(scope="module")
def score(home):
    done = schedcp(home, "score", "fifo", *WORKLOAD, "--json", "--plots", str(home / "plots"), "--perfetto")
    assert done.returncode == 0, done.stderr
    return contract(done.stdout)


def test_a_score_says_what_it_takes_to_repeat_it(score):
    assert score["attached"] is True and score["outcome"] == "win" and score["tier"] == "smoke"
    of = score["provenance"]
    assert all(
        of[name] for name in ("workload_sha256", "object_sha256", "kernel_sha256", "image_sha256", "qemu", "clock")
    )
    assert of["plan"]["pairs"] == 5 and len(score["measurements"]) == 2 * len(score["pairs"])
    assert [pair["seed"] for pair in score["pairs"][:2]] == [100, 101]
    assert score["floor"] > 1


def test_the_floor_is_kept_in_the_lake_and_measured_once(home, score):
    again = schedcp(home, "score", "fifo", *WORKLOAD, "--json")
    assert "two equal runs" not in again.stderr
    assert contract(again.stdout)["floor"] == score["floor"]
    assert contract(again.stdout)["measurements"] == score["measurements"]


def test_pictures_and_a_perfetto_trace_beside_it(home, score):
    names = {path.name for path in (home / "plots").iterdir()}
    assert names >= {"scores.png", "timeline.png", "timeline.svg", "waits.png", "perfetto.json"}
    assert (home / "plots" / "timeline.png").stat().st_size > 10_000


def test_once_more_by_its_id_it_comes_to_the_same(home, score):
    done = schedcp(home, "score", "--again", score["id"], "--json")
    printed = contract(done.stdout)
    assert done.returncode == 0 and printed["agrees"] is True and printed["changed"] == []
    assert printed["difference"] == 0.0
    assert printed["now"]["pairs"] == score["pairs"]
    assert printed["now"]["measurements"] == score["measurements"]


@pytest.mark.parametrize(("id", "words"), [("", "2 scores begin so"), ("no-such", "the lake has none")])
def test_an_id_that_names_no_score_or_several_is_refused(home, score, id, words):
    done = schedcp(home, "score", "--again", id)
    assert done.returncode == 2 and done.stdout == ""
    assert "no-such" in done.stderr or not id

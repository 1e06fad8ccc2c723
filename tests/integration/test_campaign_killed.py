# SPDX-License-Identifier: Apache-2.0
"""A campaign in a process that is killed again and again, on slots of its own and with guests that are played."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CAMPAIGN = """
import json, sys
from pathlib import Path
import ray_cases
from tasks.campaign import conduct
from tasks.campaign.campaign import in_order
from tasks.campaign.conduct import Budget, Conduct
from tasks.campaign.matrix import define_campaign
from tasks.campaign.times import read_times
from tasks.host.lake import open_lake
from tasks.trial.local import LocalSlots
conduct.do_work = ray_cases.played_slowly
spec = define_campaign(Path(sys.argv[1]))
with LocalSlots(2) as slots:
    made = Conduct(spec, open_lake(spec.settings), slots, slots_now=lambda: 2, budget=Budget(0, 0),
                   times=read_times(spec.settings))
    rows = in_order(spec, list(made.run()))
rows = [[row.contender, row.place.seed, row.ratio.median, row.score] for row in rows]
print(json.dumps([made.computed, made.known, rows]))
"""
RUNS = 3 * (4 + 4 + 2 * 4)
PATIENCE_S = 600  # a busy host


def started(data: Path, file: Path) -> subprocess.Popen[str]:
    paths = [str(TESTS / "e2e"), str(TESTS), str(TESTS.parent)]
    env = {**os.environ, "SCHEDCP_DATA_DIR": str(data), "SCHEDCP_EMBEDDER": "hash:8",
           "PYTHONPATH": os.pathsep.join(paths)}  # fmt: skip
    command = [sys.executable, "-c", CAMPAIGN, str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def held(data: Path) -> int:
    """Runs in the journal, which survives any kill; a torn last line is none."""
    journal = data / "lake/journal.jsonl"
    return journal.read_bytes().count(b'"kind":"measurements"') if journal.exists() else 0


def result(data: Path, file: Path) -> list[object]:
    stdout, stderr = started(data, file).communicate(timeout=PATIENCE_S)
    assert stdout, stderr
    return list(json.loads(stdout.splitlines()[-1]))


@pytest.mark.timeout(4 * PATIENCE_S)
def test_what_was_computed_before_a_kill_is_not_computed_again(tmp_path: Path) -> None:
    file, chance = tmp_path / "spring.toml", random.Random(18)
    file.write_text('workloads = ["batch"]\npolicies = ["ljf", "rr"]\nseeds = [1, 2, 3]\npairs = 4\n')
    data, before = tmp_path / "data", 0
    for _ in range(2):
        process, more = started(data, file), chance.randint(1, 15)
        ends = time.monotonic() + PATIENCE_S
        while held(data) < before + more and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        _, stderr = process.communicate()
        assert before < held(data) < RUNS, stderr
        before = held(data)
    computed, known, rows = result(data, file)
    assert (computed, known) == (RUNS - before, before) and held(data) == RUNS, "all there, none twice"
    assert rows == result(tmp_path / "whole", file)[2], "and equal to those of one that nothing happened to"

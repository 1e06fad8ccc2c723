# SPDX-License-Identifier: Apache-2.0
"""A campaign in a process that is killed at the worst moments, on slots of its own and with guests that are played."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
CAMPAIGN = """
import json, os, signal, sys
from pathlib import Path
import ray_cases
from policy_lake.journal import Journal
from tasks.campaign import conduct
from tasks.campaign.campaign import in_order
from tasks.campaign.conduct import Budget, Conduct
from tasks.campaign.matrix import define_campaign
from tasks.campaign.times import read_times
from tasks.host.lake import open_lake
from tasks.trial.local import LocalSlots
conduct.do_work = ray_cases.played_work

def dies(owner, name, calls, late):
    plain, left = getattr(owner, name), [calls]
    def called(*given, **named):
        left[0] -= 1
        if left[0] or late:
            result = plain(*given, **named)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, called)

if len(sys.argv) > 2:
    where, calls = sys.argv[2].split()
    owner, late = {"_settle": (Conduct, False), "append": (Journal, True)}[where]
    dies(owner, where, int(calls), late)
spec = define_campaign(Path(sys.argv[1]))
with LocalSlots(2) as slots:
    made = Conduct(spec, open_lake(spec.settings), slots, slots_now=lambda: 2, budget=Budget(0, 0),
                   times=read_times(spec.settings))
    rows = in_order(spec, list(made.run()))
rows = [[row.contender, row.place.seed, row.ratio.median, row.score] for row in rows]
print(json.dumps([made.computed, made.known, rows]))
"""
RUNS = 2 * (4 + 4 + 2 * 4)
PATIENCE_S = 600  # a busy host


def started(data: Path, file: Path, *dies: str) -> subprocess.CompletedProcess[str]:
    paths = [str(TESTS / "e2e"), str(TESTS), str(TESTS.parent)]
    env = {**os.environ, "SCHEDCP_DATA_DIR": str(data), "SCHEDCP_EMBEDDER": "hash:8",
           "PYTHONPATH": os.pathsep.join(paths)}  # fmt: skip
    command = [sys.executable, "-c", CAMPAIGN, str(file), *dies]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=PATIENCE_S, check=False)


def held(data: Path) -> int:
    """Runs in the journal, which survives any kill; a torn last line is none."""
    journal = data / "lake/journal.jsonl"
    return journal.read_bytes().count(b'"kind":"measurements"') if journal.exists() else 0


def result(data: Path, file: Path) -> list[Any]:
    done = started(data, file)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.timeout(5 * PATIENCE_S)
def test_what_was_computed_before_a_kill_is_not_computed_again(tmp_path: Path) -> None:
    """Killed as a run has ended and is not written, and between journal and tables."""
    file, data, before = tmp_path / "spring.toml", tmp_path / "data", 0
    file.write_text('workloads = ["batch"]\npolicies = ["ljf", "rr"]\nseeds = [1, 2]\npairs = 4\n')
    for dies in ("_settle 11", "append 1"):
        done = started(data, file, dies)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert before < held(data) < RUNS, dies
        before = held(data)
    computed, known, rows = result(data, file)
    assert (computed, known) == (RUNS - before, before) and held(data) == RUNS, "all there, none twice"
    assert rows == result(tmp_path / "whole", file)[2], "and equal to those of one that nothing happened to"

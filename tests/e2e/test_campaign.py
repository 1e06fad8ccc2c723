# SPDX-License-Identifier: Apache-2.0
"""A campaign on a real Ray and a real Prefect server, killed again and again, and with a node that goes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import ray_cases

from policy_lake.lake import Lake
from policy_lake.records import Entry
from tasks.campaign import conduct as module
from tasks.campaign.conduct import Budget, Conduct
from tasks.campaign.matrix import CampaignSpec, Matrix
from tasks.campaign.times import read_times
from tasks.fleet.cluster import slots_now
from tasks.fleet.fan_out import Pool
from tasks.host.settings import Settings
from tasks.trial.work import Done

HERE = Path(__file__).parent
# The flow as the command calls it, with guests that are played; each computed run leaves a line.
CAMPAIGN = """
import json, sys
from pathlib import Path
import ray_cases
from tasks.campaign import conduct
from tasks.campaign.matrix import define_campaign
conduct.do_work = ray_cases.played_slowly
from flows.local_campaign import run_campaign_here
from policy_lake.model import to_json
done = run_campaign_here(define_campaign(Path(sys.argv[1])))
print(json.dumps(to_json(done)))
"""
FILE = 'workloads = ["batch"]\npolicies = ["ljf", "fifo", "rr"]\nseeds = [1, 2, 3, 4]\npairs = 5\n'
RUNS = 4 * (5 + 5 + 2 * 5)  # fifo's verdict is a rejection


def started(tmp_path: Path, file: Path) -> subprocess.Popen[str]:
    dropped = ("RAY_", "PREFECT_", "SCHEDCP_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    paths = [str(HERE), str(HERE.parent), str(HERE.parents[1])]
    env |= {"SCHEDCP_DATA_DIR": str(tmp_path / "data"), "PREFECT_HOME": str(tmp_path / "prefect"),
            "SCHEDCP_EMBEDDER": "hash:8", "PYTHONPATH": os.pathsep.join(paths)}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", CAMPAIGN, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def held(tmp_path: Path) -> int:
    """Lines of measurements in the journal: what survives any kill."""
    journal = tmp_path / "data/lake/journal.jsonl"
    return journal.read_bytes().count(b'"kind":"measurements"') if journal.exists() else 0


@pytest.mark.timeout(2400)
def test_a_campaign_that_is_killed_anywhere_goes_on_where_it_was(tmp_path: Path) -> None:
    file, chance = tmp_path / "spring.toml", random.Random(18)
    file.write_text(FILE)
    before = 0
    for _ in range(2):
        process = started(tmp_path, file)
        ends = time.monotonic() + 600
        # Its first run is written at once, later ones several at a time.
        while held(tmp_path) == before and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert held(tmp_path) > before, "what was computed stays"
        before = held(tmp_path)
    assert before < RUNS
    process = started(tmp_path, file)
    stdout, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    done = json.loads(stdout.splitlines()[-1])
    assert done["stopped"] == "done" and done["known"] == before and done["computed"] == RUNS - before
    assert held(tmp_path) == RUNS, "all rows there, none twice"
    by_name = {(row["contender"], row["place"]["seed"]): row for row in done["rows"]}
    assert len(by_name) == 12 and all(by_name["ljf", seed]["ratio"]["median"] > 1.3 for seed in (1, 2, 3, 4))
    assert all(by_name["fifo", seed]["why_not"].startswith("rejected at") for seed in (1, 2, 3, 4))


@pytest.mark.usefixtures("ray_cluster")
def test_a_node_that_goes_costs_its_unfinished_runs_alone(tmp_path: Path, nodes: Any, monkeypatch: Any) -> None:
    import ray

    monkeypatch.setattr(module, "do_work", ray_cases.played_slowly)
    settings = Settings(data_dir=tmp_path / "data", embedder="hash:8")
    spec = CampaignSpec(Matrix(("batch",), ("ljf", "rr"), seeds=(1, 2, 3), pairs=5, name="nodes"), settings)
    extra = [nodes.add_node(num_cpus=1, resources={"microvm": 1}) for _ in range(2)]
    ends = time.monotonic() + 30
    while ray.cluster_resources().get("microvm") != 4 and time.monotonic() < ends:
        time.sleep(0.1)
    lake = Lake(tmp_path / "lake")
    rows = conducted(spec, lake, lambda: nodes.remove_node(extra[0], allow_graceful=False))
    nodes.remove_node(extra[1])
    alone = Lake(tmp_path / "alone")
    assert rows == conducted(spec, alone, lambda: None) and all(row.ratio is not None for row in rows)
    assert measured(lake) == measured(alone) and len(measured(lake)) == 3 * (5 + 5 + 2 * 5)


def conducted(spec: CampaignSpec, lake: Lake, loss: Any) -> list[Any]:
    """All rows in order; `loss` happens in the middle."""
    with Pool[Done](deadline_s=120, label="campaign") as slots:
        conduct = Conduct(spec, lake, slots, slots_now=slots_now, budget=Budget(0, 0), times=read_times(spec.settings))
        threading.Timer(1.0, loss).start()
        rows = list(conduct.run())
    assert not conduct.failures
    return sorted(rows, key=lambda row: (row.place.seed, row.contender))


def measured(lake: Lake) -> list[Entry]:
    return sorted(lake._entries("measurements", ""), key=lambda entry: entry.id)

# SPDX-License-Identifier: Apache-2.0
"""Nightly: a policy that passed the whole suite, and won, is bad for what the hosts really do: back on the first host.

Every word as a user would say it. `fifo` wins on schbench; beside four hogs a sleeper waits for a turn of each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_cases import end_all
from skipping import skip_or_fail

from tasks.host.settings import load_settings
from tasks.hosts.places import address_of
from tasks.hosts.reach import ask

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3000)]
ROOT = Path(__file__).parents[2]
METRIC = "schedcp_workload_p50_us"
PLAN = f"""
id = "bad"
window_s = 25
settle_s = 12

[[steps]]
name = "one"
kind = "full"
[[steps]]
name = "all"
kind = "full"
hosts = "all"

[[metrics]]
name = "{METRIC}"
worst = 1.25
critical = true
goal = true
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def schedcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Path]]:
    """The command in a data directory of its own, with its JSON; the directory."""
    if not os.environ.get("FLEET_HOSTS"):
        pytest.skip("nightly: a whole suite and a rollout take a quarter of an hour (`make fleet-test`)")
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        skip_or_fail("a host's disk is built by root, with mmdebstrap (`apt-get install mmdebstrap`)")
    place = tmp_path_factory.mktemp("bad")

    def run(*words: str | Path, status: int = 0) -> dict[str, Any]:
        sys.stdout.write(f"schedcp {' '.join(map(str, words))}\n")
        command = [ROOT / ".venv/bin/schedcp", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=place,
            env={**os.environ, "SCHEDCP_DATA_DIR": str(place)},
        )  # fmt: skip
        assert done.returncode == status, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return dict(json.loads(done.stdout)) if done.stdout.startswith("{") else {"said": done.stdout}

    try:
        yield run, place
    finally:
        end_all(load_settings(data_dir=place))


def test_a_verified_policy_that_harms_is_rolled_back_by_the_judge_and_never_reaches_the_second_host(schedcp) -> None:
    run, place = schedcp
    (place / "plan.toml").write_text(PLAN)
    trusted = run("verifierd", "trust", "trust")
    (place / "trust/allow-lab").write_text(f"{trusted['said'].split('lab key ')[1].split()[0]}\n")
    fleet = ("fleet", "up", "--hosts", "2", "--cpus", "1", "--memory", "512", "--name", "bad", "--trust", "trust")
    fleet += ("-w", str(ROOT / "tests/fleet_faults/live.toml"))
    run(*fleet)
    run("host", "describe", "bad-1", "-o", "one.json")
    run("fleet", "down", "--name", "bad", "--keep")  # two hosts' work is no neighbour for a suite
    verify = ("verify", ROOT / "bpf/library/fifo.bpf.c", "-w", "schbench", "--tier", "full", "--for", "one.json")
    verified = run(*verify, "--json")
    assert verified["accepted"] and verified["token"], verified
    run(*fleet)
    rollout = ("rollout", verified["token"], "--object", f"objects/{verified['object_sha256']}.bpf.o")
    hosts = ("--host", "bad-1", "--host", "bad-2")
    told = run(*rollout, "--plan", "plan.toml", *hosts, "--on-doubt", "stop", "--json", status=3)
    done = told["done"]
    print(json.dumps(done, indent=1))
    judged = done["steps"][-1]["judgement"]
    assert done["end"] == "rolled_back" and done["at"] == "one" and not done["why"]  # no agent's own taking back
    assert judged["decision"] == "roll_back" and judged["metric"] == METRIC
    assert [seen["low"] > 1.25 for seen in judged["readings"] if not seen["host"]] == [True]
    settings = load_settings(data_dir=place)
    logs = {}
    for host in ("bad-1", "bad-2"):
        said = ask(address_of(host, settings), "audit", timeout_s=60, since=0).fields["entries"]
        logs[host] = [entry["what"] for entry in said]
        print(host, *(json.dumps(entry) for entry in said), sep="\n  ")
        run("audit", "verify", "--host", host)
        assert ask(address_of(host, settings), "status", timeout_s=60).fields["status"] == "idle"
    assert "attached" in logs["bad-1"] and logs["bad-1"][-1] == "detached"
    assert not {"attach", "attached", "shadow"} & set(logs["bad-2"])
    lessons = [one["text"] for one in run("lessons", "--json")["lessons"]]
    print(lessons)
    assert any("rolled back at step one though it was verified" in text for text in lessons)

# SPDX-License-Identifier: Apache-2.0
"""The rollout's flow on a real Prefect server and a real lake; only the hosts are played."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.flow_runs import resume_flow_run
from rollout_cases import PLAN, STEPS, FakeHost

from flows import rollout as flows_rollout
from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.rollout import End, RolloutPlan
from tasks.rollout.drive import Rollout
from tasks.rollout.evidence import Evidence
from tasks.rollout.hosts import TakenBackError
from tasks.rollout.spec import Opened, RolloutSpec

pytestmark = pytest.mark.usefixtures("prefect_url")


def opened(lake: Lake, hosts: list[FakeHost], plan: RolloutPlan, monkeypatch) -> RolloutSpec:
    def open_spec(spec: RolloutSpec) -> Opened:
        names = [host.name for host in hosts]
        evidence = Evidence.begin(
            lake, spec.id, spec.plan, names, policy="fifo", workload="requests", token_sha256="0" * 64
        )
        return Opened(Rollout(spec.plan, hosts, evidence.tell), evidence)

    monkeypatch.setattr(flows_rollout, "open_spec", open_spec)
    return RolloutSpec(f"rollout-{time.time_ns():x}", plan, (), "", (), "fifo", on_doubt="stop")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", embedder=embedder("hash:8"))


def three(**bad) -> list[FakeHost]:
    return [FakeHost("a", **bad), FakeHost("b"), FakeHost("c")]


def page_of(spec: RolloutSpec) -> str:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[spec.id])))
    return str(sorted(found, key=lambda one: one.created)[-1].data)


def test_each_step_is_a_task_and_the_page_says_how_it_went(lake, monkeypatch):
    hosts = three()
    spec = opened(lake, hosts, PLAN, monkeypatch)
    done = asyncio.run(flows_rollout.rollout(spec))
    assert done.end is End.PROMOTED and [host.attached for host in hosts] == ["candidate"] * 3
    page = page_of(spec)
    assert "promoted" in page and "| one | a | promote: surely better" in page.replace("\\", "")
    with get_client(sync_client=True) as client:
        names = {run.name.rsplit("-", 1)[0] for run in client.read_task_runs()}
    assert {f"step-{step.name}" for step in STEPS} <= names


def test_a_host_that_takes_it_back_ends_the_flow_without_an_error(lake, monkeypatch):
    hosts = three(fails=(4, TakenBackError("a task waited 6 s", host="a", code="task_waits")))
    done = asyncio.run(flows_rollout.rollout(opened(lake, hosts, PLAN, monkeypatch)))
    assert (done.end, done.host) == (End.ROLLED_BACK, "a") and not any(host.attached for host in hosts)
    assert "task_waits" in lake.lessons()[0].text


def test_a_flow_that_fails_takes_it_back(lake, monkeypatch):
    hosts = three()
    spec = opened(lake, hosts, PLAN, monkeypatch)

    async def broken(*_):
        raise RuntimeError("no artifact today")

    monkeypatch.setattr(flows_rollout, "publish_markdown", broken)
    with pytest.raises(RuntimeError):
        asyncio.run(flows_rollout.rollout(spec))
    assert not any(host.attached for host in hosts)


def test_it_pauses_for_a_person_before_a_step_and_goes_on_by_the_answer(lake, monkeypatch):
    hosts = three()
    plan = replace(PLAN, steps=(STEPS[0], replace(STEPS[1], pause=True)))
    spec = replace(opened(lake, hosts, plan, monkeypatch), on_doubt="ask")
    answered = threading.Event()

    def person() -> None:
        with get_client(sync_client=True) as client:
            while not answered.is_set():
                for run in client.read_flow_runs():
                    if run.name == f"rollout {spec.id}" and run.state_name == "Paused":
                        assert not hosts[0].attached
                        resume_flow_run(run.id, run_input={"answer": "go on"})
                        answered.set()
                time.sleep(0.2)

    answerer = threading.Thread(target=contextvars.copy_context().run, args=(person,), daemon=True)
    answerer.start()
    try:
        done = asyncio.run(flows_rollout.rollout(spec))
    finally:
        answered.set()
    assert done.end is End.PROMOTED and "window one policy" in hosts[0].log

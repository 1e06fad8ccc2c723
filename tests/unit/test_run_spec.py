# SPDX-License-Identifier: Apache-2.0
"""A run is a value: stored once, the same for every stage and process, without its model's key; its budget goes on."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from planner_cases import context
from planner_endpoint import Endpoint, plans, serving

from policy_lake.errors import InfraError, InputError
from policy_lake.model import to_json
from tasks.host.settings import Settings, load_settings
from tasks.planners.endpoint import Usage
from tasks.run.budget import planner_of
from tasks.run.spec import RunSpec, define_run, load_run, run_of, store_run

KEY = "sesame-1234"
DESCRIPTOR = Path(__file__).parents[2] / "benchmarks/workloads/batch.toml"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", embedder="hash", model_api_key=KEY)


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with serving() as start:
        yield start(plans(("rr", {})))


def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(DESCRIPTOR.read_text().replace('id = "batch"', 'id = "mine"'))
    return path


def test_a_descriptor_that_is_edited_in_mid_run_does_not_change_the_run(tmp_path: Path, settings: Settings) -> None:
    path = mine(tmp_path)
    run = define_run(str(path), settings, run_id="r1")
    store_run(run)
    path.write_text(path.read_text().replace("timeout_s = ", "timeout_s = 1"))
    assert define_run(str(path), settings).workload != run.workload
    path.unlink()
    assert load_run("r1", settings) == run


def test_a_stage_by_itself_gets_the_run_s_settings_whatever_its_own_environment_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings.model_copy(update={"tier": "smoke", "cold": True, "trial_deadline_s": 7.0})
    run = define_run("batch", chosen, run_id="r1", pairs=9, seed=3)
    store_run(run)
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("SCHEDCP_TIER", "full")
    monkeypatch.setenv("SCHEDCP_MODEL_API_KEY", "another")
    alone = run_of("r1")
    assert to_json(alone) == to_json(run)
    assert (alone.settings.trial_deadline_s, alone.workload.tier, alone.shape.cold) == (7.0, "smoke", True)
    assert alone.settings.model_api_key.get_secret_value() == "another", "a key is the process's, not the run's"


def test_the_key_is_in_no_file_pickle_or_text(settings: Settings) -> None:
    run = define_run("batch", settings, run_id="r1")
    store_run(run)
    texts = [path.read_text() for path in settings.data_dir.rglob("*") if path.is_file()]
    assert texts
    for text in (*texts, json.dumps(to_json(run)), repr(run), str(run), repr(pickle.dumps(run))):
        assert KEY not in text
    assert pickle.loads(pickle.dumps(run)).settings.model_api_key.get_secret_value() == ""
    assert run.settings.model_api_key.get_secret_value() == KEY


def test_prefect_s_server_is_not_sent_the_key(settings: Settings) -> None:
    from flows.plan import plan

    run = define_run("batch", settings, run_id="r1")
    sent = plan.serialize_parameters(plan.validate_parameters({"run": run, "profile_id": "p"}))
    assert KEY not in json.dumps(sent)
    assert sent["run"]["workload"]["id"] == "batch"


def test_a_run_id_is_one_run_s(settings: Settings) -> None:
    store_run(define_run("batch", settings, run_id="r1"))
    store_run(define_run("batch", settings, run_id="r1"))
    with pytest.raises(InputError, match="run 'r1' was begun with another definition"):
        store_run(define_run("batch", settings, run_id="r1", pairs=9))
    for bad in ("../r2", "", "a/b", ".", "x" * 101):
        with pytest.raises(InputError, match="run id"):
            load_run(bad, settings)
    with pytest.raises(InputError, match="no run 'r2' was begun here"):
        load_run("r2", settings)
    (settings.run_dir / "r1" / "run.json").write_text("{}")
    with pytest.raises(InfraError, match=r"run\.json: the run's definition cannot be read"):
        load_run("r1", settings)


NO_LAKE: Any = SimpleNamespace(put=lambda *_: None)


def asking(settings: Settings, server: Endpoint, **more: Any) -> RunSpec:
    update = {"model": "tiny", "model_url": server.url, "model_timeout_s": 20.0, **more}
    return define_run("batch", settings.model_copy(update=update), run_id="r1")


def test_a_budget_goes_on_in_the_stage_that_opens_the_run_next(settings: Settings, server: Endpoint) -> None:
    run = asking(settings, server, model_max_tokens=20_000)
    calls = 0
    for _ in range(20):  # each as a deployment of its own would
        plan = planner_of(run, NO_LAKE).plan(context())
        calls += plan[0].planner == "model:tiny"
        spent = json.loads((run.directory / "usage.json").read_text())
        assert spent["tokens_in"] + spent["tokens_out"] <= 20_000
    assert 0 < calls < 12
    assert len(server.requests) == calls == spent["calls"]
    assert "over the maximum of 20000" in plan[0].reason


def test_a_call_in_which_the_process_dies_is_counted(
    settings: Settings, server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asking(settings, server)
    kept: list[int] = []

    def calls() -> int:
        return int(json.loads((run.directory / "usage.json").read_text())["calls"])

    def dies(*_: Any) -> None:
        kept.append(calls())
        raise SystemExit

    monkeypatch.setattr("tasks.planners.ask.ask", dies)
    planner = planner_of(run, NO_LAKE)
    for number in (1, 2):  # a library may raise it, which ends no run; what it was asked is spent all the same
        assert {plan.planner for plan in planner.plan(context())} == {"embedded"}
        assert (calls(), kept[-1]) == (number, number), "counted before the call, in which a process may die"


def test_what_was_spent_and_cannot_be_read_stops_the_run(settings: Settings, server: Endpoint) -> None:
    run = asking(settings, server)
    run.directory.mkdir(parents=True)
    (run.directory / "usage.json").write_text("{")
    with pytest.raises(InfraError, match=r"usage\.json: what the model was paid cannot be read"):
        planner_of(run, NO_LAKE)
    (run.directory / "usage.json").write_text(json.dumps(to_json(Usage(1, 2, 3, 4.0))))
    assert planner_of(run, NO_LAKE).usage == Usage(1, 2, 3, 4.0)  # type: ignore[attr-defined]


def test_options_go_before_the_environment_and_leave_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("SCHEDCP_TIER", "full")
    before = dict(os.environ)
    assert load_settings(tier="smoke", cpus=None).tier == "smoke"
    assert load_settings(tier=None).tier == "full"
    assert dict(os.environ) == before
    with pytest.raises(InputError, match=r"^--cpus '-1': less than 0$"):
        load_settings(cpus=-1)


def test_a_run_that_is_to_have_no_token_makes_no_key_store_and_says_so_to_every_stage(settings: Settings) -> None:
    run = define_run("batch", settings, run_id="r1", token=False)
    store_run(run)
    assert not load_run("r1", settings).token and not settings.key_dir.exists()
    assert define_run("batch", settings).token and settings.key_dir.exists()

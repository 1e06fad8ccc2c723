# SPDX-License-Identifier: Apache-2.0
"""The flows on a real Prefect server and a real Ray; only the guest is played."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray_cases
from flow_cases import PROFILE, Scripted
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Pending, Running

from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write
from policy_lake.model import PolicyPlan, from_json, to_json
from policy_lake.tuned import TuneResult
from tasks.fleet.crashed import crash_dead
from tasks.fleet.fan_out import Pool
from tasks.fleet.refuse import refuse
from tasks.fleet.retry import retryable
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.run.batch import run_observed_batch
from tasks.run.scope import open_scope
from tasks.run.spec import define_run
from tasks.trial import drive
from tasks.trial.pictures import Pictures
from tasks.trial.work import Done

pytestmark = pytest.mark.usefixtures("prefect_url")
PICTURE = b"\x89PNG\r\n\x1a\nplayed"
BEHIND = "others of its run are surely ahead, so it was measured no further than 2 pairs"
PLANS = [PolicyPlan(id, {}, f"{id} may help", "scripted") for id in ("ljf", "fifo", "rr", "vtime")]


@pytest.mark.parametrize(("error", "attempts"), [(InfraError("x"), 3), (InputError("x"), 1), (KeyError("x"), 1)])
def test_only_an_infra_error_is_tried_again(error: Exception, attempts: int) -> None:
    made: list[int] = []

    def work() -> None:
        made.append(1)
        raise error

    task = retryable(work, delay_s=0.1)

    @flow(name="attempts")
    async def attempt() -> None:
        task()

    with pytest.raises(type(error)):
        asyncio.run(attempt())
    assert len(made) == attempts


def test_flow_runs_whose_process_is_gone_are_crashed_and_no_others() -> None:
    @flow(name="tune")
    def tune() -> None: ...

    with get_client(sync_client=True) as client:
        made = {
            (tag, state.name): client.create_flow_run(tune, state=state, tags=[tag]).id
            for tag, state in (
                ("dead-1", Running()),
                ("dead-1", Pending()),
                ("dead-1", Completed()),
                ("live-1", Running()),
            )
        }
        assert crash_dead("dead-1".__eq__, why="it was killed") == 2
        states = {key: client.read_flow_run(id).state for key, id in made.items()}
        assert {key: state.name for key, state in states.items() if state} == {
            ("dead-1", "Running"): "Crashed", ("dead-1", "Pending"): "Crashed",
            ("dead-1", "Completed"): "Completed", ("live-1", "Running"): "Running",
        }  # fmt: skip
        assert states["dead-1", "Running"].message == "it was killed"  # type: ignore[union-attr]
        client.set_flow_run_state(made["live-1", "Running"], Completed(), force=True)
        assert crash_dead(lambda _: True, why="") == 0


def test_a_server_that_cannot_be_told_holds_nothing_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        over = threading.Event()
        answering = threading.Thread(target=refuse, args=(listener, over))
        answering.start()
        try:
            with temporary_settings({PREFECT_API_URL: url}):
                assert crash_dead(lambda _: True, why="") == 0
        finally:
            over.set()
            answering.join()


@pytest.mark.timeout(60, method="thread")  # Prefect wants SIGALRM for itself
def test_a_task_ends_at_its_time_limit_and_is_not_tried_again() -> None:
    import time

    made: list[int] = []

    def work() -> None:
        made.append(1)
        time.sleep(20)

    task = retryable(work, timeout_s=0.5)

    @flow(name="limit")
    async def attempt() -> None:
        task()

    started = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)tim"):
        asyncio.run(attempt())
    assert len(made) == 1
    assert time.monotonic() - started < 10


@pytest.fixture(scope="module")
def playing(settings: Settings, ray_cluster: Any) -> Iterator[Scripted]:
    """No guest: the observed run is given, the trials are played; the planner does as it is told."""
    from flows import execute, observe, tune

    planner = Scripted(*PLANS)
    failures = iter([InfraError("once")])

    def observed(*_: Any, seed: int) -> Any:
        for failure in failures:
            raise failure
        open_lake(settings).put(PROFILE)
        return PROFILE, [(0.0, 1.0)]

    batch = retryable(_named(run_observed_batch), delay_s=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCHEDCP_DATA_DIR", str(settings.data_dir))
        patch.setenv("SCHEDCP_EMBEDDER", "hash")
        patch.setattr("tasks.run.budget.planner", lambda *_, **__: planner)
        patch.setattr(observe, "observe_task", retryable(observed, delay_s=0.1))
        patch.setattr(execute, "batch_task", batch)
        picture = settings.data_dir / "scores.png"
        atomic_write(picture, PICTURE)
        drawn = Pictures({"scores": picture})
        patch.setattr(tune, "illustrate_task", retryable(_named(lambda _, on_span: drawn), delay_s=0.1))
        patch.setattr(drive, "do_work", ray_cases.played_work)
        patch.setattr("tasks.run.promote.ask_verifier", ray_cases.played_verifier)
        yield planner


@pytest.fixture
def played(playing: Scripted) -> Scripted:
    playing.plans = list(PLANS)
    return playing


@pytest.fixture(scope="module")
def finished(prefect_url: str, playing: Scripted) -> TuneResult:
    """What a whole run of one iteration returned."""
    from flows.tune import tune

    return asyncio.run(tune("batch", iterations=1, per_iteration=4, pairs=4, seed=7, run_id="e2e-1"))


def _named(function: Any) -> Callable[..., Any]:
    def batch(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return batch


def test_the_loop_ends_with_a_report_and_a_token(finished: TuneResult, settings: Settings) -> None:
    result = finished
    assert result.run_id == "e2e-1"
    assert (result.candidates_tried, result.rejected, result.failed) == (4, 1, 1)
    assert result.best.policy == "ljf"
    seconds = dict(result.seconds)
    total, guests, overhead = (seconds.pop(name) for name in ("total", "vm", "overhead"))
    assert set(seconds) == {"start", "observe", "plan", "execute", "learn", "why", "pictures", "other"}
    assert total == pytest.approx(guests + overhead, abs=0.01) == pytest.approx(sum(seconds.values()), abs=0.01)
    assert from_json(TuneResult, json.loads(json.dumps(to_json(result)))) == result
    envelope = json.loads(Path(result.best.token).read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert (settings.object_dir / (hashlib.sha256(b"ljf").hexdigest() + ".bpf.o")).read_bytes() == b"ljf"
    assert "the guest's disk is full" in Path(result.report).read_text()


def test_the_loop_leaves_everything_in_the_lake(finished: TuneResult, settings: Settings) -> None:
    lake = open_lake(settings)
    (run,) = [run for run in lake.runs("batch") if run.id == "e2e-1"]
    assert (run.status, run.best) == ("done", "ljf")
    assert run.summary == finished
    assert {record.candidate.policy for record in lake.rejections("batch", "e2e-1")} == {"fifo"}
    assert {record.policy for record in lake.lessons("batch") if record.run_id == "e2e-1"} == {"ljf", "fifo", "rr"}


@pytest.mark.usefixtures("finished")
def test_a_person_finds_profile_candidates_progress_and_report_among_the_artifacts() -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        artifacts = {
            str(record.key): record for record in client.read_artifacts() if str(record.key).endswith("-batch")
        }
    assert set(artifacts) == {"workload-profile-batch", "candidates-batch", "progress-batch", "report-batch"}
    rows = json.loads(artifacts["candidates-batch"].data)
    assert [(row["ratio"], row["result"]) for row in rows] == [  # as Markdown: a `]` at the end may close a link
        ("1.31x [1.31, 1.31\\]", "win"),
        ("", "rejected at survive: runnable task stall"),
        ("0.90x [0.90, 0.90\\]", f"inconclusive ({BEHIND})"),
        ("", "no result: infra: the guest's disk is full"),
    ]
    assert list(rows[0])[:3] == ["ratio", "result", "policy"]  # the server kept the order of the columns
    assert artifacts["progress-batch"].data == 100.0
    assert "- load: 1 task, 2 CPUs, 90 % busy for 2.5 s" in artifacts["workload-profile-batch"].data
    report = artifacts["report-batch"].data
    assert "Not claimed" in report
    # What the server's UI shows of a page: a picture that is within it.
    (picture,) = re.findall(r"!\[scores\]\(data:image/png;base64,([^)]*)\)", report)
    assert base64.b64decode(picture) == PICTURE


def test_a_second_attempt_does_only_what_is_left(played: Scripted, settings: Settings) -> None:
    """The lake knows what was settled, so that a retried batch boots no guest twice."""
    from tasks.plan import plan
    from tasks.run.batch import run_batch
    from tasks.run.scope import begin_run

    scope = open_scope(define_run("batch", settings, run_id="e2e-3"))
    begin_run(scope)
    plan(PROFILE, scope.lake, played, run_id="e2e-3", iteration=1, limit=4)
    with Pool[Done](deadline_s=60, label="trial") as pool:
        first = run_batch(scope, 1, pool)
    assert [failure.split(":")[0] for failure in first.failures.values()] == ["infra"]
    # Three verifications, five runs of ljf and two of rr, which is then surely behind, and EEVDF's ten, which e2e-1 has
    # measured with another seed.
    assert len(first.spans) == 20
    with Pool[Done](deadline_s=60, label="trial") as pool, pytest.raises(InfraError, match="none of 1"):
        run_batch(scope, 1, pool)


def test_stages_that_are_started_by_themselves_are_one_run(played: Scripted, settings: Settings) -> None:
    """As separate deployments would start them: nothing but ids goes from one to the next."""
    from flows.begin import begin
    from flows.execute import execute
    from flows.learn import learn
    from flows.observe import observe
    from flows.plan import plan

    run_id = asyncio.run(begin("batch", per_iteration=2, pairs=4, seed=7, run_id="e2e-6"))
    profile_id, _ = asyncio.run(observe(run_id))
    assert asyncio.run(plan(run_id, profile_id)) == 2
    assert played.contexts[-1].limit == 2
    assert asyncio.run(execute(run_id)).failures == {}
    assert asyncio.run(learn(run_id))[0] is not None
    assert {score.policy for score in open_lake(settings).scores("batch", run_id)} == {"ljf"}


def test_a_run_that_fails_says_so_in_the_lake(played: Scripted, settings: Settings) -> None:
    from flows.tune import tune

    played.plans = [PLANS[3]]
    with pytest.raises(InfraError, match="none of 1"):
        asyncio.run(tune("batch", iterations=1, per_iteration=1, pairs=4, run_id="e2e-4"))
    (run,) = [run for run in open_lake(settings).runs() if run.id == "e2e-4"]
    assert run.status == "failed"
    assert "the guest's disk is full" in run.summary.error


def test_a_run_that_is_interrupted_says_so_in_the_lake(
    played: Scripted, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import execute
    from flows.tune import tune

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "batch_task", retryable(interrupted))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(tune("batch", iterations=1, per_iteration=1, pairs=4, run_id="e2e-5"))
    (run,) = [run for run in open_lake(settings).runs() if run.id == "e2e-5"]
    assert (run.status, run.ended != "") == ("cancelled", True)

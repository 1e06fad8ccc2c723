# SPDX-License-Identifier: Apache-2.0
"""A campaign's policies on slots without guests: what is computed, what is known, what a loss and a budget leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_vm import FakeVM
from trial_cases import POLICY, Slots, guest_in, use_compiler, use_guest, use_vm

from policy_lake.embed import embedder
from policy_lake.errors import InfraError
from policy_lake.lake import Lake
from policy_lake.measurement import Measurement
from tasks.campaign import campaign as whole
from tasks.campaign import ground as module
from tasks.campaign.campaign import draw_campaign, in_order
from tasks.campaign.compute import AHEAD
from tasks.campaign.conduct import LEFT, Budget, Conduct
from tasks.campaign.forecast import forecast
from tasks.campaign.matrix import CampaignSpec, Matrix
from tasks.campaign.planners import planner_rows
from tasks.campaign.shown import cells_of, done_lines, plan_lines
from tasks.campaign.times import read_times
from tasks.fleet.fan_out import Failure
from tasks.host.settings import Settings
from tasks.trial.spec import RunWork, VerifyWork
from tasks.trial.static import Checked
from verifier_vm.verdict import stage_of

PAIRS = 4


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CampaignSpec:
    guest = guest_in(tmp_path)
    use_guest(monkeypatch, guest)
    use_compiler(monkeypatch)
    use_vm(monkeypatch, FakeVM("good policy"))
    monkeypatch.setattr(module, "prepare_guest", lambda settings, shape: guest)
    monkeypatch.setattr(module, "check_parts", checked)
    module._made.cache_clear()
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", embedder="hash:8")
    return CampaignSpec(Matrix(("batch",), ("fifo", "ljf"), seeds=(1, 2), pairs=PAIRS, name="spring"), settings)


def checked(parts: Any, kernel: Any, **_: Any) -> Checked:
    """Every policy compiles to bytes of its own; `rr` is rejected by its source."""
    from bpf.build import PolicyObject
    from policy_lake.model import Finding

    name = parts[0].name.partition(".")[0]
    findings = [Finding("F03", "reject", "a queue is never consumed")] if name == "rr" else []
    stages = (stage_of("source", 0.1, findings), stage_of("build", 0.1), stage_of("object", 0.1))
    return Checked(stages, PolicyObject(name.encode(), "sha", 0.1, True), POLICY.arguments)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", embedder=embedder("hash:8"))


def done(function: Any, work: Any) -> Any:
    return function(work)


def conducted(spec: CampaignSpec, lake: Lake, answer: Any = done, budget: Budget | None = None) -> tuple[Any, Any, Any]:
    slots: Any = Slots(answer)
    conduct = Conduct(
        spec, lake, slots, slots_now=lambda: 2, budget=budget or Budget(0, 0), times=read_times(spec.settings)
    )
    return conduct, in_order(spec, list(conduct.run())), slots.submitted


def test_every_run_is_computed_once_and_every_row_has_its_score(spec: CampaignSpec, lake: Lake) -> None:
    conduct, rows, works = conducted(spec, lake)
    runs = [work for work in works if isinstance(work, RunWork)]
    assert len(runs) == 2 * (PAIRS + PAIRS + 2 * PAIRS) == conduct.computed == lake.counts()["measurements"]
    assert len([work for work in works if isinstance(work, VerifyWork)]) == 2, "once a guest, not once a place"
    assert [(row.place.seed, row.contender) for row in rows] == [(1, "fifo"), (1, "ljf"), (2, "fifo"), (2, "ljf")]
    assert all(row.ratio is not None and row.outcome and not row.why_not and row.runs == PAIRS for row in rows)
    assert {row.score for row in rows} == {score.id for score in lake.scores()}
    assert conduct.known == 0 and not conduct.left and not conduct.failures


def test_a_second_start_computes_nothing_and_says_the_same(spec: CampaignSpec, lake: Lake) -> None:
    _, before, _ = conducted(spec, lake)
    counts = lake.counts()
    conduct, rows, works = conducted(spec, lake)
    assert rows == before and conduct.computed == 0 and conduct.known == 2 * 4 * PAIRS
    assert not [work for work in works if isinstance(work, RunWork)] and lake.counts() == counts


def test_after_a_loss_in_the_middle_the_rest_alone_is_computed(spec: CampaignSpec, lake: Lake, tmp_path: Path) -> None:
    count = [0]

    def dies(function: Any, work: Any) -> Any:
        count[0] += isinstance(work, RunWork)
        if count[0] > 10:
            raise InfraError("Ray's raylet ended (signal 9)")
        return function(work)

    with pytest.raises(InfraError):
        conducted(spec, lake, dies)
    assert lake.counts()["measurements"] == 10
    conduct, rows, _ = conducted(spec, lake)
    assert (conduct.known, conduct.computed) == (10, 22)
    _, whole_rows, _ = conducted(spec, Lake(tmp_path / "other", embedder=embedder("hash:8")))
    assert rows == whole_rows


def test_a_budget_leaves_rows_that_say_so_and_the_next_start_goes_on(spec: CampaignSpec, lake: Lake) -> None:
    spec = replace(spec, matrix=replace(spec.matrix, seeds=(1, 2, 3)))
    conduct, rows, _ = conducted(spec, lake, budget=Budget(runs=12, seconds=0))
    assert conduct.left and conduct.computed == 12 + 2 * AHEAD - 1 and len(rows) == 6
    assert [row.why_not for row in rows].count(LEFT) == 4 and sum(row.ratio is not None for row in rows) == 2
    conduct, rows, _ = conducted(spec, lake)
    assert not conduct.left and all(row.ratio is not None for row in rows)
    assert Budget(0, 0.001, began=-1e9).used == "seconds" and Budget(5, 0, spent=5).used == "runs"


def test_who_may_not_run_is_not_measured(spec: CampaignSpec, lake: Lake) -> None:
    spec = replace(spec, matrix=replace(spec.matrix, policies=("rr", "ljf", "fifo"), seeds=(1,)))

    def answers(function: Any, work: Any) -> Any:
        if isinstance(work, VerifyWork) and work.spec.candidate.policy == "ljf":
            return Failure("worker-died", "WorkerCrashedError, 3 attempts")
        return function(work)

    conduct, (rr, ljf, fifo), works = conducted(spec, lake, answers)
    assert rr.why_not == "rejected at source: a queue is never consumed"
    assert ljf.why_not == "no result: WorkerCrashedError, 3 attempts" and fifo.ratio is not None
    named = {work.policy.name for work in works if isinstance(work, RunWork) and work.policy is not None}
    assert named == {"fifo"} and conduct.failures == {"WorkerCrashedError, 3 attempts": 1}


def test_a_run_that_is_lost_costs_its_own_policy_alone_and_a_worker_of_another_guest_is_no_result(
    spec: CampaignSpec, lake: Lake
) -> None:
    spec = replace(spec, matrix=replace(spec.matrix, seeds=(1,)))

    def answers(function: Any, work: Any) -> Any:
        result = function(work)
        if isinstance(work, RunWork) and work.policy is not None and work.policy.name == "fifo":
            assert isinstance(result.result, Measurement)
            return replace(result, result=replace(result.result, id="another"))
        return result

    conduct, (fifo, ljf), _ = conducted(spec, lake, answers)
    assert "another kernel, image or QEMU" in fifo.why_not and ljf.ratio is not None
    assert conduct.failures.total() == PAIRS and lake.counts()["measurements"] == 3 * PAIRS


def test_what_it_takes_is_said_before(spec: CampaignSpec, lake: Lake) -> None:
    times = read_times(spec.settings)
    plan = forecast(spec, lake, times, slots=2)
    assert (plan.comparisons, plan.runs, plan.known, plan.verifications) == (4, 32, 0, 2)
    assert plan.seconds is None and plan.untimed == 32 and "not known" in "\n".join(plan_lines(plan))
    conducted(replace(spec, matrix=replace(spec.matrix, seeds=(1,))), lake)
    times.by_kind = dict.fromkeys(_kinds(spec), (1, 5.0))
    plan = forecast(spec, lake, times, slots=2)
    assert (plan.runs, plan.known, plan.guest_s, plan.seconds) == (32, 16, 80.0, 40.0)
    assert "16 known already, 16 to compute" in "\n".join(plan_lines(plan))
    rejected = forecast(replace(spec, matrix=replace(spec.matrix, policies=("rr",))), lake, times, slots=2)
    assert rejected.left_out == ("rr: a queue is never consumed",) and rejected.runs == 0


def _kinds(spec: CampaignSpec) -> set[str]:
    from tasks.campaign.ground import ground_of, make
    from tasks.campaign.times import kind_of
    from tasks.trial.run import run_inputs

    grounds = [ground_of(spec, place) for place in spec.matrix.in_order()]
    return {
        kind_of(run_inputs(work, ground.guest))
        for ground in grounds
        for name in spec.matrix.policies
        for work in ground.runs(make(name, ground)).values()
    }


def test_a_host_without_a_virtual_clock_takes_no_part(spec: CampaignSpec, tmp_path: Path, monkeypatch: Any) -> None:
    guest = guest_in(tmp_path)
    bare = replace(guest, machine=replace(guest.machine, clock=None))
    monkeypatch.setattr(module, "prepare_guest", lambda settings, shape: bare)
    with pytest.raises(InfraError, match="virtual time alone"):
        module.ground_of(spec, next(spec.matrix.in_order()))


def test_planners_have_rows_and_a_budget(spec: CampaignSpec, lake: Lake, monkeypatch: Any) -> None:
    from tasks.campaign import planners as of

    spec = replace(spec, matrix=replace(spec.matrix, policies=(), planners=("stock", "random", "bandit")))
    asked = list[str]()

    def compare(request: Any, settings: Any, lake: Any, *, open_slots: Any) -> Any:
        from types import SimpleNamespace

        from policy_lake.errors import InputError

        asked.append(request.planners[0])
        if request.planners == ("random",):
            raise InputError("by the wall clock")
        return SimpleNamespace(courses=(SimpleNamespace(runs=40, guest_s=1.0, best=None),))

    monkeypatch.setattr(of, "compare", compare)
    heard = list[float]()
    rows = list(planner_rows(spec, lake, None, Budget(30, 0), note=heard.append))  # type: ignore[arg-type]
    assert asked == ["stock"] and heard == [1.0] and [row.why_not for row in rows[1:]] == [LEFT] * 5
    assert rows[0].why_not == "found nothing that may run"
    rows = list(planner_rows(spec, lake, None, Budget(0, 0), note=lambda _: None))  # type: ignore[arg-type]
    assert rows[1].why_not == "no result: by the wall clock" and len(asked) == 7


def test_the_whole_is_kept_shown_and_drawn(spec: CampaignSpec, monkeypatch: Any, tmp_path: Path) -> None:
    class Pool:
        def __init__(self, **_: Any) -> None:
            self._slots = Slots(done)

        def __class_getitem__(cls, _: Any) -> Any:
            return cls

        def __enter__(self) -> Any:
            return self._slots

        def __exit__(self, *_: object) -> None: ...

    class Cluster:
        def ready(self) -> None: ...

        lost = staticmethod(lambda: "")

    monkeypatch.setattr(whole, "Pool", Pool)
    monkeypatch.setattr(whole, "slots_now", lambda: 2)
    grown = list[int]()
    cluster: Any = Cluster()
    result = whole.run_campaign(spec, cluster, lambda rows: grown.append(len(rows)))
    assert result.stopped == "done" and grown == [1, 2, 3, 4] and len(result.rows) == 4
    assert (whole.directory_of(spec) / "done.json").is_file()
    text = "\n".join(done_lines(result))
    assert "batch, flat, 2 CPUs, seed 2" in text and "32 runs computed, 0 were known" in text
    assert cells_of(result.rows[0])["contender"] == "fifo" and "x [" in cells_of(result.rows[0])["result"]
    assert draw_campaign(result, tmp_path)["campaign"].read_bytes().startswith(b"\x89PNG")
    assert read_times(spec.settings).by_kind, "times are kept for the next forecast"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    module._made.cache_clear()

# SPDX-License-Identifier: Apache-2.0
"""Why the best won: what is taken back, on which seeds, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from planner_cases import score
from test_drive import measured
from trial_cases import BATCH, POLICY, spec

from bpf.library import policy
from policy_lake.errors import InfraError
from policy_lake.model import Candidate, Rejection
from policy_lake.scores import MeasurementPlan, Pair, Ratio
from policy_lake.tuned import Ablation
from tasks import ablate as module
from tasks.ablate import _measured, ablate, share_of, taken_back
from tasks.run.certainty import Tried, paid_text
from tasks.trial.spec import RunWork

RR = policy("rr")
WINNER = Candidate("rr-1", "run", 1, "rr", RR.source, {"slice_ns": 5_000_000, "preempt": False, "protect_ns": 100_000},
                   "why", "embedded")  # fmt: skip
PAIRS = tuple(Pair(2000.0, 1600.0, 100 + n) for n in range(4))
BEST = replace(score("rr", 1.25), candidate="rr-1", pairs=PAIRS, seed=1, clock="virtual")


def test_each_value_that_is_not_the_default_is_taken_back_by_itself() -> None:
    made = taken_back(WINNER)
    assert [what for what, _ in made] == ["slice_ns", "preempt", "preempt=woken"], "protect_ns is at its default"
    assert [set(one.knob_values) for _, one in made] == [
        {"preempt", "protect_ns"}, {"slice_ns", "protect_ns"}, {"slice_ns"},
    ], "without the mechanism it has no such knobs"  # fmt: skip
    assert [what for what, _ in taken_back(replace(WINNER, knob_values={}))] == ["preempt=woken"]


def test_the_share_is_of_the_gain() -> None:
    won = Ratio(1.44, (1.4, 1.5))
    assert share_of(won, replace(won, median=1.0)) == 1.0
    assert share_of(won, replace(won, median=1.2)) == pytest.approx(0.5)
    assert share_of(won, won) == 0.0 and share_of(won, replace(won, median=1.7)) < 0


def runs(work: RunWork, makespan: float) -> Any:
    return replace(measured(work), metrics={"makespan_ms": makespan})


def test_it_runs_on_the_seeds_that_it_won_on_and_the_most_telling_comes_first(tmp_path: Any) -> None:
    given = spec(tmp_path, plan=MeasurementPlan(4, 0, 1))
    steps = _measured(given, BEST, [("slice_ns", POLICY), ("preempt", replace(POLICY, name="other"))])
    asked: Any = next(steps)
    assert [(work.work_seed, work.guest_seed, work.policy) for work in asked] == [
        (n, n, POLICY) for n in range(100, 104)
    ]
    again: Any = steps.send([runs(work, 1500.0) for work in asked])
    assert {work.policy.name for work in again} == {"other"}
    with pytest.raises(StopIteration) as ended:
        steps.send([runs(work, 2000.0) for work in again])
    first, second = ended.value.value
    assert (first.without, first.ratio.median, first.share) == ("preempt", pytest.approx(1.0), pytest.approx(1.0))
    assert (second.without, second.share) == ("slice_ns", pytest.approx(share_of(BEST.ratio, Ratio(4 / 3, (1, 2)))))


def test_what_may_not_run_without_has_no_ratio(tmp_path: Any) -> None:
    steps = _measured(spec(tmp_path, plan=MeasurementPlan(4, 0, 1)), BEST, [("slice_ns", POLICY)])
    asked: Any = next(steps)
    failed = [replace(runs(work, 0.0), rejection=Rejection("score", "stalled", "")) for work in asked]
    with pytest.raises(StopIteration) as ended:
        steps.send(failed)
    assert ended.value.value == (Ablation("slice_ns", None, None),)


def test_what_paid_is_said_in_one_sentence() -> None:
    def one(without: str, median: float) -> Ablation:
        at = Ratio(median, (median, median))
        return Ablation(without, at, share_of(BEST.ratio, at))

    said = paid_text(BEST, [one("a", 1.0), Ablation("b", None, None), one("c", 1.249), one("d", 1.4)])
    assert "hangs on a (without it 1.00x); b (without it the policy may not run)" in said
    assert "c did not matter" in said and "better without: d (without it 1.40x)" in said
    assert "on none of its knob values" in paid_text(BEST, [one("c", 1.249)])


@pytest.fixture
def scope(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    kept: list[Any] = []
    given = spec(tmp_path)
    monkeypatch.setattr(module, "prepare_guest", lambda *_: SimpleNamespace(machine=SimpleNamespace(clock="clock")))
    monkeypatch.setattr(module, "tally", lambda *_: [Tried(WINNER, BEST)])
    monkeypatch.setattr(module, "loadable", lambda made, _: replace(POLICY, arguments=tuple(made.knob_values)))
    monkeypatch.setattr(module, "run_here", lambda *_, **__: (Ablation("slice_ns", Ratio(1.0, (1, 1)), 1.0),))
    lake = SimpleNamespace(put=kept.append)
    return SimpleNamespace(
        run_id="run", workload=BATCH, settings=given.settings, shape=given.shape, lake=lake, kept=kept
    )


def test_what_paid_becomes_a_lesson(scope: Any) -> None:
    assert [one.without for one in ablate(scope)] == ["slice_ns"]
    (lesson,) = scope.kept
    assert (lesson.run_id, lesson.workload, lesson.policy) == ("run", BATCH.id, "rr") and "slice_ns" in lesson.text


def test_without_a_win_or_virtual_time_nothing_is_asked_and_a_failure_of_ours_ends_no_run(
    scope: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise InfraError("no guest")

    monkeypatch.setattr(module, "run_here", lost)
    assert ablate(scope) == () and scope.kept == []
    monkeypatch.setattr(module, "run_here", lambda *_, **__: pytest.fail("asked"))
    monkeypatch.setattr(module, "tally", lambda *_: [Tried(WINNER, replace(BEST, outcome="inconclusive"))])
    assert ablate(scope) == ()
    monkeypatch.setattr(module, "tally", lambda *_: [])
    assert ablate(scope) == ()
    monkeypatch.setattr(module, "tally", lambda *_: [Tried(WINNER, BEST)])
    monkeypatch.setattr(module, "prepare_guest", lambda *_: SimpleNamespace(machine=SimpleNamespace(clock=None)))
    assert ablate(scope) == ()

# SPDX-License-Identifier: Apache-2.0
"""What a run hands on: to its planner, from its plans to candidates, to its lessons and into both of its reports."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import PROFILE, RUN, candidate, policy, score
from trial_cases import BATCH, spec

from policy_lake.calls import ModelCall, use_of
from policy_lake.limits import most_pairs
from policy_lake.model import PolicyPlan
from policy_lake.scores import MeasurementPlan, Score
from tasks import score as scoring
from tasks.learn import lesson_text
from tasks.plan import candidate_id, candidate_of, make_candidate, read_context
from tasks.run import batch, conclude
from tasks.run.certainty import Tried
from tasks.score import ScoreRequest
from tasks.trial.spec import Trial

WON = candidate("ljf-1")

CALL = ModelCall("c", RUN, "batch", 1, 1, "", "tiny", "", "", "", (), "", "answered", 10, 5, True, 0.5, 1.5)


def test_a_planner_is_told_which_iteration_of_which_run_it_plans_and_for_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake: Any = SimpleNamespace(
        search_policies=lambda *_: [], scores=list, rejections=list, lessons=lambda _: [], profiles=list,
        candidates=list, calls=lambda run: [CALL] if run == RUN else [],
    )  # fmt: skip
    context = read_context(PROFILE, lake, run_id=RUN, iteration=7, limit=3)
    assert (context.run_id, context.iteration, context.limit, context.calls) == (RUN, 7, 3, (CALL,))


def test_a_plan_s_candidate_is_named_by_what_it_is_made_of() -> None:
    ljf = policy("ljf")
    made = make_candidate(PolicyPlan("ljf", {}, "why", "test"), ljf, run_id=RUN, iteration=2)
    assert made.id == candidate_of(ljf, {}).id == candidate_id("ljf", ljf.source, {})
    # Ids are in lakes for good: the digest is of this very text.
    digest = hashlib.sha256(b'["a",{"x":1,"y":2}]').hexdigest()[:12]
    assert candidate_id("ljf", "a", {"y": 2, "x": 1}) == f"ljf-{digest}"


def test_a_lesson_has_the_knobs_of_what_it_is_about() -> None:
    tuned = candidate("ljf-2")
    tuned = type(tuned)(**{**{name: getattr(tuned, name) for name in tuned.__slots__}, "knob_values": {"slice_ns": 7}})
    assert re.search(r"slice_ns\D*7", lesson_text(Tried(tuned, score(tuned)), "batch"))


def test_both_reports_have_the_warning_and_the_one_that_is_published_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=conclude.__name__)
    tried = [Tried(WON, score(WON))]
    monkeypatch.setattr(conclude, "profile_of", lambda scope, id: PROFILE)
    monkeypatch.setattr(conclude, "tally", lambda scope, failures: tried)
    monkeypatch.setattr(conclude, "prepare_guest", lambda *_: SimpleNamespace(warning="very slow"))
    monkeypatch.setattr(conclude, "end_run", lambda *_, **__: None)
    asked: list[bool] = []
    pictures: Any = SimpleNamespace(files={}, markdown=lambda embedded=False: asked.append(embedded) or "a picture")
    settings, lake = spec(tmp_path).settings, SimpleNamespace(calls=lambda run: [CALL] if run == RUN else [])
    scope: Any = SimpleNamespace(run_id=RUN, settings=settings, shape=None, workload=BATCH, lake=lake)
    phases: Any = SimpleNamespace(seconds=lambda spans: {"total": 9.0, "vm": 5.0, "overhead": 4.0})
    made = conclude.conclude(scope, PROFILE.id, {}, token=None, spans=[], phases=phases, pictures=pictures)
    folder = scope.settings.run_dir / RUN
    assert all("very slow" in (folder / f"report.{kind}").read_text() for kind in ("md", "txt"))
    assert all("1 call to a model: 10 tokens in, 5" in (folder / f"report.{k}").read_text() for k in ("md", "txt"))
    assert made.result.model == use_of([CALL]) and "1 call to a model" in made.markdown
    assert asked == [False, True] and made.markdown.endswith("a picture")
    assert caplog.messages[-1] == conclude.best_line(tried[0].score, tried)


def test_a_score_is_run_on_the_workload_s_shape_and_warned_of_a_control_that_is_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    won: Score = score(WON)

    def run_here(steps: Any, given: Any, lake: Any, *, what: str) -> Trial:
        seen.update(steps=steps, spec=given)
        none: Any = None
        return Trial(given.candidate, none, won, b"object", (), warning="slow")

    monkeypatch.setattr(scoring, "run_here", run_here)
    monkeypatch.setattr(scoring, "trial", lambda given: ("the trial of", given))
    monkeypatch.setattr(scoring, "floor_for", lambda *_: 1.0)
    monkeypatch.setattr(scoring, "shape_for", lambda settings, workload: ("shape", workload.id))
    monkeypatch.setattr(scoring, "prepare_guest", lambda settings, shape: SimpleNamespace(kernel=None))
    checked = SimpleNamespace(made=None, ok=True)
    chosen = candidate_of(policy("ljf"), {})
    given = SimpleNamespace(check=lambda kernel: checked, candidate=lambda data: chosen, files=())
    monkeypatch.setattr(scoring, "_given", lambda request: given)
    monkeypatch.setattr(scoring, "find_control", lambda *_: chosen)
    lake: Any = SimpleNamespace(put=lambda *_: None)
    made = scoring.score(ScoreRequest("ljf", "batch"), spec(tmp_path).settings, lake).trial
    assert seen["steps"] == ("the trial of", seen["spec"]) and seen["spec"].shape == ("shape", "batch")
    assert made.warning == f"slow. {scoring.AGAINST_ITSELF}"


def test_every_candidate_of_a_run_is_measured_by_its_plan_and_held_to_its_workload_s_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "floor_for", lambda *given: given)
    run: Any = SimpleNamespace(workload=BATCH, settings="settings", shape="shape", pairs=7, seed=3)
    scope: Any = SimpleNamespace(run=run, lake=SimpleNamespace(regressions=lambda: ["known"]))  # nothing is scored yet
    (made,) = batch._specs(scope, [WON])
    assert made.plan == MeasurementPlan(7, most_pairs(7), 3, batch.SCREEN) and most_pairs(7) > 7
    assert made.floor == (BATCH, "settings", "shape", scope.lake) and made.regressions == ("known",)
    assert (made.candidate, made.workload, made.shape, made.settings) == (WON, BATCH, "shape", "settings")

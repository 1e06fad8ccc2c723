# SPDX-License-Identifier: Apache-2.0
"""`make reach`: what is told of a case, and that what is known is not measured twice."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from planner_cases import score

from control_plane.bench import reach
from control_plane.bench.reach import Case, Reached, cases, page, reached, read_known, row
from policy_lake.comparison import Comparison, Course, Point
from policy_lake.errors import InfraError
from policy_lake.scores import Pair

CASE = Case("batch-video", 2, "shuffle=1")
BEST = replace(score("ljf", 1.3, {"slice_ns": 5, "job_comm": "a"}), pairs=(Pair(900.0, 700.0), Pair(1000.0, 800.0)))


def done(best: Any = BEST, **more: Any) -> Comparison:
    course = Course(
        "embedded", best, (Point(2, 1.2, 1.1, 1.3), Point(4, 1.3, 1.29, 1.31)), 3, 0, 9, 5.0, 7.0, "runs", 1
    )
    return Comparison("batch-video", "standard", 2, 60, 1, 1.31, (replace(course, **more),))


def test_cases_are_the_paper_s_batches_in_every_way_and_each_is_named_once() -> None:
    keys = [case.key for case in cases()]
    assert len(keys) == len(set(keys))
    batches = [case for case in cases() if case.workload.startswith("batch") and not case.machine]
    assert len(batches) == 8 * 2 * 4, "eight, on 2 and 8 CPUs, in order, shuffled, named by exec and unnamed"


def test_a_case_is_told_with_bound_and_guards_and_without_the_jobs_names() -> None:
    told = row(reached(CASE, done()))
    assert "1.320x, 98 %" in told and "slice_ns=5" in told and "job_comm" not in told and "1 of 3, 9 runs" in told
    assert "**" in told and "**" not in row(reached(CASE, done(replace(BEST, outcome="inconclusive"))))
    assert "none known" in row(replace(reached(CASE, done()), bound=None))
    nothing = reached(CASE, done(None))
    assert (nothing.policy, nothing.ratio) == ("", 1.0)


def test_the_page_counts_who_is_near_the_bound_and_names_who_is_worse() -> None:
    near, far = reached(CASE, done()), replace(reached(CASE, done()), ratio=1.2)
    failed = Reached(CASE, failure="no guest")
    text = page([near, far, failed])
    assert "bound of arithmetic or more: 1 of 2" in text and "worse than EEVDF: none" in text and "no guest" in text
    new = replace(near, of=reach.measured_with())
    assert "(older): 1 of 2" in page([near, new]) and page([near, new]).count("| (older) batch-video") == 1
    assert "worse than EEVDF: batch-video" in page([replace(near, low=0.8, high=0.9)])


def test_what_is_known_is_not_measured_again_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured: list[str] = []

    def measure(case: Case, _: Any) -> Reached:
        measured.append(case.key)
        if case.cpus == 8:
            raise InfraError("no guest")
        return reached(case, done())

    other = Case("wakeup", 8)
    monkeypatch.setattr(reach, "cases", lambda: iter((CASE, other)))
    monkeypatch.setattr(reach, "measure", measure)
    monkeypatch.setattr(reach, "load_settings", lambda: SimpleNamespace(cache_dir=tmp_path))
    monkeypatch.setattr(reach, "PAGE", tmp_path / "reach.md")
    assert reach.main([]) == 0 and measured == [CASE.key, other.key]
    assert read_known(tmp_path / reach.NAME)[CASE.key] == replace(reached(CASE, done()), of=reach.measured_with())
    assert json.loads((tmp_path / reach.NAME).read_text())[1]["failure"] == "no guest"
    assert reach.main([]) == 0 and len(measured) == 2
    assert reach.main(["wakeup"]) == 0 and measured[2:] == [other.key]
    assert asdict(other)["workload"] in (tmp_path / "reach.md").read_text()

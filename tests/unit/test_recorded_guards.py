# SPDX-License-Identifier: Apache-2.0
"""A recorded build whose best candidate breaks a guard: its ratio, pictures and place on the front are not lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import PROFILE, candidate
from score_cases import provenance
from trace_cases import parent_and_child

from benchmarks.guards import guard_findings, over_by
from benchmarks.scoring import Circumstances, read_score
from benchmarks.trace.file import write_trace
from benchmarks.workloads import Workload
from policy_lake.errors import InfraError
from policy_lake.model import Candidate, Rejection
from policy_lake.scores import Score
from tasks.host.settings import Settings
from tasks.host.workloads import add_workload, find_workload
from tasks.run import illustrate
from tasks.run.certainty import Tried
from tasks.run.report import best_line, best_of, markdown_report, text_report

# As `workloads add` wrote it for every trace, and as a user may still.
GUARD = '\n[[guards]]\nmetric = "delay_p99_us"\nunit = "us"\ndirection = "lower"\nlimit = 3.0\n'
SECONDS = {"total": 100.0, "vm": 80.0, "overhead": 20.0}
FAST, FASTER = candidate("ljf-1"), candidate("fifo-2")


def run(makespan_ms: float, delay_us: float) -> dict[str, float]:
    return {"makespan_ms": makespan_ms, "bound_ms": 80.0, "delay_p99_us": delay_us}


@pytest.fixture
def build(tmp_path: Path) -> Workload:
    """A recorded build, with a guard that its user put in."""
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    write_trace(parent_and_child(), tmp_path / "mine.parquet")
    added = add_workload(tmp_path / "mine.parquet", settings, kind="build")
    assert added.guards == (), "nobody waits for one process of a build"
    place = Path(added.file)
    text = place.read_text().replace("[footprints_kib]", GUARD + "[footprints_kib]")
    place.write_text(text if GUARD in text else text + GUARD)
    return find_workload("mine", settings)


def tried(build: Workload, of: Candidate, makespan_ms: float, delay_us: float) -> Tried:
    """The candidate with the score of such runs, and the rejection of a guard that it breaks."""
    measured = {"baseline": [run(100.0, 200.0)] * 6, "policy": [run(makespan_ms, delay_us)] * 6}
    where = Circumstances(
        candidate=of, provenance=provenance(), clock="virtual", kernel="7.3.4", accel="tcg", topology="2 CPUs"
    )
    score: Score = read_score(build, measured, where)  # type: ignore[arg-type]
    score = replace(score, over=over_by(build, score))
    (finding,) = guard_findings(build, score)
    broken = finding.level == "reject"
    return Tried(of, score, Rejection("score", finding.reason, "guard") if broken else None)


def test_what_breaks_a_guard_is_reported_with_its_figures(build: Workload) -> None:
    attempt = tried(build, FAST, 87.0, 900.0)
    assert attempt.score is not None and attempt.rejection is not None
    assert attempt.score.over == {"delay_p99_us": pytest.approx(1.5)} and best_of([attempt]) is None
    told = "ljf, 1.15x [1.15, 1.15] against eevdf, delay_p99_us at 1.50 times its limit"
    for report in (markdown_report, text_report):
        text = " ".join(report(PROFILE, [attempt], token=None, seconds=SECONDS).replace("\\", "").split())
        assert f"Nothing may run within the workload's guards. Nearest: {told}" in text
        assert "No candidate was measured" not in text
        assert "delay_p99_us 200 us under eevdf, 900 under ljf: 4.50 times worse, and 3 is the limit" in text
        assert "delay_p99_us: 0.22x" in text, "how sure it is"


def test_it_has_its_place_on_the_front_beside_one_that_keeps_the_guard(build: Workload) -> None:
    attempts = [tried(build, FAST, 95.0, 210.0), tried(build, FASTER, 87.0, 900.0)]
    assert best_line(best_of(attempts), attempts).startswith("Best: ljf, 1.05x")
    text = " ".join(text_report(PROFILE, attempts, token=None, seconds=SECONDS).split())
    assert "Pareto front (delay_p99_us, makespan_ms)" in text
    assert "delay_p99_us 0.22x, makespan_ms 1.15x (may not run: delay_p99_us at 1.50 times its limit)" in text


def test_it_is_drawn_where_nothing_may_run(build: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, drawn = tried(build, FAST, 87.0, 900.0), []

    def no_guest(scope: Any, best: Score) -> Any:
        assert best == attempt.score
        raise InfraError("no guest")

    monkeypatch.setattr(illustrate, "tally", lambda scope, failures: [attempt])
    monkeypatch.setattr(illustrate, "_timelines", no_guest)
    monkeypatch.setattr(illustrate, "draw", lambda where, scores, lines: drawn.append(scores))
    scope: Any = SimpleNamespace(run_id="r", settings=Settings(data_dir=tmp_path, cache_dir=tmp_path))
    illustrate.illustrate(scope)
    assert drawn == [[attempt.score]]

# SPDX-License-Identifier: Apache-2.0
"""The virtual clock's bench, without a guest: what it makes of measurements, and that its load ends."""

from __future__ import annotations

import json
import os
import time
from dataclasses import fields

import pytest

from control_plane.bench import clock as clock_bench
from control_plane.bench import figures
from control_plane.bench.clock import aa_figure, large_figure, other_seed_figure, same_figure, spread
from control_plane.bench.clock_cost import QUICK, Sizes, cost_figure, crunch
from control_plane.bench.figures import Figure
from control_plane.bench.pair_runs import PairRun, busy_host
from control_plane.bench.timed import check_all, process_cpu_s
from policy_lake.errors import InfraError
from policy_lake.events import NotDone, Started, StepEvent
from policy_lake.guest import ClockCounts, GuestReport, GuestStep


def once(eevdf_ms: float = 1000, policy_ms: float = 800, *, trace: str = "a", bound_ms: float = 780) -> PairRun:
    return PairRun(eevdf_ms, policy_ms, bound_ms, ClockCounts(0, 1.0, trace, 10, 10, trace, 0) if trace else None)


def event(label: str, *, ok: bool = True, err: str = "") -> StepEvent:
    if not ok:
        return NotDone(label=label, ok=False, seconds=0.1, verb="run", err=err)
    return Started(label=label, ok=True, seconds=0.1)


def report(*events: StepEvent) -> GuestReport:
    return GuestReport(events=events, kernel="", accel="tcg", seconds=1, console="")


def test_spread_is_relative_to_the_median() -> None:
    assert spread([100, 100, 100]) == 0
    assert spread([99, 100, 102]) == pytest.approx(0.03)


def test_runs_are_the_same_only_if_all_are() -> None:
    assert same_figure([once(), once()], [once()]).met
    assert not same_figure([once(), once()], [once(trace="b")]).met
    assert not same_figure([once(trace="")], [once(trace="")]).met, "no hash proves nothing"


def test_another_seed_must_differ_and_be_near() -> None:
    assert other_seed_figure(once(), once(1010, 805, trace="b")).met
    assert not other_seed_figure(once(), once()).met
    assert not other_seed_figure(once(), once(1000, 900, trace="b")).met


def test_a_ratio_of_equals_is_near_one_on_both_sides() -> None:
    assert aa_figure("A/A", [0.9, 1.001, 1.2], 0.003).met
    assert not aa_figure("A/A", [0.9, 0.996, 1.2], 0.003).met
    assert not aa_figure("A/A", [0.9, 1.004, 1.2], 0.003).met


def test_a_ratio_beyond_arithmetic_is_missed_as_is_a_bad_one() -> None:
    assert large_figure(once(1000, 1000, bound_ms=930)).met
    assert not large_figure(once(1000, 900, bound_ms=930)).met
    assert not large_figure(once(1000, 1200, bound_ms=930)).met


def test_only_wall_time_has_a_target() -> None:
    assert cost_figure("x", 2.5, wall_s=(2.4, 1), cpu_s=(9, 1)).met
    missed = cost_figure("x", 1.3, wall_s=(1.4, 1), cpu_s=(1, 2))
    assert not missed.met and "1.40x wall" in missed.measured and "0.50x CPU" in missed.measured


@pytest.mark.parametrize("sizes", [QUICK, Sizes()])
def test_the_work_is_the_same_on_any_number_of_cpus(sizes: Sizes) -> None:
    for few, many in zip(crunch(sizes, 2), crunch(sizes, 8), strict=True):
        done = [int(each.args[-1]) * int(each.args[each.args.index("--threads") + 1]) for each in (few, many)]
        assert few.label == many.label and done[0] == pytest.approx(done[1], rel=0.01)


def test_quick_is_smaller_in_everything() -> None:
    assert all(0 < getattr(QUICK, each.name) < getattr(Sizes(), each.name) for each in fields(Sizes))


def test_a_step_that_failed_is_named() -> None:
    steps = (GuestStep("run", label="one"), GuestStep("run", label="two"))
    check_all(steps, report(event("one"), event("two")))
    with pytest.raises(InfraError, match="step 'two' failed: out of luck"):
        check_all(steps, report(event("one"), event("two", ok=False, err="out of luck\n")))
    with pytest.raises(InfraError, match="1 of 2 steps"):
        check_all(steps, report(event("one")))


def test_cpu_time_of_a_process() -> None:
    before, own = process_cpu_s(os.getpid()), time.process_time()
    assert before == pytest.approx(own, abs=0.05)


def test_the_load_ends_whatever_happens() -> None:
    started: list[int] = []
    with pytest.raises(RuntimeError, match="planted"), busy_host() as pids:
        started += pids
        raise RuntimeError("planted")
    assert len(started) == 2
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_figure_that_cannot_be_had_is_missed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: Sizes) -> list[Figure]:
        raise InfraError("no QEMU")

    def passing(_: Sizes) -> list[Figure]:
        return [Figure("fine", "1", "1", True), Figure("beside it", "2", "no target", False, required=False)]

    monkeypatch.setattr(clock_bench, "FIGURES", {"bad": failing, "good": passing})
    assert clock_bench.main(["--json"]) == 1
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    assert [each["met"] for each in printed["figures"]] == [False, True, False]
    assert "failed: no QEMU" in printed["figures"][0]["measured"]
    assert [text[:5] for text in shown.err.splitlines()[1:]] == ["MISS ", "met  ", "     "]
    assert clock_bench.main(["good"]) == 0
    none = {"one": lambda: [Figure("so called", "2", "none too many", False)]}
    assert figures.main("bench", none, []) == 1 and "MISS  so called" in capsys.readouterr().out
    assert figures.main("bench", {"one": lambda: passing(Sizes())}, []) == 0


def test_an_unknown_figure_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        clock_bench.main(["speed"])
    assert ended.value.code == 2 and "unknown figure 'speed'; known: repeatability" in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""The public benchmark: what a suite may hold, which cases are open, whose digits are whose, sums over cases."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from planner_cases import score

from benchmarks.suite import SUITES, Case, Digits, Suite, digits_of, suite, written
from benchmarks.suite_result import SuiteResult
from benchmarks.workloads import workload_ids
from control_plane import bench_suite as command
from policy_lake.errors import InfraError, InputError
from tasks.bench_suite import (
    NOTHING,
    SuiteRequest,
    ahead_of,
    cases_of,
    compared,
    mean_of,
    result_of,
    settings_for,
    totals,
)
from tasks.host.settings import Settings

OPEN, HELD = Case("a", "batch", 2), Case("h", "wakeup", 4, held=True)
SMALL = Suite(1, 5, 41, (OPEN, replace(OPEN, id="b", cpus=8, work={"shuffle": 1}), HELD))


def test_the_suite_of_the_repository_names_workloads_that_there_are() -> None:
    made = suite()
    assert {case.workload for case in made.cases} <= set(workload_ids())
    assert any(case.held for case in made.cases) and sum(not case.held for case in made.cases) >= 8
    with pytest.raises(InputError, match="there is no suite v9; there are v1"):
        suite(9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('id = "batch-8-shuffled"', "an id of its own"),
        ("cpus = 99", "cpus"),
        ('cpus = "2"', "cpus"),
        ("pairs = 1", "pairs"),
        ("seed = -1", "seed"),
    ],
)
def test_a_suite_that_is_wrong_is_named(tmp_path: Path, change: str, said: str) -> None:
    name, text = change.split(" = ", maxsplit=1)[0], (SUITES / "v1.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
    (tmp_path / "v1.toml").write_text(text.replace(line, change, 1))
    with pytest.raises(InputError, match=said):
        suite(1, tmp_path)


def test_held_cases_are_opened_by_themselves_alone() -> None:
    assert [case.id for case in cases_of(SMALL, SuiteRequest())] == ["a", "b"]
    assert [case.id for case in cases_of(SMALL, SuiteRequest(cases=("b",)))] == ["b"]
    assert [case.id for case in cases_of(SMALL, SuiteRequest(held=True))] == ["h"]
    for request, said in (
        (SuiteRequest(cases=("h",)), "held for the end"),
        (SuiteRequest(cases=("a",), held=True), "stay closed"),
        (SuiteRequest(cases=("x",)), "no case 'x'"),
    ):
        with pytest.raises(InputError, match=said):
            cases_of(SMALL, request)
    with pytest.raises(InputError, match="no planner 'magic'"):
        SuiteRequest(planners=("magic",))
    with pytest.raises(InputError, match="unknown policy 'magic'"):
        SuiteRequest(policies=("magic",))


def test_a_release_opens_the_held_cases_once(tmp_path: Path) -> None:
    settings: Any = SimpleNamespace(data_dir=tmp_path)
    command.open_held(settings)
    with pytest.raises(InputError, match="has opened them on"):
        command.open_held(settings)
    (tmp_path / command.OPENED).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        command.open_held(settings)


def test_nothing_of_a_user_s_own_changes_a_digit() -> None:
    mine = Settings(work="jobs=3", cpus=16, machine="laptop", tier="smoke", llcs=2)
    made = settings_for(SMALL.cases[1], mine)
    assert (made.work, made.cpus, made.machine, made.tier, made.llcs, made.clock) == (
        "shuffle=1", 8, "flat", "standard", 1, "virtual",
    )  # fmt: skip


def test_digits_are_equal_or_differ_or_are_of_another_guest(tmp_path: Path) -> None:
    here = Digits((1.5, 2.5), (1.0,), {"kernel_sha256": "k", "qemu": "7"})
    assert compared(here, here) == "equal" and compared(here, None) == "not frozen"
    assert compared(here, replace(here, eevdf=(1.5, 2.6))) == "differs" == compared(here, replace(here, bound=()))
    assert compared(here, replace(here, of={"kernel_sha256": "k", "qemu": "8"})) == "of another guest"
    (tmp_path / "v1.json").write_bytes(written({"a": here}))
    assert digits_of(1, tmp_path) == {"a": here} and digits_of(2, tmp_path) == {}
    (tmp_path / "v1.json").write_text('{"a": 1}')
    with pytest.raises(InfraError, match="cannot be read"):
        digits_of(1, tmp_path)


def test_who_may_not_run_leaves_eevdf_as_it_is() -> None:
    won = result_of("a", "ljf", replace(score("ljf", 1.21), bound=1.44), "", 5, 1.0)
    assert won.share == pytest.approx(0.523, abs=0.01) and won.ratio.median == 1.21
    assert result_of("a", "ljf", replace(score("ljf", 1.21), bound=1.01), "", 5, 1.0).share is None
    broken = result_of("a", "ljf", score("ljf", 1.5), "breaks a guard", 5, 1.0)
    for refused in (broken, result_of("a", "x", None, "", 0, 1.0)):
        assert refused.ratio == NOTHING and refused.share is None and refused.outcome is None and refused.why_not


def results() -> list[Any]:
    made = []
    for case, ljf, rr in (("a", 1.21, 1.0), ("b", 1.44, 1.1), ("c", 1.0, 0.9)):
        made.append(result_of(case, "ljf", score("ljf", ljf), "", 5, 1.0))
        made.append(result_of(case, "rr", score("rr", rr), "", 5, 2.0))
    return made


def test_totals_are_geometric_means_with_an_interval_over_cases() -> None:
    first, second = totals(results())
    assert (first.contender, second.contender) == ("ljf", "rr")
    assert first.mean.median == pytest.approx((1.21 * 1.44) ** (1 / 3))
    assert first.mean.ci95[0] < first.mean.median < first.mean.ci95[1] and first.wins == 2 and second.seconds == 6.0
    even = mean_of([math.log(2)] * 3)
    assert even.median == pytest.approx(2.0) and even.ci95 == pytest.approx((2.0, 2.0))
    ahead = ahead_of(results(), "ljf", "rr")
    assert ahead.median > 1 and ahead.ci95[0] > 1, "in every case"
    with pytest.raises(InputError, match="no case in common"):
        ahead_of(results(), "ljf", "nobody")


def test_the_table_and_the_picture(tmp_path: Path) -> None:
    made = SuiteResult(1, False, {"a": "equal", "b": "differs", "c": "not frozen"}, tuple(results()), totals(results()))
    lines = list(command.table(made))
    assert lines[1].split()[0] == "ljf" and any("EEVDF's digits: differs" in line for line in lines)
    assert command._draw(made, tmp_path)["suite"].read_bytes().startswith(b"\x89PNG")

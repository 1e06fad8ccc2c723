# SPDX-License-Identifier: Apache-2.0
"""A machine's costs switched off and scaled, what they took in words, and whether a score's outcome hangs on one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flow_cases import PROVENANCE, candidate, score
from trial_cases import spec

from benchmarks.workloads import workload
from control_plane.score import sensitivity_text
from policy_lake.errors import InputError
from policy_lake.machine_model import (
    CAUSES,
    FLAT,
    MOVES,
    TERMS,
    WHOLE,
    Costs,
    Paid,
    active,
    moves,
    scaled,
    shares,
    summed,
    telling,
    without,
)
from policy_lake.scores import Changed, MeasurementPlan, Ratio, Sensitivity
from tasks import sensitivity as asked
from tasks.run.spent import spent_lines
from tasks.sensitivity import check_sensible, cost_text, sensitivity
from tasks.trial.spec import Loadable

COSTS = Costs(
    user_ps=200, kernel_ps=600, switch_ns=1000, l2_kib=512, llc_kib=8192, llc_mbps=20_000, memory_mbps=8_000,
    remote_mbps=4_000, node_mbps=40_000, beyond_llc=512, smt=512, turbo=(1024, 512), idle_exit=((1, 1000), (100, 9000)),
    capacity=(1024, 512),
)  # fmt: skip


def test_every_term_can_be_switched_off_and_all_off_is_flat() -> None:
    assert active(COSTS) == tuple(TERMS) and active(FLAT) == ()
    for term in TERMS:
        off = without(COSTS, term)
        assert off != COSTS and term not in active(off)
    none = without(COSTS, *TERMS)
    assert active(none) == ()
    assert replace(none, llc_mbps=0, memory_mbps=0, remote_mbps=0) == FLAT


@pytest.mark.parametrize(
    ("term", "factor", "changes"),
    [
        ("speed", 2, {"user_ps": 400, "kernel_ps": 1200}),
        ("switch", 0.5, {"switch_ns": 500}),
        ("l2", 2, {"llc_mbps": 10_000}),
        ("llc", 2, {"memory_mbps": 4_000, "remote_mbps": 2_000}),
        ("node", 0.5, {"remote_mbps": 8_000}),
        ("bandwidth", 2, {"node_mbps": 20_000, "beyond_llc": round(WHOLE / 3)}),
        ("smt", 0.5, {"smt": round(WHOLE / 1.5)}),  # half the time that a busy sibling adds
        ("turbo", 2, {"turbo": (1024, round(WHOLE / 3))}),
        ("idle", 2, {"idle_exit": ((1, 2000), (100, 18_000))}),
        ("capacity", 0.5, {"capacity": (1024, round(WHOLE / 1.5))}),
    ],
)
def test_a_cost_is_scaled_by_the_time_that_it_adds(term: str, factor: float, changes: dict[str, Any]) -> None:
    assert scaled(COSTS, term, factor) == replace(COSTS, **changes)
    assert scaled(FLAT, term, factor) == FLAT or term == "speed"


PAID = Paid(busy_ps=1000, switch_ps=100, llc_ps=30, remote_ps=4, stayed=6, same_llc=3, other_node=1)


def test_what_was_paid_is_summed_and_told_as_shares_beside_the_baseline_s() -> None:
    assert summed([PAID, PAID]).busy_ps == 2000 and summed([PAID, PAID]).other_node == 2 and summed([]) == Paid()
    assert shares(PAID)["switch_ps"] == 0.1 and shares(Paid()) == {} and moves(Paid()) == {}
    assert moves(PAID) == {"stayed": 0.6, "same_core": 0, "same_llc": 0.3, "same_node": 0, "other_node": 0.1}
    taken = replace(PROVENANCE, machine="desktop, 8 of 16 CPUs")
    both = {"policy": PAID, "baseline": Paid(busy_ps=1000, switch_ps=20, remote_ps=3, stayed=1)}
    lines = spent_lines(score(candidate("c"), provenance=taken, paid=both))
    assert lines[0] == "machine: desktop, 8 of 16 CPUs"
    assert f"10.0 % to {CAUSES['switch_ps']} (eevdf 2.0 %), 3.0 % to {CAUSES['llc_ps']} (eevdf 0.0 %)" in lines[1]
    assert CAUSES["remote_ps"] not in lines[1], "less than half a per cent in both"
    assert lines[2].endswith(f"{MOVES['stayed']} 60.0 % (eevdf 100.0 %), {MOVES['same_llc']} 30.0 % (eevdf 0.0 %), "
                             f"{MOVES['other_node']} 10.0 % (eevdf 0.0 %)")  # fmt: skip
    assert spent_lines(score(candidate("c"))) == []


def test_the_outcome_hangs_on_the_terms_with_which_it_changes() -> None:
    ratio = Ratio(1.1, (1.05, 1.2))
    changes = (
        Changed("smt", 0.5, ratio, "win"), Changed("smt", 2, ratio, "win"), Changed("l2", 0.5, ratio, "inconclusive"),
        Changed("l2", 2, ratio, "win"), Changed("idle", 2, None, None),
    )  # fmt: skip
    assert Sensitivity("win", changes).hangs_on == ("l2", "idle")
    assert Sensitivity("win", changes[:2]).hangs_on == ()
    assert Sensitivity("inconclusive", changes).hangs_on == (), "what is not sure hangs on nothing"


@pytest.mark.parametrize(
    ("outcome", "changed", "more", "says"),
    [
        ("win", "win", {}, "the outcome holds when any one cost is halved or doubled"),
        ("win", "inconclusive", {}, "the outcome hangs on smt"),
        (
            "inconclusive",
            "inconclusive",
            {"anytime95": (0.99, 1.01)},
            "narrow), and it stays so when any one cost",
        ),
        ("inconclusive", "win", {"anytime95": (0.99, 1.01)}, "that narrow), and it is not with smt x 2"),
        ("inconclusive", "inconclusive", {"anytime95": (0.8, 1.2)}, "doubled; more --pairs, or a larger --size"),
    ],
)
def test_the_changes_are_summed_up_in_words(outcome: Any, changed: Any, more: Any, says: str) -> None:
    of = replace(score(candidate("c"), outcome=outcome), doubt="interval" if more else "", **more)
    text = sensitivity_text(Sensitivity(outcome, (Changed("smt", 2, None, changed),)), of)
    assert says in text and ("may settle" in text) == (more == {"anytime95": (0.8, 1.2)})


def test_a_ratio_that_crosses_1_is_told_however_unsure_it_is() -> None:
    of = replace(score(candidate("c"), outcome="inconclusive"), doubt="interval", ratio=Ratio(3.5, (0.9, 13.0)))
    below = Changed("switch", 2, Ratio(0.9, (0.8, 1.0)), "inconclusive")
    assert "from 0.90x to 3.50x" in sensitivity_text(Sensitivity("inconclusive", (below,)), of)
    near = replace(below, ratio=Ratio(0.99, (0.8, 1.0)))
    assert "from" not in sensitivity_text(Sensitivity("inconclusive", (near,)), of)


def test_each_active_term_is_measured_at_half_and_twice_with_the_score_s_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[Any] = []

    def run_here(steps: Any, changed: Any, *_: object, **__: object) -> Any:
        met.append(changed)
        return "stage", None if changed.shape.costs.smt == WHOLE // 3 else score(candidate("c"), outcome="loss")

    monkeypatch.setattr(asked, "run_here", run_here)
    base = spec(tmp_path)
    costs = without(COSTS, *(term for term in TERMS if term not in ("smt", "switch")))
    base = replace(base, shape=replace(base.shape, costs=costs, machine="mine, whole"), confirms="another",
                   plan=MeasurementPlan(5, 15, 3))  # fmt: skip
    found = sensitivity(base, Loadable(b""), score(candidate("c")), lake=None)  # type: ignore[arg-type]
    assert [(change.term, change.factor) for change in found.changes] == [
        ("speed", 0.5), ("speed", 2.0), ("switch", 0.5), ("switch", 2.0), ("smt", 0.5), ("smt", 2.0),
    ]  # fmt: skip
    assert [one.shape.costs.switch_ns for one in met] == [1000, 1000, 500, 2000, 1000, 1000]
    assert [one.shape.costs.user_ps for one in met[:3]] == [500, 2000, 1000], "nobody said how fast: it may be another"
    assert {(one.plan, one.confirms, one.control) for one in met} == {(MeasurementPlan(3, 0, 3), "", None)}
    assert met[2].shape.machine == "mine with switch times 0.5"
    assert [change.outcome for change in found.changes] == ["loss"] * 5 + [None]
    assert found.hangs_on == ("speed", "switch", "smt")


def test_what_costs_nothing_is_left_out_and_what_it_takes_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    idle = replace(FLAT, switch_ns=100, turbo=(WHOLE,), capacity=(WHOLE, WHOLE), idle_exit=((1, 0),), l2_kib=64)
    assert active(idle) == ("switch", "l2", "turbo", "idle", "capacity") and telling(idle, (0.5, 2)) == (
        "speed", "switch",
    )  # fmt: skip
    monkeypatch.setattr(asked, "run_here", lambda *_, **__: ("stage", score(candidate("c"))))
    base = spec(tmp_path)
    base = replace(base, shape=replace(base.shape, costs=idle, machine="mine, whole"))
    found = sensitivity(base, Loadable(b""), score(candidate("c")), lake=None)  # type: ignore[arg-type]
    assert {one.term for one in found.changes} == {"speed", "switch"}
    assert found.skipped == tuple(term for term in TERMS if term not in ("speed", "switch"))
    assert "4 machines, 36 runs" in caplog.text and "cost nothing here: l2, llc" in caplog.text


def test_its_cost_is_told_in_runs_and_the_guest_s_time() -> None:
    batch = workload("batch")
    run_s = batch.runs_s["standard"]
    assert cost_text(16, 5, batch, ()) == f"16 machines, 240 runs, some {run_s:g} s of the guest's time each"
    assert cost_text(1, 2, replace(batch, runs_s={}), ("smt",)) == "1 machines, 6 runs; cost nothing here: smt"


def test_without_a_machine_there_is_nothing_to_change() -> None:
    with pytest.raises(InputError, match="--machine"):
        check_sensible(None)
    check_sensible(FLAT)

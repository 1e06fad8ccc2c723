# SPDX-License-Identifier: Apache-2.0
"""A trial in this process, the full tier out through a cluster, and a score taken again: what each comes to."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import candidate
from flow_cases import score as score_of
from score_cases import PROVENANCE, provenance
from trial_cases import BATCH, guest_in, spec

from policy_lake.errors import BuildError, InfraError, InputError
from policy_lake.scores import MeasurementPlan, Pair, Ratio
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.trial import again as repeats
from tasks.trial import full, local
from tasks.trial.again import Again, find_score, provenance_of_score, score_again
from tasks.trial.local import ATTEMPTS, LocalSlots, run_here
from tasks.trial.spec import Trial
from verifier_vm.judge.suite import parts
from verifier_vm.verdict import stage_of, verdict_of

LJF, RR = candidate("ljf-1"), candidate("rr-1")
SCORE = score_of(LJF)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the guests that still run were ended."""
    calls: list[int] = []
    monkeypatch.setattr(local, "end_guests", lambda: calls.append(1))
    return calls


def test_each_piece_of_work_ends_in_an_outcome_of_its_index(ended: list[int]) -> None:
    with LocalSlots(2) as slots:
        assert [slots.submit(lambda item: item * 10, n) for n in (1, 2, 3)] == [0, 1, 2]  # type: ignore[arg-type, return-value]
        assert {outcome.index: outcome.value for outcome in slots} == {0: 10, 1: 20, 2: 30}
        assert list(slots) == [] and slots.submit(lambda item: item, 7) == 3  # type: ignore[arg-type, return-value]
        assert [outcome.value for outcome in slots] == [7]
    assert ended == []


def failing(error: Exception, times: int) -> Any:
    calls: list[int] = []

    def work(item: Any) -> Any:
        calls.append(item)
        if len(calls) <= times:
            raise error
        return item

    work.calls = calls  # type: ignore[attr-defined]
    return work


def test_what_the_infrastructure_did_is_tried_twice_and_then_told(ended: list[int]) -> None:
    once, always = failing(InfraError("lost"), 1), failing(InfraError("lost"), 9)
    with LocalSlots(1) as slots:
        slots.submit(once, 5)
        assert [outcome.value for outcome in slots] == [5] and once.calls == [5, 5]
        slots.submit(always, 6)
        (outcome,) = slots
    assert (outcome.failure, outcome.value) == (Failure("infra", "lost"), None)
    assert always.calls == [6] * ATTEMPTS and ATTEMPTS == 2


def test_any_other_error_is_raised_at_once(ended: list[int]) -> None:
    work = failing(InputError("no knob"), 1)
    with LocalSlots(1) as slots:
        slots.submit(work, 5)
        with pytest.raises(InputError, match="no knob"):
            next(iter(slots))
    assert work.calls == [5]


def test_leaving_in_mid_work_ends_the_guests_and_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    release, ran, begun = threading.Event(), [], time.monotonic()
    ended: list[int] = []
    monkeypatch.setattr(local, "end_guests", lambda: (ended.append(1), release.set()))
    with LocalSlots(1) as slots:
        slots.submit(lambda item: release.wait(10), 1)  # type: ignore[arg-type, return-value]
        slots.submit(ran.append, 2)  # type: ignore[arg-type, return-value, func-returns-value]
    assert ended == [1] and ran == [] and time.monotonic() - begun < 5, "nobody waits for what is ended"


@pytest.mark.parametrize(
    ("kind", "error"), [("build", BuildError), ("input", InputError), ("infra", InfraError), ("bug", InfraError)]
)
def test_a_trial_s_failure_is_raised_as_what_it_is(
    kind: str, error: type[Exception], tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("INFO")
    asked: list[Any] = []
    monkeypatch.setattr(local, "prepare_guest", lambda settings, shape: guest_in(tmp_path))

    def drive(trials: Any, slots: Any, store: Any, **options: Any) -> list[Any]:
        asked.append((options["recompute"], slots._executor._max_workers))
        options["on_count"](3, 4)
        return [ItemOutcome(0, failure=Failure(kind, "why"))] if kind else [ItemOutcome(0, 5)]  # type: ignore[arg-type]

    monkeypatch.setattr(local, "drive", drive)
    given = spec(tmp_path)
    given = replace(given, settings=given.settings.model_copy(update={"microvm_slots": 3}))
    with pytest.raises(error, match="why") as raised:
        run_here(None, given, None)  # type: ignore[arg-type]
    assert type(raised.value) is error
    kind = ""
    assert run_here(None, given, None, recompute=True, what="a score") == 5  # type: ignore[arg-type]
    assert caplog.messages == ["measuring: 3 runs done, 4 to go", "a score: 3 runs done, 4 to go"]
    assert asked == [(False, 3), (True, 3)]


class Scores:
    """A lake of these scores and candidates."""

    def __init__(self, scores: Any = (SCORE,), candidates: Any = (RR, LJF)) -> None:
        self._scores, self._candidates = scores, candidates

    def scores(self) -> Any:
        return self._scores

    def candidates(self) -> Any:
        return self._candidates


def test_a_score_is_found_by_the_beginning_of_its_id_if_that_is_one_s() -> None:
    twin = replace(SCORE, id="score-ljf-2")
    lake: Any = Scores((SCORE, twin, SCORE))
    assert find_score("score-ljf-1", lake) is SCORE and find_score("score-ljf-2", lake) is twin
    with pytest.raises(InputError, match="2 scores begin so"):
        find_score("score", lake)
    for none in ("", "ljf", "score-rr"):
        with pytest.raises(InputError, match="the lake has none"):
            find_score(none, lake)
    with pytest.raises(InputError, match="older schedcp"):
        provenance_of_score(replace(SCORE, provenance=None))


def repeated(now: Any, before: Any = SCORE, changed: tuple[str, ...] = ()) -> Again:
    return Again(before, Trial(LJF, verdict_of([stage_of("source", 0.1)]), now), changed)


def test_a_score_in_virtual_time_agrees_to_the_digit_and_by_the_wall_clock_where_intervals_meet() -> None:
    virtual = replace(SCORE, clock="virtual")
    other = replace(virtual, pairs=(*virtual.pairs[:-1], Pair(1.48, 1.1)))
    assert repeated(virtual, virtual).agrees and not repeated(other, virtual).agrees
    assert not repeated(None).agrees and repeated(None).difference == float("inf")
    for interval, agrees in (((1.33, 1.4), True), ((1.34, 1.4), False), ((1.1, 1.29), True), ((1.1, 1.28), False)):
        assert repeated(replace(SCORE, ratio=Ratio(1.31, interval))).agrees is agrees
    assert repeated(replace(SCORE, ratio=Ratio(2.62, (1, 3)))).difference == pytest.approx(1.0)
    assert repeated(replace(SCORE, ratio=Ratio(1.048, (1, 3)))).difference == pytest.approx(0.2)


@pytest.fixture
def ask(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Repeats a score; what came of it, and the spec that was run."""

    def run(before: Any, now: Any = None, candidates: Any = (RR, LJF)) -> tuple[Again, Any, Any, Any]:
        asked: list[Any] = []

        def run_here(steps: Any, given: Any, lake: Any, *, recompute: bool, what: str) -> Trial:
            assert what == f"score {before.id} again"
            asked.append((given, recompute))
            return Trial(given.candidate, verdict_of([stage_of("source", 0.1)]), now)

        def find(name: str, settings: Any) -> Any:
            asked.append((name, settings))
            return BATCH

        monkeypatch.setattr(repeats, "run_here", run_here)
        monkeypatch.setattr(repeats, "find_workload", find)
        made = score_again(before.id, spec(tmp_path).settings, Scores((before,), candidates))  # type: ignore[arg-type]
        (name, settings), (given, recompute) = asked
        return made, given, (name, settings), recompute

    return run


def test_a_score_is_taken_again_as_it_was_taken(ask: Any) -> None:
    of = provenance(workload_file="/w/mine.toml", numbers={"jobs": 7, "n": 2}, binary="/bin/schbench", control=RR.id,
                    cpus=4, llcs=2, plan=MeasurementPlan(7, 9, 3))  # fmt: skip
    before = replace(SCORE, provenance=of, tier="smoke", floor=1.05)
    made, given, (name, settings), recompute = ask(before, replace(SCORE, provenance=of))
    assert recompute and given.known_suffices and given.plan == MeasurementPlan(7, 9, 3) and given.floor == 1.05
    assert (given.candidate, given.control) == (replace(LJF, run_id=""), replace(RR, run_id=""))
    assert (name, settings.tier, settings.work, str(settings.schbench)) == (
        "/w/mine.toml", "smoke", "jobs=7 n=2", "/bin/schbench",
    )  # fmt: skip
    topology = given.shape.topology
    assert (topology.cpus, topology.llcs, topology.smt, topology.nodes, given.shape.clock) == (4, 2, 1, 1, "wall")
    assert made.changed == () and made.before is before


def test_what_a_score_was_taken_without_stays_out(ask: Any) -> None:
    before = replace(SCORE, provenance=provenance(), clock="virtual", floor=1.05)
    made, given, (name, settings), _ = ask(before)
    assert (given.control, given.floor, settings.schbench, settings.work, name) == (None, None, None, "", "batch")
    assert given.shape.clock == "virtual" and made.changed == () and made.trial.score is None


def test_what_has_changed_since_is_named_and_what_was_asked_for_is_not(ask: Any) -> None:
    now = provenance(kernel_sha256="other", qemu="11", plan=MeasurementPlan(9, 9, 9), control="x", cpus=8)
    assert ask(SCORE, replace(SCORE, provenance=now))[0].changed == ("kernel_sha256", "qemu")
    assert ask(SCORE, replace(SCORE, provenance=None))[0].changed == ()
    assert ask(SCORE, replace(SCORE, provenance=PROVENANCE))[0].changed == ()


def test_without_the_candidate_a_score_cannot_be_taken_again(ask: Any) -> None:
    with pytest.raises(InputError, match="candidate 'ljf-1' is not in the lake"):
        ask(SCORE, candidates=(RR,))


PARTS = parts("full")


@pytest.fixture
def tier(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Verifies in the full tier with these failures and rejections by index; verdict, what was heard, orders."""

    def verify(failed: Any = (), rejected: Any = (), **options: Any) -> tuple[Any, list[Any], Any]:
        heard: list[Any] = []
        seen: dict[str, Any] = {"ready": 0}

        @contextmanager
        def running(settings: Any, *, host_cpus: int) -> Any:
            seen["host_cpus"] = host_cpus
            yield SimpleNamespace(ready=lambda: seen.update(ready=seen["ready"] + 1))

        def fan_out(function: Any, orders: Any, *, on_result: Any, **more: Any) -> list[Any]:
            seen.update(orders=orders, function=function, **more)
            made = []
            for order in orders:
                bad = order.index in rejected
                stage = replace(stage_of("survive", 0.1), ok=not bad)
                outcome: Any = ItemOutcome(order.index, verdict_of([stage], kernel="7"))
                if order.index in failed:
                    outcome = ItemOutcome(order.index, failure=Failure("infra", "no disk"))
                on_result(outcome)
                made.append(outcome)
            return made

        monkeypatch.setattr(full.cluster, "running", running)
        monkeypatch.setattr(full, "fan_out", fan_out)
        settings = spec(tmp_path).settings
        on_part = {"on_part": lambda name, ok: heard.append((name, ok))} if options.pop("hear", True) else {}
        return full.verify_full_tier(b"object", ("a=1",), settings, **on_part, **options), heard, seen

    return verify


def test_a_full_tier_is_one_guest_a_part_and_one_verdict(tier: Any) -> None:
    verdict, heard, seen = tier()
    assert verdict.accepted and heard == [(part.name, True) for part in PARTS] and seen["ready"] == 1
    assert [order.index for order in seen["orders"]] == list(range(len(PARTS))) and seen["host_cpus"] == 1
    asked = {(order.check_all, order.cgroups, order.hotplug, order.cold) for order in seen["orders"]}
    assert asked == {(False, False, True, False)}
    assert seen["deadline_s"] == seen["orders"][0].settings.trial_deadline_s * len(PARTS)
    verdict, heard, seen = tier(rejected=[1], check_all=True, cgroups=True, hotplug=False)
    assert not verdict.accepted and [ok for _, ok in heard].count(False) == 1
    assert {(order.check_all, order.cgroups, order.hotplug) for order in seen["orders"]} == {(True, True, False)}
    assert tier(hear=False)[0].accepted


def test_half_a_tier_is_no_tier(tier: Any) -> None:
    with pytest.raises(InfraError, match=f"full tier, {PARTS[1].name}: no disk"):
        tier(failed=[1])


@pytest.mark.parametrize("index", range(len(PARTS)))
def test_a_part_is_verified_in_a_guest_of_its_own_topology(
    index: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def verify(data: bytes, arguments: Any, machine: Any, part: Any, **more: Any) -> Any:
        asked.append((data, arguments, part, more))
        return SimpleNamespace(verdict="verdict")

    monkeypatch.setattr(full, "prepare_guest", lambda settings, shape: asked.append(shape) or guest_in(tmp_path))
    monkeypatch.setattr(full, "verify_part", verify)
    settings = spec(tmp_path).settings
    order = full.PartWork(
        index,
        b"o",
        ("a=1",),
        check_all=True,
        cgroups=False,
        hotplug=False,
        cold=True,
        settings=settings,
        topologies=(),
    )
    assert full.do_part(order) == "verdict"
    shape, (data, arguments, part, more) = asked
    assert (shape.topology, shape.clock, shape.cold) == (PARTS[index].topology, settings.clock, True)
    assert (data, arguments, part) == (b"o", ("a=1",), PARTS[index])
    assert more.pop("trusted").func is full.trusted_object
    told = {"check_all": True, "cgroups": False, "hotplug": False}
    assert more == {**told, "deadline_s": settings.trial_deadline_s}

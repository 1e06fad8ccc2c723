# SPDX-License-Identifier: Apache-2.0
"""A score that is taken again: as it was taken, and whether it agrees."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from flow_cases import candidate
from flow_cases import score as score_of
from machine_cases import MINE, write
from score_cases import PROVENANCE, provenance
from trial_cases import BATCH, guest_in, spec

from benchmarks.machines import machine
from benchmarks.scaled_machine import at
from policy_lake.errors import InputError
from policy_lake.scores import MeasurementPlan, Pair, Ratio
from tasks.trial import again as repeats
from tasks.trial.again import Again, find_score, provenance_of_score, score_again
from tasks.trial.kept import keep_object, object_path
from tasks.trial.parts import Part
from tasks.trial.race import Repeat
from tasks.trial.spec import Trial
from verifier_vm.verdict import stage_of, verdict_of

LJF, RR = candidate("ljf-1"), candidate("rr-1")
SCORE = score_of(LJF)


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

        def run_here(steps: Any, given: Any, lake: Any, *, recompute: bool, what: str, race: Any) -> Trial:
            assert what == f"score {before.id} again" and race == Repeat(len(before.pairs))
            assert steps.send(None), "a trial, and what it is of"
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


def test_a_machine_that_costs_something_else_by_now_is_named(ask: Any, tmp_path: Any) -> None:
    path = write(tmp_path, MINE)
    model = at(machine(str(path)), 8).model
    lie = model.topology
    of = provenance(cpus=8, llcs=lie.llcs, smt=lie.smt, nodes=lie.nodes, costs=model.costs, machine_from=str(path))
    before = replace(SCORE, provenance=of)

    def changed(now: Any = before) -> tuple[str, ...]:
        return ask(before, now)[0].changed

    assert changed() == ()
    path.write_text(MINE.replace("switch_ns = 300", "switch_ns = 301"))
    assert changed() == ("machine",) and changed(None) == ("machine",)
    path.unlink()
    assert changed() == ("machine",)
    assert ask(replace(before, provenance=replace(of, machine_from="")), before)[0].changed == (), "nobody named one"
    assert ask(before, before)[1].shape.costs == model.costs, "it is taken again with what it cost then"


def test_without_the_candidate_a_score_cannot_be_taken_again(ask: Any) -> None:
    with pytest.raises(InputError, match="candidate 'ljf-1' is not in the lake"):
        ask(SCORE, candidates=(RR,))


def test_what_files_made_is_measured_again_as_the_object_that_was_kept(
    ask: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def check(parts: Any, kernel: Any, *, words_of: Any) -> str:
        asked.append((parts, kernel.release, words_of(b"")))
        return "checked"

    monkeypatch.setattr(repeats, "check_parts", check)
    monkeypatch.setattr(repeats, "prepare_guest", lambda settings, shape: guest_in(tmp_path))
    settings, sha256 = spec(tmp_path).settings, hashlib.sha256(b"object").hexdigest()
    of = provenance(object_sha256=sha256, files=("mine.bpf.c", "x.bpf.o"), arguments=("limit=3",))
    before = replace(SCORE, provenance=of)
    with pytest.raises(InputError, match=r"was of mine\.bpf\.c, x\.bpf\.o, whose object was kept: .*No such file"):
        ask(before)
    keep_object(b"object", settings)
    _, given, _, _ = ask(before)
    assert (given.checked, given.files) == ("checked", of.files)
    assert asked == [((Part("ljf.bpf.o", data=b"object"),), "7.3.4", ("limit=3",))]
    object_path(sha256, settings).write_bytes(b"another")
    with pytest.raises(InputError, match=r"\.bpf\.o: damaged"):
        ask(before)
    assert ask(SCORE)[1].checked is None, "of a policy of the library the source is in the lake"

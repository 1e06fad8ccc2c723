# SPDX-License-Identifier: Apache-2.0
"""What a run comes to, stage by stage, over a lake that is a list: which records count, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import PROFILE, PROVENANCE, REJECTION, RUN, Scripted, candidate, policy, score

from benchmarks.machines import machine
from bpf.library import policy as bpf_policy
from policy_lake.errors import InputError
from policy_lake.model import Lesson, PolicyPlan
from policy_lake.records import Rejected, Run
from policy_lake.scores import Control, Ratio
from policy_lake.topology import Topology
from policy_lake.tuned import RunError, StageAndReason
from tasks import plan as planning
from tasks.host.settings import Settings
from tasks.learn import learn, lesson_text
from tasks.plan import candidate_id, candidate_of, plan, read_context
from tasks.retrieve import Place
from tasks.run import scope as scopes
from tasks.run.budget import endpoint_of
from tasks.run.certainty import Tried, certainty, certainty_lines, front_lines
from tasks.run.claims import claim_of, not_claimed
from tasks.run.report import baseline_line, change, markdown_report, profile_page, text_report
from tasks.run.scope import begin_run, end_run, place_of, profile_of
from tasks.run.tally import tally, tune_result

WON, LOST = candidate("ljf-1", slice_ns=5), candidate("rr-1", iteration=2)
BAD, GONE = candidate("fifo-1"), candidate("vtime-1", iteration=2)
SECONDS = {"total": 100.0, "vm": 80.0, "overhead": 20.0}


class ListLake:
    """The questions that these tasks ask, answered from lists; `kept` is what was put."""

    def __init__(self, **records: list[Any]) -> None:
        self._records, self.kept, self.asked = records, list[Any](), list[Any]()

    def put(self, *records: Any) -> None:
        self.kept += records

    def search_policies(self, text: str, limit: int) -> list[Any]:
        self.asked.append((text, limit))
        return [SimpleNamespace(policy=known) for known in self._records.get("policies", [])]

    def __getattr__(self, name: str) -> Any:
        def ask(*which: str) -> list[Any]:
            self.asked.append((name, *which))
            return self._records.get(name, [])

        return ask


def scope_of(lake: ListLake) -> Any:
    return SimpleNamespace(run_id=RUN, workload=SimpleNamespace(id="batch"), lake=lake)


def test_each_candidate_is_told_with_what_became_of_it() -> None:
    rejected = Rejected(BAD, REJECTION, "batch")
    lake = ListLake(candidates=[WON, BAD, LOST, GONE], scores=[score(WON)], rejections=[rejected])
    failures = {GONE.id: "infra: gone"}
    made = tally(scope_of(lake), failures)
    rest = [Tried(LOST), Tried(GONE, failure="infra: gone")]
    assert made == [Tried(WON, score(WON)), Tried(BAD, None, REJECTION), *rest]
    assert ("scores", "batch", RUN) in lake.asked and ("candidates", RUN) in lake.asked
    assert [attempt.candidate for attempt in tally(scope_of(lake), failures, iteration=2)] == [LOST, GONE]
    assert tally(scope_of(lake), failures, iteration=3) == []
    assert [attempt.result for attempt in made[2:]] == ["no result: not run", "no result: infra: gone"]


def test_the_result_counts_and_orders_by_iteration() -> None:
    lost = score(LOST, 0.9, outcome="loss")
    tried = [Tried(LOST, lost), Tried(WON, score(WON)), Tried(BAD, rejection=REJECTION), Tried(GONE, failure="gone")]
    seconds = {"total": 1.23456}
    made = tune_result(scope_of(ListLake()), tried, token=Path("/t"), report=Path("/r"), seconds=seconds)
    assert [(part.iteration, [c.id for c in part.candidates]) for part in made.iterations] == [
        (1, [WON.id, BAD.id]), (2, [LOST.id, GONE.id]),
    ]  # fmt: skip
    assert (made.candidates_tried, made.rejected, made.failed) == (4, 1, 1)
    assert (made.seconds, made.report, made.best.token) == ({"total": 1.235}, "/r", "/t")
    assert made.best.candidate == WON.id and made.best.baseline.median == 1.5
    first, second = made.iterations[0].candidates
    assert (first.score, first.outcome) == ("score-ljf-1", "win")
    assert (first.rejection, first.failure) == (None, None)
    assert first.ratio == Ratio(1.31, (1.29, 1.33))
    assert (second.score, second.outcome, second.ratio, second.failure) == (None, None, None, None)
    assert second.rejection == StageAndReason("survive", "runnable task stall")
    last = made.iterations[1].candidates[1]
    assert (last.failure, last.rejection) == ("gone", None)
    bare = tune_result(scope_of(ListLake()), [Tried(WON)], token=None, report=None, seconds={})
    assert (bare.best, bare.report, bare.failed, bare.rejected) == (None, None, 1, 0)
    assert bare.iterations[0].candidates[0].failure is None
    untold = tune_result(scope_of(ListLake()), [Tried(WON, score(WON), failure="late")], token=None, report=None,
                         seconds={})  # fmt: skip
    assert untold.iterations[0].candidates[0].failure is None and untold.best.token is None


def test_a_planner_is_told_of_its_clock_and_size_and_never_of_the_baseline() -> None:
    good = score(WON)
    others = [replace(good, clock="virtual"), replace(good, tier="smoke"), replace(good, policy="eevdf", candidate="")]
    bad, lesson = Rejected(BAD, REJECTION, "batch"), Lesson("l", RUN, "batch", "ljf", "it helped")
    lake = ListLake(policies=[policy("ljf")], scores=[good, *others], rejections=[bad], lessons=[lesson])
    context = read_context(PROFILE, lake, run_id=RUN, iteration=2, limit=3)  # type: ignore[arg-type]
    assert context.scores == (good,) and context.rejections == ((BAD, REJECTION),) and context.lessons == (lesson,)
    assert (PROFILE.text, 100) in lake.asked and [known.id for known in context.policies] == ["ljf"]
    virtual = read_context(replace(PROFILE, clock="virtual"), lake, run_id=RUN, iteration=2, limit=3)  # type: ignore[arg-type]
    assert virtual.scores == (others[0],)


def test_what_won_and_was_then_rejected_is_a_rejection_and_no_score() -> None:
    """By the verifier, on the kernel that it won on; a guard that it broke is its score's own affair."""
    good = score(WON)

    def left(**changes: Any) -> tuple[object, ...]:
        later = replace(Rejected(WON, REJECTION, "batch", good.kernel), **changes)
        lake = ListLake(policies=[policy("ljf")], scores=[good], rejections=[later])
        context = read_context(PROFILE, lake, run_id=RUN, iteration=2, limit=3)  # type: ignore[arg-type]
        assert len(context.rejections) == 1
        return context.scores

    assert REJECTION.stage != "score" and left() == ()
    assert left(kernel="6.12.1") == (good,) and left(candidate=BAD) == (good,)
    assert left(rejection=replace(REJECTION, stage="score")) == (good,)


def test_a_planner_is_not_offered_what_cannot_run_in_its_guest() -> None:
    caches, vtime = replace(policy("llc"), mechanisms=(("queues", "llc"),)), bpf_policy("vtime")
    bad = replace(BAD, source=vtime.source)
    elsewhere, here = (Rejected(bad, REJECTION, name, "7.3.4") for name in ("web", "batch"))
    lead = replace(score(WON), policy="vtime")
    place = Place("7.3.4", Topology(2))

    def offered(*rejections: Rejected, **more: Any) -> tuple[set[str], set[str]]:
        lake = ListLake(policies=[caches, vtime, policy("fifo")], scores=[lead], rejections=list(rejections))
        context = read_context(PROFILE, lake, run_id=RUN, iteration=1, limit=3, **more)  # type: ignore[arg-type]
        return {known.id for known in context.policies}, {one.what for one in context.composed}

    known, composed = offered()
    assert known == {"llc", "vtime", "fifo"} and {"queues=llc", "queues=cpu", "place=core"} <= composed
    assert offered(place=place) == ({"vtime", "fifo"}, composed - {"queues=llc", "place=core"})
    assert offered(here, place=place)[0] == {"vtime", "fifo"}, "its own workload's are the planner's to tell"
    assert offered(elsewhere, place=place) == ({"fifo"}, set())
    planner, lake = Scripted(), ListLake(policies=[caches])
    plan(PROFILE, lake, planner, run_id=RUN, iteration=1, limit=2, place=place)  # type: ignore[arg-type]
    assert planner.contexts[0].policies == ()


def test_a_run_s_place_is_its_guest_s_kernel_and_topology(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    guest = SimpleNamespace(kernel=SimpleNamespace(release="7.3.4"))
    monkeypatch.setattr(scopes, "prepare_guest", lambda *given: asked.append(given) or guest)
    shape = SimpleNamespace(topology=Topology(4))
    scope: Any = SimpleNamespace(settings="settings", shape=shape)
    assert place_of(scope) == Place("7.3.4", Topology(4)) and asked == [("settings", shape)]


def test_no_more_candidates_are_kept_than_wanted_and_none_is_no_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger=planning.__name__)
    plans = [PolicyPlan("ljf", {}, "long job", "scripted"), PolicyPlan("rr", {}, "short turns", "scripted")]
    lake = ListLake(policies=[policy("ljf"), policy("rr")])
    made = plan(PROFILE, lake, Scripted(*plans), run_id=RUN, iteration=2, limit=1)  # type: ignore[arg-type]
    assert lake.kept == made and [(c.policy, c.iteration, c.run_id) for c in made] == [("ljf", 2, RUN)]
    assert caplog.messages == ["plan: ljf: long job (as it is)"]
    empty = ListLake()
    empty.put = lambda *records: pytest.fail("nothing is to be put")  # type: ignore[method-assign]
    assert plan(PROFILE, empty, Scripted(), run_id=RUN, iteration=1, limit=2) == []  # type: ignore[arg-type]
    assert "nothing new is worth trying" in caplog.text


def test_a_candidate_s_id_is_twelve_digits_of_a_digest_whatever_the_order() -> None:
    made = candidate_id("ljf", "a", {"x": 1, "y": 2})
    assert made == candidate_id("ljf", "a", {"y": 2, "x": 1}) and len(made) == len("ljf-") + 12
    asked_for = candidate_of(policy("ljf"), {})
    assert (asked_for.iteration, asked_for.run_id, asked_for.planner) == (0, "", "user")


def test_every_result_teaches_and_a_failure_of_ours_does_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="tasks.learn")
    lake = ListLake()
    tried = [Tried(WON, score(WON)), Tried(GONE, failure="gone"), Tried(BAD, rejection=REJECTION)]
    made = learn(scope_of(lake), tried)
    assert lake.kept == made and [lesson.id for lesson in made] == [f"{RUN}-{WON.id}", f"{RUN}-{BAD.id}"]
    assert [lesson.text for lesson in made] == [lesson_text(trial, "batch") for trial in (tried[0], tried[2])]
    assert caplog.messages == ["learn: 2 lessons kept"], "what each says was told when its result came"
    learn(scope_of(ListLake()), tried[:1])
    assert caplog.messages[1:] == ["learn: 1 lesson kept"]
    silent = ListLake()
    silent.put = lambda *records: pytest.fail("nothing is to be put")  # type: ignore[method-assign]
    assert learn(scope_of(silent), [Tried(GONE, failure="gone")]) == []


def test_a_lesson_says_which_way_it_went_where_it_failed_and_what_to_change() -> None:
    assert "made batch better on 2 CPUs, makespan_s 24 % lower" in lesson_text(Tried(WON, score(WON)), "batch")
    lost = lesson_text(Tried(LOST, score(LOST, 0.9, outcome="loss", bound=None)), "batch")
    assert "made batch worse on 2 CPUs" in lost and "possible" not in lost
    assert "at most 1.33x possible" in lesson_text(Tried(WON, score(WON)), "batch")
    assert lesson_text(Tried(BAD, rejection=REJECTION), "batch").endswith("on batch: runnable task stall.")
    placed = replace(REJECTION, place="fifo.bpf.c:7", advice="consume the queue")
    told = lesson_text(Tried(BAD, rejection=placed), "batch")
    assert "on batch at fifo.bpf.c:7: runnable" in told and told.endswith("To change: consume the queue")


def test_what_is_not_known_of_a_score_is_not_told() -> None:
    bare = score(WON)
    assert certainty_lines(bare) == [] == certainty(None, [Tried(WON, bare)])
    assert certainty_lines(replace(bare, detectable=1.02)) == ["minimum detectable effect: 2.0 %"]
    control = Control("vtime", 1.4, Ratio(1.1, (1.05, 1.15)), "win")
    told = certainty_lines(replace(bare, anytime95=(1.1, 1.2), control=control, ratios={"p99": Ratio(0.9, (0.8, 1.0))}))
    assert told == [
        "anytime-valid 95 % CI: [1.10, 1.20] (3 pairs)", "p99: 0.90x [0.80, 1.00]",
        "against vtime (1.4 s): 1.10x [1.05, 1.15], win",
    ]  # fmt: skip


def test_a_front_needs_two_scores_that_have_guards() -> None:
    fast = score(WON, 1.3, ratios={"p99_us": Ratio(0.9, (0.8, 1.0))})
    calm = score(LOST, 1.1, ratios={"p99_us": Ratio(1.2, (1.1, 1.3))})
    worse = score(BAD, 1.0, ratios={"p99_us": Ratio(0.8, (0.7, 0.9))})
    head, *lines = front_lines([fast, calm, replace(worse, over={"p99_us": 1.2})])
    assert "p99_us" in head and [line.rpartition(": ")[2] for line in lines] == ["ljf with slice_ns=5", "rr as it is"]
    broken = front_lines([replace(fast, over={"p99_us": 1.25}), calm])[1]
    assert "p99_us at 1.25 times its limit" in broken and "p99_us 0.90x" in broken
    assert front_lines([fast]) == [] == front_lines([fast, score(LOST)]) == front_lines([])
    assert certainty(fast, [Tried(WON, fast), Tried(GONE), Tried(LOST, calm)])[-3].startswith("Pareto front")


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def test_the_ending_tells_token_kernel_warning_and_clock_where_they_are_known() -> None:
    for report in (markdown_report, text_report):
        with_all = report(PROFILE, [Tried(WON, score(WON))], token="/t", seconds=SECONDS, warning="slow")
        assert "Token: /t" in with_all and "Kernel 7.3.4." in with_all and "Warning: slow." in with_all
        bare = report(PROFILE, [Tried(WON, score(WON, kernel=""))], token=None, seconds=SECONDS)
        assert "Token: none" in bare and "Kernel" not in bare and "Warning" not in bare
        assert "eevdf: makespan_s" not in report(PROFILE, [Tried(GONE)], token=None, seconds=SECONDS)
        virtual = report(PROFILE, [Tried(WON, score(WON, clock="virtual"))], token=None, seconds=SECONDS)
        assert not_claimed("virtual") in unwrapped(virtual) and not_claimed("wall") in unwrapped(bare)
    rejected = markdown_report(PROFILE, [Tried(WON), Tried(BAD, rejection=REJECTION)], token=None, seconds=SECONDS)
    assert f"## Rejected: {BAD.id}" in rejected and f"## Rejected: {WON.id}" not in rejected
    assert "virtual time" in not_claimed("virtual") and "emulation" in not_claimed("wall")
    assert "long\\|job" in profile_page(PROFILE)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("laptop", ""), ("flat", ""), ("server", "(512 KiB and 16 MiB are shown for 512 KiB and 32 MiB)."),
        ("hybrid", "for 1280 KiB and 30 MiB) and that some are slower (all show 1024)."),
    ],
)  # fmt: skip
def test_what_the_guest_s_kernel_does_not_show_of_a_machine_is_said(name: str, says: str) -> None:
    taken = replace(PROVENANCE, machine=name, costs=machine(name).costs)
    claim = claim_of(score(WON, clock="virtual", provenance=taken))
    assert says in claim and ("but not" in claim) == bool(says)


def test_a_baseline_is_told_with_its_guest_and_a_change_of_nothing_in_full() -> None:
    full = score(WON, topology="2 LLCs", accel="kvm")
    assert "(median of 3; 2 LLCs, wall clock, kvm)" in baseline_line(full)
    assert "(median of 3; 2 CPUs, wall clock)" in baseline_line(replace(full, topology="", accel=""))
    pairs = tuple(replace(pair, baseline=0.0) for pair in full.pairs)
    assert change(replace(full, pairs=pairs)) == f"makespan_s 0 to {full.pairs[0].policy:g} s"
    equal = tuple(replace(pair, policy=pair.baseline) for pair in full.pairs)
    assert change(replace(full, pairs=equal)) == "makespan_s 0 % higher"


def test_a_profile_is_found_by_its_id() -> None:
    other = replace(PROFILE, id="batch-0")
    scope = scope_of(ListLake(profiles=[other, PROFILE]))
    assert profile_of(scope, PROFILE.id) is PROFILE and profile_of(scope, "batch-0") is other
    with pytest.raises(InputError, match="no workload profile 'batch-9'"):
        profile_of(scope, "batch-9")


def test_a_run_begun_twice_keeps_its_start_and_only_a_begun_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "store_run", lambda run: None)
    monkeypatch.setattr(scopes, "policies", lambda: [])
    other, known = Run("run-2", "batch", "done", "then"), Run(RUN, "batch", "failed", "before", "ended")
    for runs, started in (([other, known], "before"), ([other], None)):
        lake = ListLake(runs=runs)
        begin_run(SimpleNamespace(**vars(scope_of(lake)), run=None))
        (row,) = lake.kept
        assert (row.id, row.status, row.ended) == (RUN, "running", "") and row.started != "then"
        assert row.started == (started or row.started) and (started or row.started[:2] == "20")
        end_run(scope_of(lake), "done", best="ljf", summary=RunError("x"))
        ends = lake.kept[1:]
        assert [(row.id, row.status, row.best) for row in ends] == ([(RUN, "done", "ljf")] if started else [])


@pytest.mark.parametrize(
    ("model", "url", "missing"), [("tiny", "", "SCHEDCP_MODEL_URL is"), ("", "http://h/v1", "SCHEDCP_MODEL is")]
)
def test_a_model_needs_a_name_and_a_url(tmp_path: Path, model: str, url: str, missing: str) -> None:
    with pytest.raises(InputError, match=missing):
        endpoint_of(Settings(data_dir=tmp_path, model=model, model_url=url))
    assert endpoint_of(Settings(data_dir=tmp_path)) is None
    both = endpoint_of(Settings(data_dir=tmp_path, model="tiny", model_url="http://h/v1", model_max_tokens=7))
    assert both is not None and (both.model, both.url, both.max_tokens_total) == ("tiny", "http://h/v1", 7)


@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "http://[::1", "http://h:99999", "http://h:0", "ftp://h/v1", "http://u:secret@h/v1",
            "http://h/\x1b[31m", "http://\udcff/v1", "http://h /v1"],
)  # fmt: skip
def test_an_address_that_is_none_is_told_by_the_variables_name(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match=r"^SCHEDCP_MODEL_URL: expected http\(s\)://host") as error:
        endpoint_of(Settings(data_dir=tmp_path, model="tiny").model_copy(update={"model_url": url}))
    assert "secret" not in str(error.value)

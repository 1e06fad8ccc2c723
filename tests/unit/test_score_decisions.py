# SPDX-License-Identifier: Apache-2.0
"""`score` and `verify` as they put a trial together: what is asked for, kept, drawn, and refused before a guest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import candidate
from flow_cases import score as score_of
from object_cases import object_bytes
from trial_cases import BATCH, guest_in, spec

from bpf.build import PolicyObject
from policy_lake.coverage import Coverage
from policy_lake.errors import InputError
from policy_lake.events import Hello, Ran, Started
from policy_lake.limits import PAIRS
from policy_lake.model import Finding, Knob
from policy_lake.scores import MeasurementPlan
from tasks import score as scoring
from tasks import verify as verifying
from tasks.score import ScoreRequest, find_control, find_policy, score
from tasks.trial import given as given_policies
from tasks.trial import pictures, words
from tasks.trial.parts import SOURCE_LIMIT, read_source
from tasks.trial.spec import Trial
from tasks.trial.static import Checked
from tasks.verify import VerifyOptions, verify
from verifier_vm.verdict import bugs_of, stage_of, verdict_of

LJF = candidate("ljf-1")
TRIED = Coverage("only a test says so")
WON = score_of(LJF)
GOOD = verdict_of([stage_of("source", 0.1)], ops="ljf", data=b"object", kernel="7")


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Scores a request; the answer, the spec that was run, what the lake kept and what was drawn."""
    seen = SimpleNamespace(scores=[], kept=[], specs=[], said=[], drawn=[], traced=[])

    def put(*records: Any) -> None:
        seen.kept += records

    def run_here(steps: Any, given: Any, lake: Any, *, what: str) -> Trial:
        seen.specs.append(given)
        seen.said.append(what)
        return Trial(given.candidate, GOOD, seen.result, b"object", ("a=1",))

    monkeypatch.setattr(scoring, "run_here", run_here)
    monkeypatch.setattr(scoring, "floor_for", lambda *_: 1.03)
    monkeypatch.setattr(scoring, "prepare_guest", lambda settings, shape: guest_in(tmp_path))
    seen.object = PolicyObject(b"object", "", 0.1, True)

    def check(parts: Any, kernel: Any, *, words_of: Any, **given: Any) -> Checked:
        seen.parts, seen.given = parts, given
        made = seen.object
        stages = (stage_of("build", 0.1, [] if made else [Finding("compiler", "reject", "no")]),)
        return Checked(stages, made, words_of(made.data) if made else ())

    monkeypatch.setattr(given_policies, "check_parts", check)

    def trace_runs(workload: Any, policy: Any, shape: Any, settings: Any, *, seed: int) -> Any:
        seen.traced.append((workload.id, policy, shape, seed))
        return {}

    monkeypatch.setattr(scoring, "trace_runs", trace_runs)
    monkeypatch.setattr(scoring, "draw", lambda where, scores, lines, *, perfetto: seen.drawn.append((where, perfetto)))
    lake: Any = SimpleNamespace(scores=lambda workload: seen.scores, put=put)
    seen.result = WON

    def call(**more: Any) -> Any:
        return score(ScoreRequest(**{"policy": "ljf", "workload": "batch", **more}), spec(tmp_path).settings, lake)

    call.seen, call.lake = seen, lake  # type: ignore[attr-defined]
    return call


def test_a_score_is_kept_with_its_candidates_and_drawn_only_on_request(measure: Any) -> None:
    done = measure(control="vtime", most_pairs=9, seed=4, knobs={"slice_ns": "5000000"})
    workload, result, pictures = done.workload, done.trial, done.pictures
    (given,) = measure.seen.specs
    assert measure.seen.said == [f"ljf on batch, at least {PAIRS.preset} pairs"]
    assert (workload.id, result.score, pictures, measure.seen.drawn) == ("batch", WON, None, [])
    assert given.plan == MeasurementPlan(PAIRS.preset, 9, 4) and given.floor == 1.03 and given.known_suffices
    assert given.candidate.knob_values == {"slice_ns": 5_000_000} and given.control.policy == "vtime"
    assert measure.seen.kept == [given.candidate, given.control, WON]
    measure()
    assert measure.seen.specs[1].control is None and measure.seen.kept[3:] == [measure.seen.specs[1].candidate, WON]


def test_it_takes_what_verify_takes_and_keeps_the_object_of_what_the_lake_has_not(
    measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, other = tmp_path / "mine.bpf.o", tmp_path / "other.bpf.c"
    ready.write_bytes(object_bytes("percpu"))
    other.write_text("/* C */")
    kept = spec(tmp_path).settings.object_dir / f"{hashlib.sha256(b'object').hexdigest()}.bpf.o"
    monkeypatch.setattr(words, "read_knobs", lambda data: [Knob("limit", "int", "", "")])
    measure(policy=str(ready), linked=(other,), include_dirs=(tmp_path,), sets={"limit": "3"})
    assert [part.name for part in measure.seen.parts] == ["mine.bpf.o", "other.bpf.c"]
    assert measure.seen.given["include_dirs"] == (tmp_path,)
    (given,) = measure.seen.specs
    assert given.files == ("mine.bpf.o", "other.bpf.c") and given.checked.arguments == ("limit=3",)
    assert (given.candidate.policy, given.candidate.knob_values, given.floor) == ("mine", {"limit": 3}, 1.03)
    assert kept.read_bytes() == b"object" and measure.seen.kept == [given.candidate, WON]
    kept.unlink()
    measure()
    assert measure.seen.specs[1].files == () and not kept.exists(), "its source is in the lake"
    measure.seen.result = None
    measure(policy=str(ready))
    assert not kept.exists()


def test_what_does_not_compile_is_rejected_and_no_input_error(measure: Any, tmp_path: Path) -> None:
    measure.seen.object = measure.seen.result = None
    measure(sets={"limit": "3"}, knobs={"slice_ns": "5000000"})
    (given,) = measure.seen.specs
    assert not given.checked.ok and given.floor is None and given.candidate.knob_values == {"slice_ns": 5_000_000}


def test_what_has_no_score_is_neither_kept_nor_drawn(measure: Any, tmp_path: Path) -> None:
    measure.seen.result = None
    done = measure(directory=tmp_path / "p")
    result, pictures = done.trial, done.pictures
    assert (result.score, pictures, measure.seen.kept, measure.seen.traced) == (None, None, [], [])


def test_pictures_go_where_they_were_asked_for(measure: Any, tmp_path: Path) -> None:
    measure(directory=tmp_path / "a/b", perfetto=True, seed=6)
    assert measure.seen.drawn == [(tmp_path / "a/b", True)] and (tmp_path / "a/b").is_dir()
    ((workload, policy, shape, seed),) = measure.seen.traced
    assert (policy.data, policy.arguments, policy.name, seed) == (b"object", ("a=1",), "ljf", 6)
    assert (workload, shape) == ("batch", measure.seen.specs[0].shape)
    measure(directory=tmp_path / "a/b")
    assert measure.seen.drawn[1] == (tmp_path / "a/b", False)


def test_a_place_where_nothing_can_be_written_is_refused_before_a_run(
    measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^--plots .*file"):
        measure(directory=tmp_path / "file")
    asked: list[int] = []
    monkeypatch.setattr(pictures.os, "access", lambda path, mode: asked.append(mode) or False)
    with pytest.raises(InputError, match="nothing can be written there"):
        measure(directory=tmp_path / "b")
    assert measure.seen.specs == [] and asked == [3], "to write and to search"


def test_the_best_control_is_a_stock_policy_as_it_is(measure: Any) -> None:
    assert find_control("", BATCH, measure.lake) is None
    with pytest.raises(InputError, match="no stock policy was scored on 'batch'"):
        find_control("best", BATCH, measure.lake)
    own = score_of(candidate("mine-1"), 3.0)
    turned = score_of(candidate("rr-1", slice_ns=5_000_000), 2.0)
    measure.seen.scores = [own, turned, score_of(candidate("vtime-1"), 1.2), score_of(candidate("fifo-1"), 1.1)]
    best = find_control("best", BATCH, measure.lake)
    assert best is not None and (best.policy, best.knob_values) == ("vtime", {})
    named = find_control("fifo", BATCH, measure.lake)
    assert named is not None and named.policy == "fifo"


def test_a_policy_is_one_of_the_library_s_or_a_file(tmp_path: Path) -> None:
    assert find_policy("fifo").id == "fifo"
    (tmp_path / "mine.bpf.c").write_text(find_policy("fifo").source)
    assert find_policy(str(tmp_path / "mine.bpf.c")).id == "mine"
    with pytest.raises(InputError):
        find_policy("mine.c")


def test_a_source_is_a_text_of_bounded_size(tmp_path: Path) -> None:
    for name in ("a.c", "a.bpf.h", "bpf.c", "a.c.bpf"):
        with pytest.raises(InputError, match=r"not a \.bpf\.c file"):
            read_source(tmp_path / name)
    path = tmp_path / "a.bpf.c"
    with pytest.raises(InputError, match=r"a\.bpf\.c: cannot be read: No such file"):
        read_source(path)
    path.write_bytes(b"ok\xff")
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 2\)"):
        read_source(path)
    path.write_bytes(b" " * SOURCE_LIMIT)
    assert len(read_source(path)) == SOURCE_LIMIT == 4 * 1024 * 1024
    path.write_bytes(b" " * (SOURCE_LIMIT + 1))
    with pytest.raises(InputError, match="larger than 4 MiB"):
        read_source(path)


def test_options_that_are_none_of_ours_are_refused() -> None:
    assert (bugs_of(VerifyOptions().require), bugs_of(VerifyOptions(require=("cgroups",)).require)) == (set(), {"F41"})
    assert VerifyOptions(tier="full").check_all is False
    with pytest.raises(InputError, match="--tier half: not one of short, full"):
        VerifyOptions(tier="half")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--require speed: not one of hotplug, exit-record, cgroups, nice"):
        VerifyOptions(require=("cgroups", "speed"))


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Verifies a file with these answers of the stages; the result, the stages begun and what was asked of a trial."""
    path = tmp_path / "mine.bpf.c"
    path.write_text(find_policy("fifo").source)

    def call(
        made: Any = None, *, accepted: bool = True, rail: bool = True, warning: str = "", **more: Any
    ) -> Any:  # fmt: skip
        begun: list[str] = []
        asked: list[Any] = []
        made = made or PolicyObject(b"object", "", 0.1, True)
        stages = (stage_of("source", 0.1), stage_of("build", 0.1), stage_of("object", 0.1))

        def in_guest(checked: Any, guest: Any, shape: Any, settings: Any, options: Any, *_: Any) -> Any:
            asked.append((checked.made, options.check_all, checked.arguments))
            bad = [] if accepted else [Finding("F01", "reject", "it stalled")]
            stage = stage_of("survive", 0.1, bad)
            return verdict_of([*stages, stage], ops="fifo", data=b"object", kernel="7", coverage=TRIED)

        def check(parts: Any, kernel: Any, *, words_of: Any, **given: Any) -> Checked:
            assert [part.name for part in parts] == ["mine.bpf.c", *(path.name for path in more.get("linked", ()))]
            asked.append(given["check_all"])
            compiled = made if made != "none" else None
            return Checked(stages, compiled, words_of(compiled.data) if compiled else ())

        def run_here(steps: Any, given: Any, lake: Any, *, what: str) -> Any:
            assert what == "score: mine on batch"
            asked.append(given)
            steps.close()
            return stage_of("score", 0.1, [] if rail else [Finding("workload", "reject", "p99")]), None

        monkeypatch.setattr(
            verifying, "prepare_guest",
            lambda settings, shape: asked.append(shape) or replace(guest_in(tmp_path), warning=warning),
        )  # fmt: skip
        monkeypatch.setattr(given_policies, "check_parts", check)
        monkeypatch.setattr(verifying, "verify_in_guest", in_guest)
        monkeypatch.setattr(verifying, "run_here", run_here)
        monkeypatch.setattr(verifying, "open_lake", lambda settings: None)
        return verify(path, spec(tmp_path).settings, on_stage=begun.append, **more), begun, asked

    return call


def test_without_a_workload_a_verdict_is_the_guest_s(judge: Any, tmp_path: Path) -> None:
    made, begun, asked = judge()
    assert made.verdict.accepted and begun == [] and (made.object_data, made.clock) == (b"object", "virtual")
    assert asked[0].topology.cpus == 2 and asked[1:] == [False, (PolicyObject(b"object", "", 0.1, True), False, ())]
    assert judge("none")[0].object_data == b""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="no such directory"):
        judge(include_dirs=[tmp_path, tmp_path / "file"])
    assert judge(include_dirs=[tmp_path])[0].verdict.accepted


def test_what_a_guest_and_what_pictures_lack_is_warned_of(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for of_guest, of_pictures, warning in (("slow", "none", "slow; none"), ("", "none", "none"), ("", "", "")):
        monkeypatch.setattr(verifying, "_pictures", lambda *_, of_pictures=of_pictures: (None, of_pictures))
        assert judge(warning=of_guest)[0].warning == warning


def test_a_failure_is_made_small_only_if_it_is_asked_for(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(verifying, "minimize", lambda *given: asked.append(given[-1]) or "smallest")
    assert judge(accepted=False)[0].smallest is None and asked == [] and VerifyOptions().minimize is False
    made, _, _ = judge(accepted=False, options=VerifyOptions(minimize=True))
    assert (made.smallest, asked) == ("smallest", ["short"])


def test_of_several_files_the_first_is_the_policy(judge: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.bpf.c"
    other.write_text("/* no policy of its own */")
    made, _, asked = judge(workload="batch", linked=[other])
    assert asked[-1].candidate.policy == "mine" and made.source.endswith("/* no policy of its own */")


def test_with_a_workload_what_is_accepted_is_measured_and_held_to_its_rails(judge: Any) -> None:
    made, begun, asked = judge(workload="batch")
    assert made.verdict.accepted and begun == ["score"] and made.verdict.stages[-1].name == "score"
    assert asked[-1].plan == MeasurementPlan(5, 15, 1) and asked[-1].workload.id == "batch"
    assert (made.verdict.ops, made.verdict.kernel, bool(made.verdict.object_sha256)) == ("fifo", "7", True)
    assert made.verdict.coverage is TRIED, "a score takes nothing from what the suite executed"
    made, begun, _ = judge(workload="batch", rail=False)
    assert not made.verdict.accepted and made.verdict.rejection.stage == "score"
    made, begun, asked = judge(workload="batch", accepted=False)
    assert not made.verdict.accepted and begun == [] and len(asked) == 3
    made, begun, asked = judge(knobs={}, options=VerifyOptions(check_all=True))
    assert asked[1] is True and asked[2][1] is True


def test_stages_begin_with_what_has_come() -> None:
    sched: Any = None
    fields = {"ok": True, "seconds": 0.1, "exit": 0, "signal": 0, "timed_out": False, "ended": True, "out": "",
              "err": "", "dropped": 0, "sched": sched}  # fmt: skip
    begins = verifying._stage_of
    assert begins(Hello(kernel="7", cpus=2)) == "kernel"
    assert begins(Ran(label="baseline-fair", **fields)) == "fair"
    assert begins(Ran(label="policy-fair", **fields)) == "survive"
    assert begins(Started(label="baseline-fair", ok=True, seconds=0.1)) == "survive"

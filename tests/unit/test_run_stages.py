# SPDX-License-Identifier: Apache-2.0
"""Observing, going ahead, ending a run and drawing it: what each does with guests and a lake that are told to be so."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flow_cases import PROFILE, REJECTION, RUN, candidate, score
from trial_cases import BATCH, guest_in, spec

from benchmarks.profile_lines import profile_lines
from policy_lake.errors import InfraError
from policy_lake.machine_model import Costs
from policy_lake.scores import Pair
from tasks import observe as observing
from tasks.observe import observe
from tasks.run import ahead, conclude, illustrate
from tasks.run.ahead import Ahead
from tasks.run.certainty import Tried
from tasks.run.conclude import time_table, time_text
from tasks.run.warm import beside
from tasks.trial.pictures import Pictures
from verifier_vm.machine.model import Model, TaskLayout

WON = candidate("ljf-1")
SECONDS = {"total": 9.0, "vm": 5.0, "overhead": 4.0, "start": 2.0, "plan": 7.0}


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Observes `batch` with these profiles in the lake; the profile, the spans, and what was run and kept."""
    seen = SimpleNamespace(jobs=[], kept=[], locks=[], known=[], guest=guest_in(tmp_path))
    lake: Any = SimpleNamespace(profiles=lambda workload: seen.known, put=seen.kept.append)

    def run(job: Any, machine: Any, *, deadline_s: float) -> str:
        seen.jobs.append((job, deadline_s))
        return "report"

    def locked(place: Path, *, timeout_s: float) -> Any:
        seen.locks.append(place.name)
        return nullcontext()

    monkeypatch.setattr(observing, "prepare_guest", lambda settings, shape: seen.guest)
    monkeypatch.setattr(observing, "snapshot_key", lambda machine: "snapshot")
    monkeypatch.setattr(observing, "locked", locked)
    monkeypatch.setattr(observing.vm, "run", run)
    monkeypatch.setattr(observing, "read_profile", lambda workload, report: replace(PROFILE, text="new"))

    def call(seed: int = 1, **more: Any) -> tuple[Any, list[Any]]:
        given = spec(tmp_path)
        return observe(BATCH, given.settings, given.shape, lake, seed=seed, **more)

    call.seen = seen  # type: ignore[attr-defined]
    return call


def test_an_observation_in_virtual_time_is_made_once_for_its_inputs(watch: Any, caplog: Any) -> None:
    caplog.set_level("INFO", logger=observing.__name__)
    made, spans = watch()
    (key,) = watch.seen.locks
    assert (made.text, made.inputs, len(key), len(spans)) == ("new", key, 32, 1) and watch.seen.kept == [made]
    lines = profile_lines(made)
    assert lines and caplog.messages == [f"observe: {name}: {text}" for name, text in lines]
    older = replace(PROFILE, text="older", inputs=key)
    watch.seen.known = [older, older, replace(PROFILE, text="kept", inputs=key), replace(PROFILE, inputs="of another")]
    caplog.clear()
    again, spans = watch(say=False)
    assert (again.text, spans, len(watch.seen.jobs)) == ("kept", [], 1) and caplog.text == ""
    assert watch(seed=2)[0].text == "new" and watch.seen.locks[2] != key, "another seed is another observation"
    costly = Model(Costs(switch_ns=1), TaskLayout(8, 16))
    watch.seen.guest = replace(watch.seen.guest, machine=replace(watch.seen.guest.machine, model=costly))
    assert watch()[0].text == "new" and watch.seen.locks[3] not in watch.seen.locks[:3], "so is another machine"


def test_by_the_wall_clock_every_observation_is_made(watch: Any) -> None:
    machine = replace(watch.seen.guest.machine, clock=None)
    watch.seen.guest = replace(watch.seen.guest, machine=machine)
    watch.seen.known = [replace(PROFILE, inputs="")]
    made, spans = watch()
    assert (made.text, made.inputs, watch.seen.locks, len(spans)) == ("new", "", ["wall"], 1)


@pytest.fixture
def going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Goes ahead of a run; `seen` is what was measured and kept."""
    seen = SimpleNamespace(measured=[], kept=[], known={}, guest=guest_in(tmp_path), error=None, gate=None, ended=0)
    lake = SimpleNamespace(measurements=lambda keys: seen.known, put=seen.kept.append)

    def end_guests() -> None:
        seen.ended += 1
        if seen.gate is not None:
            seen.gate.set()

    def watch(workload: Any, settings: Any, shape: Any, lake: Any, *, seed: int, say: bool) -> Any:
        if seen.error is not None:
            raise seen.error
        seen.observed = (seed, say)
        return None, [(1.0, 2.0)]

    def measure(work: Any) -> str:
        if seen.gate is not None:
            seen.started.set()
            seen.gate.wait(10)
        seen.measured.append(work)
        return f"run {len(seen.measured)}"

    seen.started = threading.Event()
    monkeypatch.setattr(ahead, "prepare_guest", lambda settings, shape: seen.guest)
    monkeypatch.setattr(ahead, "open_lake", lambda settings: lake)
    monkeypatch.setattr(ahead, "observe", watch)
    monkeypatch.setattr(ahead, "measure_run", measure)
    monkeypatch.setattr(ahead, "run_inputs", lambda work, guest: SimpleNamespace(key=(work.work_seed, work.guest_seed)))
    monkeypatch.setattr(ahead, "end_guests", end_guests)
    given = spec(tmp_path)

    def start(**more: Any) -> Ahead:
        run = {"settings": given.settings, "shape": given.shape, "workload": BATCH, "seed": 3, "pairs": 4, **more}
        return Ahead(SimpleNamespace(**run))  # type: ignore[arg-type]

    start.seen = seen  # type: ignore[attr-defined]
    return start


def test_eevdf_s_runs_are_measured_ahead_and_those_that_are_known_are_not(
    going: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    going.seen.known = {(300, 300): "kept"}
    told: list[Any] = []
    monkeypatch.setattr(ahead, "doing", lambda words, *numbers: told.append(numbers))
    made = going()
    made._thread.join(10)
    assert told == [(number, 8) for number in range(2, 9)]
    seeds = [(work.work_seed, work.guest_seed) for work in going.seen.measured]
    assert seeds == [(301, 301), (302, 302), (303, 303), *((300 + n, 500_300 + n) for n in range(4))]
    assert all(work.policy is None for work in going.seen.measured) and going.seen.observed == (3, False)
    assert going.seen.kept == [f"run {n}" for n in range(1, 8)] and len(made.spans) == 8
    made.stop()


def test_by_the_wall_clock_nothing_goes_ahead(going: Any) -> None:
    going.seen.guest = replace(going.seen.guest, machine=replace(going.seen.guest.machine, clock=None))
    made = going()
    made._thread.join(10)
    assert made.spans == [] == going.seen.measured


@pytest.mark.parametrize("error", [InfraError("no disk"), OSError("gone")])
def test_a_failure_ahead_is_left_to_the_stage_that_meets_it(going: Any, error: Exception, caplog: Any) -> None:
    caplog.set_level("DEBUG", logger=ahead.__name__)
    going.seen.error = error
    made = going()
    made._thread.join(10)
    assert made.spans == [] and caplog.messages == [f"ahead of the run: {error}"]


def test_a_run_that_stops_takes_on_no_more_and_one_that_is_abandoned_ends_its_guest(going: Any) -> None:
    going.seen.gate = threading.Event()
    made = going()
    assert going.seen.started.wait(10) and made._thread.daemon
    threading.Timer(0.05, going.seen.gate.set).start()
    made.stop()
    assert (len(going.seen.measured), going.seen.ended) == (1, 0) and not made._thread.is_alive()
    going.seen.gate, going.seen.started = threading.Event(), threading.Event()
    other = going()
    assert going.seen.started.wait(10)
    other.abandon()
    assert going.seen.ended >= 1 and not other._thread.is_alive() and len(going.seen.measured) == 2


def test_what_is_at_something_else_than_a_guest_is_not_waited_for(going: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "ABANDON_S", 0.05)
    going.seen.gate = gate = threading.Event()
    made = going()
    assert going.seen.started.wait(10)
    going.seen.gate, begun = None, time.monotonic()
    made.abandon()
    assert time.monotonic() - begun < 2 and made._thread.is_alive()
    gate.set()
    made._thread.join(10)


def test_the_sums_are_no_phases_of_their_own() -> None:
    assert time_table(SECONDS).splitlines()[2:] == ["| start | 2.0 |", "| plan | 7.0 |", "| total | 9.0 |"]
    assert time_text(SECONDS) == "Seconds by phase: start 2.0, plan 7.0."


@pytest.fixture
def finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ends a run that tried these; what it came to, its directory, and how its row ended."""

    def end(tried: list[Tried], *, warning: str = "", **more: Any) -> tuple[Any, Path, dict[str, Any]]:
        ends: list[dict[str, Any]] = []
        monkeypatch.setattr(conclude, "profile_of", lambda scope, id: PROFILE)
        monkeypatch.setattr(conclude, "tally", lambda scope, failures: tried)
        monkeypatch.setattr(conclude, "prepare_guest", lambda *_: SimpleNamespace(warning=warning))
        monkeypatch.setattr(conclude, "end_run", lambda scope, status, **row: ends.append({"status": status, **row}))
        settings, lake = spec(tmp_path).settings, SimpleNamespace(calls=lambda run: [])
        scope: Any = SimpleNamespace(run_id=RUN, settings=settings, shape=None, workload=BATCH, lake=lake)
        phases: Any = SimpleNamespace(seconds=lambda spans: SECONDS)
        given = {"token": None, "spans": [], **more}
        made = conclude.conclude(scope, PROFILE.id, {}, phases=phases, **given)
        return made, scope.settings.run_dir / RUN, ends[0]

    return end


def test_a_run_ends_with_its_winner_its_pictures_and_its_warning(finish: Any) -> None:
    pictures = Pictures({"waits": Path("/p/waits.png"), "perfetto": Path("/p/x.json")})
    made, folder, row = finish([Tried(WON, score(WON))], warning="slow", token=Path("/t"), pictures=pictures)
    assert (row["status"], row["best"], row["summary"]) == ("done", "ljf", made.result)
    assert made.result.warnings == ("slow",) and made.result.pictures["perfetto"] == "/p/x.json"
    assert made.result.best.token == "/t"
    report = (folder / "report.md").read_text()
    assert "Token: /t" in report and "![waits](waits.png)" in report and "| plan | 7.0 |" in report
    assert "Warning: slow" in report and "Seconds by phase" in (folder / "report.txt").read_text()


def test_a_run_without_a_winner_says_so_in_its_row(finish: Any) -> None:
    for tried in ([], [Tried(WON, rejection=REJECTION)], [Tried(WON, score(WON, outcome="inconclusive"))]):
        made, folder, row = finish(tried)
        assert (row["best"], made.result.warnings, made.result.pictures) == ("", (), {})
        assert "Token: none" in (folder / "report.md").read_text()


def test_a_winner_that_could_not_be_signed_is_reported_with_the_reason(finish: Any) -> None:
    made, folder, row = finish([Tried(WON, score(WON))], refusal="/keys: \x1b[31mno space left")
    assert (row["status"], row["best"], made.result.best.token) == ("done", "ljf", None)
    assert made.result.warnings == ("no token: /keys: \x1b[31mno space left",)
    text = (folder / "report.txt").read_text()
    assert "Token: none: /keys: " in text and "no space left." in text and "\x1b" not in text
    assert "Token: none: /keys: " in (folder / "report.md").read_text() and "\x1b" not in made.markdown


@pytest.fixture
def paint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draws a run that tried these; what was drawn, and the spans that were heard."""

    def draw(tried: list[Tried], *, error: Exception | None = None, **more: Any) -> tuple[Any, list[Any]]:
        drawn: list[Any] = []

        def trace(workload: Any, policy: Any, shape: Any, settings: Any, *, seed: int) -> Any:
            assert (workload, shape, settings) == (BATCH, "shape", scope.settings)
            if error is not None:
                raise error
            return {"policy": (policy.data, policy.arguments, policy.name, seed)}

        def evidence(scope: Any, id: str) -> Any:
            return SimpleNamespace(verdict=SimpleNamespace(object_sha256="ab"), arguments=("a=1",))

        monkeypatch.setattr(illustrate, "tally", lambda scope, failures: tried)
        monkeypatch.setattr(illustrate, "read_evidence", evidence)
        monkeypatch.setattr(illustrate, "trace_runs", trace)
        monkeypatch.setattr(
            illustrate, "draw", lambda where, scores, lines: drawn.append((scores, lines)) or "pictures"
        )
        scope: Any = SimpleNamespace(run_id=RUN, settings=spec(tmp_path).settings, shape="shape", workload=BATCH)
        return illustrate.illustrate(scope, **more), drawn

    return paint_with_object(draw, tmp_path)


def paint_with_object(draw: Any, tmp_path: Path) -> Any:
    def with_object(tried: list[Tried], *, there: bool = True, **more: Any) -> Any:
        place = spec(tmp_path).settings.object_dir / "ab.bpf.o"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if there:
            place.write_bytes(b"object")
        return draw(tried, **more)

    return with_object


def test_scores_are_drawn_best_median_first_with_the_best_one_s_timeline(paint: Any) -> None:
    low, high = score(candidate("rr-1"), 1.1), score(WON, 1.3, seed=7)
    heard: list[Any] = []
    tried = [Tried(candidate("rr-1"), low), Tried(WON, high), Tried(candidate("fifo-1"), rejection=REJECTION)]
    pictures, drawn = paint(tried, on_span=heard.append)
    assert pictures == "pictures" and len(heard) == 1
    assert drawn == [([high, low], {"policy": (b"object", ("a=1",), "ljf", 7)})]


def test_without_a_guest_or_an_object_there_is_no_timeline_and_without_a_score_no_picture(paint: Any) -> None:
    won = score(WON, pairs=(Pair(1.5, 1.1),) * 3)
    for more in ({"error": InfraError("no guest")}, {"there": False}):
        pictures, drawn = paint([Tried(WON, won)], **more)
        assert pictures == "pictures" and drawn == [([won], {})]
    assert paint([Tried(WON, rejection=REJECTION)]) == (None, [])


def test_what_is_imported_ahead_holds_up_neither_the_run_nor_its_end() -> None:
    release, met = threading.Event(), queue.SimpleQueue[bool]()
    beside(lambda: met.put(threading.current_thread().daemon and release.wait(10)))
    release.set()  # reached while the work waits
    assert met.get(timeout=10)

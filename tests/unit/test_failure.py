# SPDX-License-Identifier: Apache-2.0
"""The situation of a failure, traced: what each guest does, and what becomes of one that tells nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_vm import FakeVM
from trial_cases import guest_in, spec

from policy_lake.errors import InfraError, InputError
from policy_lake.guest import GuestReport
from policy_lake.model import Finding
from policy_lake.topology import Topology
from tasks import verify as verifying
from tasks.host.guest import Shape
from tasks.minimize import Smallest
from tasks.trial import failure
from tasks.trial.failure import draw_failure, trace_failure
from tasks.trial.pictures import check_directory
from tasks.verify import VerifyOptions
from verifier_vm.judge.case import parse_case
from verifier_vm.verdict import stage_of, verdict_of

EVENTS = (Path(__file__).parent.parent / "golden" / "timeline.txt").read_text()
CHECKED: Any = SimpleNamespace(made=SimpleNamespace(data=b"object"), arguments=("slice_ns=5",))
CASE = parse_case("W6 seconds=2 floating=3 cpus=4 seed=7", "a test")


class Tracing(FakeVM):
    """Its runs say what guest/timeline.c would."""

    def __call__(self, job: Any, machine: Any, **options: Any) -> GuestReport:
        report = super().__call__(job, machine, **options)
        events = [replace(event, out=EVENTS) if hasattr(event, "out") else event for event in report.events]
        return replace(report, events=tuple(events))


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracing:
    guest = guest_in(tmp_path)
    monkeypatch.setattr(failure, "prepare_guest", lambda settings, shape: guest)
    return Tracing("good policy").install(monkeypatch, failure)


@pytest.mark.parametrize(("words", "ready"), [("", []), (" uptime_s=90", ["rest"])])
def test_each_guest_does_the_situation_alone_the_second_under_the_policy(
    vm: Tracing, tmp_path: Path, words: str, ready: list[str]
) -> None:
    case = parse_case(f"{CASE}{words}", "a test")
    timelines = trace_failure(case, CHECKED, spec(tmp_path).settings, Shape(Topology()), policy="mine")
    assert list(timelines) == ["eevdf", "mine"] and {timeline.wall_us for timeline in timelines.values()} == {2500}
    alone, under_it = vm.jobs
    assert [step.verb for step in alone.steps] == ["run"] and not alone.files and alone.seed == under_it.seed == 7
    assert [step.verb for step in under_it.steps] == ["attach", "run"]
    assert under_it.steps[0].args == ("policy.bpf.o", "slice_ns=5", "ops.timeout_ms=2000")
    assert under_it.steps[1].args == (
        "timeline", "adversary", "W6", "seconds=2", "limit_ms=2000", "floating=3",
    )  # fmt: skip
    assert [[step.verb for job in before for step in job.steps] for before in vm.warm_ups] == [ready] * 2
    assert (
        all(job.stays for before in vm.warm_ups for job in before)
        and [len(before) for before in vm.warm_ups] == [len(ready)] * 2
    )


REJECTED = verdict_of([stage_of("survive", 1.0, [Finding("F13", "reject", "a task waits")])], ops="mine")
STATIC = verdict_of([stage_of("object", 1.0, [Finding("F03", "reject", "never consumed")])], ops="mine")
ACCEPTED = verdict_of([stage_of("survive", 1.0)], ops="mine")


@pytest.mark.parametrize(
    ("verdict", "smallest", "only", "found", "drawn"),
    [
        (REJECTED, "W6 seconds=1 cpus=2", None, "W1 seconds=3 cpus=2", "W6 seconds=1 cpus=2"),
        (REJECTED, "", "W7 seconds=2 cpus=2", "W1 seconds=3 cpus=2", "W7 seconds=2 cpus=2"),
        (REJECTED, "", None, "W1 seconds=3 cpus=2", "W1 seconds=3 cpus=2"),
        (REJECTED, "", None, None, None),
        (STATIC, "", None, "W1 seconds=3 cpus=2", None),
        (ACCEPTED, "", None, "W1 seconds=3 cpus=2", None),
    ],
)
def test_the_smallest_situation_known_is_drawn(monkeypatch, tmp_path, verdict, smallest, only, found, drawn) -> None:
    monkeypatch.setattr(verifying, "case_that_shows", lambda *_: parse_case(found, "a test") if found else None)
    monkeypatch.setattr(verifying, "trace_failure", lambda case, *_, policy: {policy: case})
    monkeypatch.setattr(verifying, "draw_failure", lambda place, case, timelines: (place, str(case), list(timelines)))
    options = VerifyOptions(plots=tmp_path, only=parse_case(only, "a test") if only else None)
    made: Any
    made, why = verifying._pictures(verdict, Smallest(smallest, 1) if smallest else None, CHECKED, None, None, options)
    assert (made.files == {}) if drawn is None else made == (tmp_path, drawn, ["mine"])
    assert bool(why) == (verdict is REJECTED and drawn is None)
    assert verifying._pictures(verdict, None, CHECKED, None, None, replace(options, plots=None))[0].files == {}


def test_a_verdict_stands_though_its_failure_cannot_be_traced(monkeypatch, tmp_path) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise InfraError("a guest said nothing")

    monkeypatch.setattr(verifying, "trace_failure", lost)
    made, why = verifying._pictures(REJECTED, None, CHECKED, None, None, VerifyOptions(plots=tmp_path, only=CASE))
    assert made.files == {} and why == "--plots: the failure could not be traced: a guest said nothing"


def test_pictures_for_which_there_is_no_room_are_not_taken_for_a_trace_that_failed(monkeypatch, tmp_path) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise InfraError("/p/tasks.png: No space left on device")

    monkeypatch.setattr(verifying, "trace_failure", lambda case, *_, policy: {policy: case})
    monkeypatch.setattr(verifying, "draw_failure", full)
    made, why = verifying._pictures(REJECTED, None, CHECKED, None, None, VerifyOptions(plots=tmp_path, only=CASE))
    assert made.files == {}
    assert why == "--plots: not all pictures could be written: /p/tasks.png: No space left on device"


def test_pictures_are_whole_files_in_two_forms(vm: Tracing, tmp_path: Path) -> None:
    timelines = trace_failure(CASE, CHECKED, spec(tmp_path).settings, Shape(Topology()), policy="<b>&")
    made = draw_failure(tmp_path / "plots", CASE, timelines)
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        f"{name}.{form}" for name in ("timeline", "tasks") for form in ("png", "svg")
    }
    assert made.files["tasks"].read_bytes().startswith(b"\x89PNG")
    assert "late [103]" in (tmp_path / "plots" / "tasks.svg").read_text()


def test_a_place_where_no_picture_can_be_is_refused_at_once(tmp_path: Path, monkeypatch) -> None:
    check_directory(tmp_path / "new" / "one")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^--plots .*/file: File exists"):
        check_directory(tmp_path / "file")
    for name in ("coverage.html", "tasks.svg", "scores.png", "perfetto.json"):
        (tmp_path / name).symlink_to("file")
        with pytest.raises(InputError, match=rf"^--plots .*/{name}: cannot be written: a symbolic link"):
            check_directory(tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / "scores.png").touch()
    check_directory(tmp_path)
    for denied in (os.W_OK, os.X_OK):  # root may do both
        monkeypatch.setattr("os.access", lambda _, mode, denied=denied: not mode & denied)
        with pytest.raises(InputError, match="nothing can be written there"):
            check_directory(tmp_path)

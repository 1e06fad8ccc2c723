# SPDX-License-Identifier: Apache-2.0
"""What `verify` hands on: to the static stages, to each kind of guest, and of each guest's verdict to its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_cases import guest_in, spec

from bpf.build import PolicyObject
from policy_lake.coverage import Coverage
from policy_lake.errors import InputError
from policy_lake.model import Finding, Verdict
from policy_lake.scores import MeasurementPlan
from policy_lake.topology import Topology
from tasks import verify as verifying
from tasks.host.guest import Shape
from tasks.minimize import Smallest
from tasks.trial.static import Checked
from tasks.verify import VerifyOptions, verify, verify_in_guest
from verifier_vm.judge.case import parse_case
from verifier_vm.verdict import HOTPLUG_CALLBACKS, stage_of, verdict_of

CASE = parse_case("W6 seconds=1 cpus=2", "a test")
TRIED = Coverage(programs=("enqueue",))
CLAIMS = replace(stage_of("object", 0.1), callbacks=("cgroup_init", *HOTPLUG_CALLBACKS))
CHECKED = Checked((CLAIMS,), PolicyObject(b"object", "", 0.1), ("a=1",))
NOTED = stage_of("survive", 1.0, [Finding("F41", "note", "no cgroup callbacks")])
IN_GUEST = Verdict(True, None, (NOTED,), ops="mine", kernel="7.3", coverage=TRIED)
PLACES = (Topology(8),)
SHAPE = Shape(Topology(), machine="mine")


@pytest.fixture
def guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What each kind of guest was asked, and a call of `verify_in_guest`."""
    asked: dict[str, Any] = {}

    def short(*given: Any, **more: Any) -> Any:
        asked["short"] = given, more
        return SimpleNamespace(verdict=IN_GUEST)

    def full(*given: Any, on_part: Any, **more: Any) -> Verdict:
        asked["full"] = given, more
        on_part("up for 6 h", Topology(), True)
        return IN_GUEST

    monkeypatch.setattr(verifying, "verify_object", short)
    monkeypatch.setattr(verifying, "verify_full_tier", full)
    monkeypatch.setattr(verifying, "Alone", lambda *given: lambda case: asked.update(alone=(given, case)) or IN_GUEST)
    monkeypatch.setattr(verifying, "topologies_for", lambda settings, tier: {"short": PLACES, "full": PLACES * 2}[tier])
    monkeypatch.setattr(verifying, "trusted_object", lambda kernel: ("trusted", kernel))
    guest, settings = guest_in(tmp_path), spec(tmp_path).settings

    def call(**options: Any) -> tuple[Verdict, Any, list[str]]:
        said: list[str] = []
        asked.clear()
        return verify_in_guest(CHECKED, guest, SHAPE, settings, VerifyOptions(**options), said.append), asked, said

    call.guest, call.settings = guest, settings  # type: ignore[attr-defined]
    return call


ALL: Any = [({}, "short"), ({"tier": "full"}, "full"), ({"only": CASE}, "alone")]


@pytest.mark.parametrize(("options", "kind"), ALL)
def test_the_guest_s_verdict_becomes_the_whole_one_with_what_hosts_need(guests: Any, options: Any, kind: str) -> None:
    verdict, asked, _ = guests(**options)
    assert list(asked) == [kind] and verdict.accepted and verdict.stages == (CLAIMS, NOTED)
    assert (verdict.ops, verdict.kernel, verdict.coverage) == ("mine", "7.3", TRIED)
    assert verdict.object_sha256 == hashlib.sha256(b"object").hexdigest()
    refused, _, _ = guests(require=("cgroups",), **options)
    assert not refused.accepted and refused.rejection.bug == "F41" and refused.rejection.stage == "survive"


def test_each_kind_of_guest_is_asked_for_what_the_policy_claims_and_the_user_wants(guests: Any) -> None:
    for check_all in (False, True):
        _, asked, _ = guests(check_all=check_all)
        given, more = asked["short"]
        assert given == (b"object", ("a=1",), guests.guest.machine) and more["check_all"] is check_all
        assert (more["cgroups"], more["hotplug"], more["topologies"]) == (CHECKED.cgroups, CHECKED.hotplug, PLACES)
        assert more["trusted"]() == ("trusted", guests.guest.kernel)
        _, asked, said = guests(check_all=check_all, tier="full")
        given, more = asked["full"]
        assert given == (b"object", ("a=1",), guests.settings, SHAPE) and said == ["boot", "up for 6 h: passed"]
        assert more == {"check_all": check_all, "cgroups": CHECKED.cgroups, "hotplug": CHECKED.hotplug, "here": False,
                        "topologies": PLACES * 2}  # fmt: skip
    assert CHECKED.cgroups and CHECKED.hotplug
    assert guests(only=CASE)[1]["alone"] == ((CHECKED, guests.settings, SHAPE), CASE)


def test_a_static_rejection_has_the_object_it_is_about() -> None:
    bad = stage_of("object", 0.1, [Finding("F03", "reject", "never consumed")])
    verdict = verify_in_guest(
        Checked((bad,), CHECKED.made), None, SHAPE, spec(Path("/none")).settings, VerifyOptions(), print
    )  # type: ignore[arg-type]
    assert not verdict.accepted and verdict.object_sha256 == hashlib.sha256(b"object").hexdigest()


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`verify` of something read and checked elsewhere; what these were asked is in the dict."""
    asked: dict[str, Any] = {}

    def read(path: Any, **more: Any) -> Any:
        asked["read"] = path, more
        return SimpleNamespace(check=check, source="", policy=SimpleNamespace(id="mine"), candidate=lambda data: "mine")

    def check(kernel: Any, **more: Any) -> Checked:
        asked["check"] = more
        return CHECKED

    def run_here(steps: Any, given: Any, lake: Any, *, what: str) -> Any:
        steps.close()
        asked["lake"], asked["trial"] = lake, given
        return stage_of("score", 0.1), None

    monkeypatch.setattr(verifying, "read_given", read)
    monkeypatch.setattr(verifying, "shape_for", lambda settings, workload: Shape(Topology(), machine=workload.id))
    monkeypatch.setattr(
        verifying, "prepare_guest", lambda settings, shape: asked.update(shape=shape) or guest_in(tmp_path)
    )
    monkeypatch.setattr(verifying, "verify_in_guest", lambda *_: verdict_of([CLAIMS], ops="mine", data=b"object"))
    monkeypatch.setattr(verifying, "run_here", run_here)
    monkeypatch.setattr(verifying, "open_lake", lambda settings: ("lake", settings))
    settings = spec(tmp_path).settings

    def call(**more: Any) -> dict[str, Any]:
        done = verify(tmp_path / "mine.bpf.c", more.pop("settings", settings), on_stage=print, **more)
        return {**asked, "settings": settings, "machine": done.machine}

    return call


def test_what_is_given_is_read_and_checked_with_all_that_belongs_to_it(whole: Any, tmp_path: Path) -> None:
    given = {"include_dirs": (tmp_path,), "knobs": {"a": 1}, "sets": {"b": 2}, "linked": (tmp_path / "x.bpf.o",)}
    asked = whole(workload="batch", **given)
    assert asked["read"] == (tmp_path / "mine.bpf.c", given) and asked["shape"] == Shape(Topology(), machine="batch")
    assert asked["check"] == {"check_all": False, "on_stage": print}
    assert asked["lake"] == ("lake", asked["settings"])
    assert asked["machine"] == "batch", "what the CPUs were taken for is the verdict's to say"


def test_it_is_measured_by_the_plan_and_against_the_floor_that_were_asked_for(whole: Any) -> None:
    plan = MeasurementPlan(8, 0, 501)
    trial = whole(workload="batch", plan=plan, floor=1.07)["trial"]
    assert (trial.plan, trial.floor) == (plan, 1.07) and whole(workload="batch")["trial"].floor is None


def test_a_topology_that_the_machine_has_not_is_refused_before_anything_is_read(whole: Any, tmp_path: Path) -> None:
    asked = spec(tmp_path).settings.model_copy(update={"machine": "desktop", "topologies": "cpus=8,nodes=2,llcs=2"})
    with pytest.raises(InputError, match=r"^--topology: 8 CPUs, 2 LLCs, 2 nodes contradicts --machine desktop, .* 8 C"):
        whole(settings=asked)
    for fits in ({"topologies": "cpus=8,smt=2"}, {"machine": "flat"}):
        assert whole(settings=asked.model_copy(update=fits))["read"]


def test_where_pictures_cannot_go_is_refused_before_anything_is_read(whole: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        whole(options=VerifyOptions(plots=tmp_path / "file"))


def test_the_smallest_situation_is_traced_as_the_situation_that_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    traced: list[Any] = []
    monkeypatch.setattr(verifying, "trace_failure", lambda case, *_, policy: traced.append(case))
    monkeypatch.setattr(verifying, "draw_failure", lambda *_: None)
    failed = verdict_of([stage_of("survive", 1.0, [Finding("F13", "reject", "a task waits")])], ops="mine")
    none: Any = None
    verifying._pictures(failed, Smallest(str(CASE), 1), CHECKED, none, none, VerifyOptions(plots=tmp_path))
    assert traced == [CASE]

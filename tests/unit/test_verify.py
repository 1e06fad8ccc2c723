# SPDX-License-Identifier: Apache-2.0
"""Verify without a guest of QEMU's: who gets one at all, and which requirements count."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fake_vm import WALL, FakeVM, limit_of
from object_cases import object_bytes

from bpf.build import PolicyObject
from policy_lake.codes import Code
from policy_lake.model import Finding
from policy_lake.records import Regression
from policy_lake.topology import Topology
from tasks import verify as verifying
from tasks.host.guest import Guest, Shape
from tasks.host.settings import Settings
from tasks.trial.static import Checked
from tasks.verify import VerifyOptions, verify_in_guest
from verifier_vm.judge import gate
from verifier_vm.object.analyse import analyse_object
from verifier_vm.verdict import honours_cgroups, stage_of

MADE = PolicyObject(b"object", "", 0.1)
GOOD = stage_of("source", 0.1)
BAD = stage_of("object", 0.1, [Finding("F03", "reject", "never consumed")])
NO_CGROUPS = stage_of("object", 0.1, [Finding("F41", "note", "no cgroup callbacks")])


def further(monkeypatch, checked, scenario="good policy", **options):
    vm, stages = FakeVM(scenario).install(monkeypatch, gate), []
    guest = Guest(WALL, None, "")
    verdict = verify_in_guest(checked, guest, Shape(Topology()), Settings(), VerifyOptions(**options), stages.append)
    return verdict, vm, stages


def test_what_is_sound_so_far_meets_a_guest(monkeypatch):
    verdict, vm, stages = further(monkeypatch, Checked((GOOD,), MADE))
    assert verdict.accepted and [limit_of(job) for job in vm.jobs] == [2000]
    assert stages[:2] == ["boot", "kernel"] and stages[-1] in ("fair", "survive") and "fair" in stages


def test_stages_and_guests_are_told_of_as_they_end(monkeypatch):
    FakeVM("good policy").install(monkeypatch, gate)
    heard = []
    for checked in (Checked((GOOD,), MADE), Checked((GOOD, BAD), None)):
        verify_in_guest(
            checked, Guest(WALL, None, ""), Shape(Topology()), Settings(), VerifyOptions(), lambda _: None,
            lambda name, ok: heard.append((name, ok)),
        )  # fmt: skip
    assert heard == [("source", True), ("guest: short", True), ("source", True), ("object", False)]


@pytest.mark.parametrize("checked", [Checked((GOOD, BAD), MADE), Checked((BAD,), None)])
def test_no_guest_is_started_after_a_static_rejection_or_without_an_object(monkeypatch, checked):
    verdict, vm, stages = further(monkeypatch, checked)
    assert not vm.jobs and not stages and not verdict.accepted


def test_a_guest_is_started_after_a_static_rejection_only_to_see_all(monkeypatch):
    verdict, vm, _ = further(monkeypatch, Checked((GOOD, BAD), MADE), check_all=True)
    assert len(vm.jobs) == 1 and not verdict.accepted and verdict.rejection.bug == "F03"
    assert [stage.name for stage in verdict.stages] == ["source", "object", "kernel", "survive", "fair"]
    assert not further(monkeypatch, Checked((GOOD, BAD), None), check_all=True)[1].jobs


def test_what_hosts_need_rejects_before_a_guest(monkeypatch):
    assert further(monkeypatch, Checked((NO_CGROUPS,), MADE))[0].accepted
    verdict, vm, _ = further(monkeypatch, Checked((NO_CGROUPS,), MADE), require=("cgroups",))
    assert verdict.rejection.bug == "F41" and not vm.jobs


def test_who_has_cgroup_callbacks_is_held_to_them(monkeypatch):
    claims = stage_of("object", 0.1)
    claims = type(claims)(claims.name, True, 0.1, callbacks=("cgroup_init", "enqueue"))
    assert honours_cgroups([GOOD, claims]) and not honours_cgroups([GOOD, NO_CGROUPS])
    # The golden guest's cgroups had no weights: a note, and a rejection for who claims to keep them.
    verdict, _, _ = further(monkeypatch, Checked((GOOD, claims), MADE))
    assert (verdict.rejection.stage, verdict.rejection.code) == ("fair", Code.CGROUP_SHARE)


def test_callbacks_are_facts_of_the_object_and_survive_demands(monkeypatch):
    stage = analyse_object(object_bytes("vtime"))
    assert {"enqueue", "dispatch", "init", "exit"} <= set(stage.callbacks) and not honours_cgroups([stage])
    assert further(monkeypatch, Checked((stage,), MADE), require=("cgroups",))[0].stages[0].callbacks == stage.callbacks
    assert analyse_object(b"no object").callbacks == ()


def test_what_passed_meets_what_others_of_its_name_failed_in_and_what_did_not_does_not(monkeypatch):
    known = [Regression("r", "", "x", "W6 seconds=1", "F13")]
    asked = []

    def meet(verdict, checked, settings, shape, regressions, on_case):
        asked.append(regressions)
        on_case("W6 seconds=1")
        return verdict

    monkeypatch.setattr(verifying, "meet_again", meet)
    monkeypatch.setattr(verifying, "open_lake", lambda _: SimpleNamespace(regressions=lambda ops: known))
    _, _, stages = further(monkeypatch, Checked((GOOD,), MADE))
    assert asked == [known] and stages[-1] == "as others once failed: W6 seconds=1"
    assert not further(monkeypatch, Checked((GOOD,), MADE), "ends by itself")[0].accepted and len(asked) == 1

# SPDX-License-Identifier: Apache-2.0
"""What is kept of a failure, and what the policies of that name then have to pass; the guests are stood in for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_cases import spec

from bpf.build import PolicyObject
from policy_lake.codes import Code
from policy_lake.errors import EndedVMError, InfraError, LostVMError
from policy_lake.model import Finding, Rejection, Verdict
from policy_lake.records import LakeError, Regression
from policy_lake.topology import Topology
from tasks import minimize as made
from tasks.host.guest import Shape
from tasks.host.lake import open_lake
from tasks.trial import alone as alone_cases
from tasks.trial import work as worker
from tasks.trial.static import Checked
from verifier_vm.judge.case import Case, parse_case
from verifier_vm.judge.suite import SHORT
from verifier_vm.verdict import stage_of, verdict_of

PASSED = verdict_of([stage_of("survive", 1.0, ())], ops="mine")
STALL = Finding("F13", "reject", "a task waits", "W6", code=Code.STALL)
FAILED = verdict_of([stage_of("survive", 1.0, (STALL,))], ops="mine")
SHAPE = Shape(Topology())
CHECKED: Any = SimpleNamespace(made=SimpleNamespace(data=b"no object"), arguments=(), cgroups=False, hotplug=True)


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    return spec(tmp_path).settings


def alone(monkeypatch: pytest.MonkeyPatch, verdict_in: Any) -> list[Case]:
    asked: list[Case] = []

    def verdict(self: Any, case: Case) -> Any:
        asked.append(case)
        return verdict_in(case)

    monkeypatch.setattr(made.Alone, "__call__", verdict)
    return asked


def failing_with(workload: str) -> Any:
    return lambda case: FAILED if workload in case.exercise.workloads.split("+") else PASSED


def test_the_smallest_is_kept_under_the_policys_name_and_met_by_the_next(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(monkeypatch, failing_with("W6"))
    found = made.minimize(FAILED, CHECKED, SHAPE, settings, "short")
    assert found and parse_case(found.situation, "x").exercise.workloads == "W6"
    (known,) = open_lake(settings).regressions("mine")
    assert (known.situation, known.bug, known.policy) == (found.situation, "F13", "mine")
    made.minimize(FAILED, CHECKED, SHAPE, settings, "short")
    assert len(open_lake(settings).regressions("mine")) == 1, "the same failure is kept once"
    said: list[str] = []
    again = alone_cases.meet_again(PASSED, CHECKED, settings, SHAPE, [known], said.append)
    assert said == [found.situation] and not again.accepted
    assert again.rejection and again.rejection.code == Code.STALL
    assert alone_cases.meet_again(
        replace(PASSED, ops="another"), CHECKED, settings, SHAPE, [known], said.append
    ).accepted


def test_one_that_passes_what_others_failed_in_is_accepted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made.keep("mine", parse_case("W6 seconds=1", "x"), Rejection("survive", "a task waits", ""), settings)
    asked = alone(monkeypatch, lambda case: PASSED)
    known = open_lake(settings).regressions()
    assert alone_cases.meet_again(PASSED, CHECKED, settings, SHAPE, known).accepted
    assert [str(case) for case in asked] == ["W6 seconds=1 cpus=2"]


@pytest.mark.parametrize("stage", ["source", "build", "object", "kernel"])
def test_what_no_situation_showed_is_not_made_small(stage: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = alone(monkeypatch, lambda case: FAILED)
    assert made.minimize(verdict_of([stage_of(stage, 1.0, (STALL,))]), CHECKED, SHAPE, settings, "short") is None
    assert made.minimize(PASSED, CHECKED, SHAPE, settings, "short") is None and asked == []


@pytest.mark.parametrize("other", [PASSED, verdict_of([stage_of("survive", 1.0, (replace(STALL, code=Code.HUNG),))])])
def test_another_failure_is_not_the_same(other: Verdict, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch, lambda case: other)
    assert made.minimize(FAILED, CHECKED, SHAPE, settings, "short") is None
    assert open_lake(settings).regressions("mine") == []


@pytest.mark.parametrize("error", [LostVMError("gone"), InfraError("no room for a guest")])
def test_a_guest_that_is_lost_shows_nothing(error: Exception, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(case: Case) -> Verdict:
        if case.exercise.workloads != "W1+W2+W5+W6+W8+W20":
            raise error
        return FAILED

    alone(monkeypatch, lost)
    found = made.minimize(FAILED, CHECKED, SHAPE, settings, "short")
    assert found and found.situation.startswith("W1+W2+W5+W6+W8+W20 ")


def test_a_guest_that_this_process_ended_is_no_reason_to_start_another(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(case: Case) -> Verdict:
        raise EndedVMError("interrupted")

    alone(monkeypatch, ended)
    with pytest.raises(EndedVMError):
        made.minimize(FAILED, CHECKED, SHAPE, settings, "short")


def test_a_lake_that_cannot_keep_it_takes_nothing_of_what_was_found(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise LakeError("no space left")

    said: list[str] = []
    monkeypatch.setattr(made, "open_lake", lambda settings: SimpleNamespace(put=full))
    monkeypatch.setattr(made.log, "warning", lambda text, error: said.append(text % error))
    alone(monkeypatch, failing_with("W6"))
    found = made.minimize(FAILED, CHECKED, SHAPE, settings, "short")
    assert found and said == ["minimize: the situation is not kept for policies of that name: no space left"]


@pytest.mark.parametrize(("policy", "accepted"), [("mine", False), ("another", True)])
def test_a_candidate_meets_what_its_policys_others_failed_in(
    policy: str, accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Regression("r1", policy, "W6 seconds=1", "F13", "a task waits")
    asked = alone(monkeypatch, lambda case: FAILED)
    checked = Checked((stage_of("object", 0.1, ()),), PolicyObject(b"no object", "", 0.0, True))
    guest = SimpleNamespace(kernel=SimpleNamespace(btf_sha256=""), machine=None, warning="")
    monkeypatch.setattr(worker, "prepare_guest", lambda *_: guest)
    monkeypatch.setattr(worker, "check_parts", lambda *_, **__: checked)
    monkeypatch.setattr(worker, "_guest_verdict", lambda *_: PASSED)
    prepared = worker.verify_candidate(replace(spec(tmp_path), regressions=(known,)))
    assert prepared.verdict.accepted is accepted and len(asked) == (not accepted)
    assert prepared.verdict.ops == "mine"


def test_the_five_latest_are_met_in_their_order_until_one_shows_the_failure(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        made.keep("mine", parse_case(f"W6 seconds={number + 1}", "x"), Rejection("survive", "x" * 500, ""), settings)
    kept = [known.situation for known in open_lake(settings).regressions("mine")]
    assert len(kept) == 7 and {len(known.reason) for known in open_lake(settings).regressions("mine")} == {400}
    asked = alone(monkeypatch, lambda case: PASSED)
    regressions = open_lake(settings).regressions()
    assert alone_cases.meet_again(PASSED, CHECKED, settings, SHAPE, regressions).accepted
    assert [str(case) for case in asked] == kept[-5:]
    asked.clear()
    alone(monkeypatch, lambda case: asked.append(case) or (FAILED if str(case) == kept[-4] else PASSED))
    said: list[str] = []
    assert not alone_cases.meet_again(PASSED, CHECKED, settings, SHAPE, regressions, said.append).accepted
    assert said == kept[-5:-3], "what comes after it is not tried"


def test_it_is_looked_for_as_it_was_and_then_in_a_guest_that_has_just_booted(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = alone(monkeypatch, lambda case: PASSED)
    assert made.minimize(FAILED, CHECKED, SHAPE, settings, "short") is None
    part = SHORT.uptime_s
    assert part and {case.seed for case in asked} == {0}
    assert [case.uptime_s for case in asked] == [part, 0] * (len(asked) // 2) and len(asked) >= 2

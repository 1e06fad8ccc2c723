# SPDX-License-Identifier: Apache-2.0
"""The corpus against the whole verifier: each planted bug is caught where it says, and no good policy is rejected."""

from __future__ import annotations

import os

import pytest
from corpus import BEFORE_A_GUEST, POLICIES, good, planted, sets_of

from tasks.host.settings import load_settings
from tasks.trial.static import check_statically
from tasks.verify import VerifyOptions, verify

pytestmark = pytest.mark.vm
# Those that fail before a guest is started take half a second each, the others what a guest takes to fall over.
PLANTED = sorted(planted(), key=lambda case: case.stage not in BEFORE_A_GUEST)
# A whole verdict takes some 10 s: one policy for each mechanism of the kernel's. WHOLE_CORPUS=1 and `make matrix` take
# every one.
IN_A_GUEST = {
    "plain_fifo", "plain_global", "plain_vtime", "plain_pid_queue", "plain_tree", "plain_local_on", "plain_hand_over",
    "plain_percpu_steal", "plain_endless_with_timer", "plain_per_node_idle", "sx_own_idle", "sx_enq_last", "sx_bands",
    "sx_cgroup_weights", "mirror_own_queue", "kconfig_number", "given_queue", "given_per_cpu",
}  # fmt: skip
GOOD = [pytest.param(path, id=path.name.removesuffix(".bpf.c")) for path in good()]


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: case.name)
def test_a_planted_bug_is_caught_at_its_stage_for_its_reason(guest, case):
    options = VerifyOptions(require=(case.need,) if case.need else ())
    verdict = verify(case.path, load_settings(), options=options).verdict
    if case.ends and not (case.or_stage and verdict.rejection):
        assert verdict.accepted, verdict.rejection
        assert case.ends in outcomes(verdict, case), verdict.stages
        return
    assert not verdict.accepted
    rejection = verdict.rejection
    assert case.is_rejected_by(rejection), rejection
    assert rejection.evidence.strip() or rejection.place, rejection
    if rejection.stage in BEFORE_A_GUEST:
        assert verdict.stages[-1].name == rejection.stage, "nothing is tried after a rejection"


def outcomes(verdict, case):
    """What came of a stage's suspicions of a planted bug; what the object says, too, is one finding of the object's."""
    said_by = (case.stage, "object") if case.stage == "source" else (case.stage,)
    findings = [finding for stage in verdict.stages if stage.name in said_by for finding in stage.findings]
    return {
        finding.outcome or finding.level
        for finding in findings
        if finding.bug == case.bug and case.fails_for(finding.reason)
    }


@pytest.mark.parametrize("path", GOOD)
def test_nothing_is_said_against_a_policy_without_a_bug_before_a_guest_is_started(guest, path):
    words = [f"{name}={value}" for name, value in sets_of(path).items()]
    checked = check_statically(
        path.read_text(), name=path.name, kernel=guest.kernel, source_dir=path.parent, arguments=words
    )
    assert [finding for stage in checked.stages for finding in stage.findings if finding.level == "reject"] == []
    assert [stage.name for stage in checked.stages] == ["source", "build", "object"]


@pytest.mark.parametrize("path", [case for case in GOOD if case.id in IN_A_GUEST or os.environ.get("WHOLE_CORPUS")])
def test_a_policy_without_a_bug_is_accepted(guest, path):
    verdict = verify(path, load_settings(), sets=sets_of(path)).verdict
    assert verdict.accepted, verdict.rejection
    assert [stage.name for stage in verdict.stages] == ["source", "build", "object", "kernel", "survive", "fair"]


def test_levels_that_count_are_what_a_host_that_needs_them_asks_for(guest):
    options = VerifyOptions(require=("nice",))
    verdict = verify(POLICIES / "good/sx_levels.bpf.c", load_settings(), options=options).verdict
    assert verdict.accepted, verdict.rejection


@pytest.mark.parametrize(("target", "bugs"), [("1", set()), ("0x8000000000000001", {"F05"}), ("7", {"F02", "F03"})])
def test_a_constant_counts_as_the_loader_sets_it(guest, target, bugs):
    path = POLICIES / "f05_vtime_by_rodata_fails.bpf.c"
    checked = check_statically(
        path.read_text(), name=path.name, kernel=guest.kernel, arguments=(f"target={target}",), source_dir=path.parent
    )
    rejected = {finding.bug for finding in checked.stages[-1].findings if finding.level == "reject"}
    assert checked.stages[-1].name == "object" and rejected == bugs


def test_the_policies_that_go_through_a_guest_are_there():
    assert {case.id for case in GOOD} >= IN_A_GUEST

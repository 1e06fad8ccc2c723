# SPDX-License-Identifier: Apache-2.0
"""The differential check on real guests: what EEVDF cannot do either is no policy's fault; a policy's fault stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bpf.build import compile_policy
from bpf.library import policy
from policy_lake.codes import Code
from verifier_vm.judge.gate import verify_part
from verifier_vm.judge.part import Exercise, Part
from verifier_vm.situations import Situation

pytestmark = pytest.mark.vm
TOO_MANY = Exercise("W25", "W25", 0.5, ("herd=9000",))  # threads, for a guest of 512 MiB
PART = Part("herd", (Exercise("W1", "W1", 0.3), TOO_MANY, Exercise("W10", "W10", 0.3)))


@pytest.fixture
def object_of(guest):
    def made(source: str, name: str) -> bytes:
        return compile_policy(source, name=name, vmlinux_dir=guest.kernel.headers).data

    return made


def test_a_guest_without_room_for_its_tasks_rejects_nobody(guest, object_of):
    verdict = verify_part(object_of(policy("fifo").source, "fifo"), (), guest.machine, PART).verdict
    assert verdict.accepted, verdict.rejection
    survive = next(stage for stage in verdict.stages if stage.name == "survive")
    (note,) = [finding for finding in survive.findings if finding.code == Code.FORK_FAILED]
    assert note.level == "note" and note.reason.startswith("EEVDF fails alike") and note.place == "W25"
    assert Situation.HERD not in survive.situations and Situation.SPARSE in survive.situations


def test_a_policy_that_refuses_tasks_is_rejected_where_eevdf_takes_them(guest, object_of):
    source = (Path(__file__).parent.parent / "policies" / "f27_fork_fails_fails.bpf.c").read_text()
    part = replace(PART, exercises=(replace(TOO_MANY, args=("herd=60",)),))
    verdict = verify_part(object_of(source, "refuses"), (), guest.machine, part).verdict
    assert not verdict.accepted and verdict.rejection.code == Code.FORK_FAILED

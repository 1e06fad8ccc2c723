# SPDX-License-Identifier: Apache-2.0
"""Each case of the batch family in the guest, tiny, under the kernel's own scheduler, all in one boot."""

from __future__ import annotations

import json

import pytest

from policy_lake.guest import GuestJob, GuestStep
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
TINY = {
    "compression": (150, 1000),
    "video": (5, 315),
    "ctest": (6000, 35700),
    "git": (4000, 20000),
    "checksum": (5000, 25000),
    "hotkey": (500, 6630),
    "logs": (300, 5000),
    "products": (1000, 13180),
}


def test_every_case_does_its_work_in_the_guest_and_cleans_up_for_the_next(guest):
    def step(name, *more):
        small, large = TINY[name]
        args = ("batchcase", name, "--jobs", "8", "--small", str(small), "--large", str(large), *more)
        return GuestStep("run", args, label=name, timeout_s=30.0)

    steps = (*map(step, TINY), step("git", "--shuffle", "1", "--seed", "2"))
    shuffled = GuestStep("run", ("batch", "--jobs", "8", "--short-work", "500", "--shuffle", "1"), timeout_s=30.0)
    report = run(GuestJob({}, (*steps, shuffled)), guest.machine, deadline_s=120)
    assert len(report.events) == len(TINY) + 2
    for event in report.events:
        assert event.ok, event
        out = json.loads(event.out.splitlines()[-1])
        assert out["ok"] and len(out["jobs"]) == 8
        assert out["makespan_ms"] >= 0.95 * out["bound_ms"] > 0

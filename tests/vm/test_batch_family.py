# SPDX-License-Identifier: Apache-2.0
"""Each case of the batch family in the guest, tiny, under the kernel's own scheduler, all in one boot."""

from __future__ import annotations

import json

import pytest

from benchmarks.profile_jobs import name_key
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


def test_the_probe_tells_jobs_by_name_or_by_their_arguments_and_the_same_in_each_run(guest):
    def step(naming, seed):
        args = ("--jobs", "8", "--short-work", "500", "--shuffle", "1", "--naming", str(naming), "--seed", str(seed))
        return GuestStep("run", ("observe", "/bin/batch", *args), label=f"{naming} {seed}", timeout_s=30.0)

    steps = tuple(step(*kind) for kind in ((0, 1), (1, 1), (2, 1), (2, 2)))
    report = run(GuestJob({}, steps), guest.machine, deadline_s=120)
    seen = {event.label: json.loads(event.out.splitlines()[-1]) for event in report.events if event.ok}
    comms = {label: {row["comm"]: row["tasks"] for row in probed["commands"]} for label, probed in seen.items()}
    assert comms["0 1"] == comms["1 1"] == {"batch": 1, "batch-short": 7, "batch-long": 1}
    assert comms["2 1"] == comms["2 2"] == {"batch": 9}

    def keys(label, by):
        rows = [row for row in seen[label]["jobs"] if row["by"] == by]
        assert sum(row["tasks"] for row in rows) == 9
        assert sum(row["cpu_ns"] for row in rows) == sum(row["cpu_ns"] for row in seen[label]["commands"])
        return {row["key"]: row["tasks"] for row in rows if row["key"] != "0"}

    assert keys("1 1", "name") == {name_key("batch"): 1, name_key("batch-short"): 7, name_key("batch-long"): 1}
    assert keys("2 1", "name") == {name_key("batch"): 9} and len(keys("2 1", "executable")) == 1
    assert len(keys("0 1", "arguments")) == 1 and len(keys("2 1", "arguments")) == 9
    jobs = set(keys("2 1", "arguments")) & set(keys("2 2", "arguments"))
    assert len(jobs) == 8, "what a job is given does not hang on the seed; what the batch is given does"
    assert keys("2 1", "position") == {str(place): 1 for place in range(1, 9)}
    assert keys("2 1", "parent") == {name_key("batch"): 8, name_key("observe"): 1}

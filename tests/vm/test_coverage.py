# SPDX-License-Identifier: Apache-2.0
"""Coverage of a policy's own code in real guests: what ran is told, what did not is told, and telling costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from skipping import skip_or_fail

from bpf.build import compile_policy
from bpf.library import policy
from policy_lake.coverage import shortfall
from policy_lake.guest import GuestJob, GuestStep
from verifier_vm.coverage.measure import measure_coverage
from verifier_vm.judge.gate import OBJECT, verify_object
from verifier_vm.machine import process
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
UPTIME = Path(__file__).parent.parent / "policies" / "uptime"
LJF = policy("ljf").source


@pytest.fixture(scope="module")
def machine(guest):
    if guest.machine.clock is None:
        skip_or_fail(f"no virtual clock here: {guest.warning or 'guests run under ' + guest.machine.accel}")
    return guest.machine


def line_of(text: str) -> int:
    """The one line of ljf.bpf.c that begins so."""
    (found,) = [number for number, line in enumerate(LJF.splitlines(), 1) if line.strip().startswith(text)]
    return found


@pytest.fixture(scope="module")
def ljf(guest, machine):
    """What a guest tells of ljf, a second of work under it."""
    made = compile_policy(LJF, name="ljf.bpf.c", vmlinux_dir=guest.kernel.headers)
    mix = GuestStep("run", ("adversary", "W1+W2+W6", "seconds=1", "limit_ms=2000"), "policy:mix", timeout_s=60)
    steps = (GuestStep("attach", (OBJECT,), "attach"), GuestStep("layout", label="layout"), mix, GuestStep("detach"))
    job = GuestJob({OBJECT: made.data}, steps, seed=3)
    return made.data, job, run(job, machine)


def test_lines_and_branches_are_those_that_ran(ljf):
    data, _, report = ljf
    layout = report.events[1]
    assert not layout.unknown and {"ljf_enqueue", "ljf_dispatch"} <= {program.name for program in layout.programs}
    coverage = measure_coverage(data, layout.programs, report.executed)
    assert not coverage.unknown
    own = next(file for file in coverage.files if file.file == "ljf.bpf.c")
    ran = ("known_ns = sx_job_mean(", "due = sx_insert_due", "tc->began = sx_now()", "cpus = sx_nr_online")
    assert {line_of(text) for text in ran} <= set(own.ran)
    assert line_of("known_ns = job_cpu_ns[") in own.not_tried  # nobody said how long jobs take
    assert any(sorted(branch.fates) == ["error", "ran"] for branch in coverage.conditions)  # no record was missing
    assert 0.3 < coverage.branches.ran / coverage.branches.of < 0.95 < coverage.lines.percent


def test_being_watched_changes_nothing(ljf, machine, monkeypatch):
    _, job, report = ljf
    assert run(job, machine).executed == report.executed
    monkeypatch.setattr(process, "BlockTable", lambda: None)
    unseen = run(job, machine)
    assert unseen.executed is None
    assert unseen.counts.fingerprint == report.counts.fingerprint and unseen.counts.slots == report.counts.slots
    assert (unseen.counts.switch_hash, unseen.counts.virtual_s) == (report.counts.switch_hash, report.counts.virtual_s)
    assert [(e.ok, e.seconds) for e in unseen.events] == [(e.ok, e.seconds) for e in report.events]


def verdict_on(name, guest, machine):
    path = UPTIME / name
    made = compile_policy(path.read_text(), name=name, vmlinux_dir=guest.kernel.headers, source_dir=path.parent)
    return verify_object(made.data, (), machine).verdict


def test_a_stall_after_an_hour_is_witnessed_and_one_after_weeks_is_listed_as_not_tried(guest, machine):
    hour = verdict_on("hour_stall.bpf.c", guest, machine)
    assert not hour.accepted and hour.rejection.stage == "survive" and hour.rejection.code.time_bound
    weeks = verdict_on("weeks_stall.bpf.c", guest, machine)
    assert weeks.accepted, weeks.rejection
    ((branch, _),) = weeks.coverage.not_tried()
    assert (branch.program, branch.jumped, branch.went_on) == ("weeks_dispatch", "not tried", "ran")
    assert shortfall(weeks.coverage, 95)

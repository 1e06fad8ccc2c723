# SPDX-License-Identifier: Apache-2.0
"""Policies against the real kernel: every one of the library is accepted, and what is none is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from contract_cases import contract

from bpf.build import compile_policy
from bpf.library import policies, policy
from policy_lake.events import Attached
from policy_lake.exit_record import ExitKind
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.knobs import knob_words
from policy_lake.topology import Topology
from verifier_vm.judge.gate import OBJECT, verify_object
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
PLANTED = Path(__file__).parent.parent / "policies"
SCHEDCP = Path(sys.executable).parent / "schedcp"
# One value for every kind of knob, so that the loader has set each kind at least once for real.
SETTINGS = {
    "fifo": {"slice_ns": 5_000_000},
    "vtime": {"slice_ns": 3_000_000},
    "ljf": {"job_comm": "long,short", "job_cpu_ns": "900000000,50000000"},
    "rr": {"preempt": False},
    "percpu": {},
}


@pytest.mark.parametrize("name", [p.id for p in policies()])
def test_every_policy_of_the_library_survives(guest, name):
    given = policy(name)
    made = compile_policy(given.source, name=name, vmlinux_dir=guest.kernel.headers)
    verdict = verify_object(made.data, knob_words(given, SETTINGS.get(name, {})), guest.machine).verdict
    assert verdict.accepted, verdict.rejection
    assert verdict.ops == name
    assert [stage.name for stage in verdict.stages] == ["kernel", "survive", "fair"]


def test_the_exit_record_tells_who_took_a_policy_off(guest):
    given = policy("vtime")
    made = compile_policy(given.source, name="vtime", vmlinux_dir=guest.kernel.headers)
    steps = (GuestStep("attach", (OBJECT,)), GuestStep("detach"))
    detach = run(GuestJob({OBJECT: made.data}, steps), guest.machine).events[1]
    assert detach.exit_record.kind == ExitKind.UNREG and detach.exit_record.clean
    assert detach.exit_record.reason == "unregistered from user space"


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + bytes(4000), b"no object at all\n" * 50])
def test_what_is_no_object_is_rejected_and_the_guest_lives(guest, data):
    verdict = verify_object(data, (), guest.machine).verdict
    assert (verdict.accepted, verdict.rejection.stage) == (False, "kernel"), verdict


def test_a_knob_that_the_object_has_not_is_refused_by_the_loader(guest):
    given = policy("fifo")
    made = compile_policy(given.source, name="fifo", vmlinux_dir=guest.kernel.headers)
    verdict = verify_object(made.data, ("nothing=1",), guest.machine).verdict
    assert (verdict.accepted, verdict.rejection.stage) == (False, "kernel")
    assert "no knob 'nothing'" in verdict.rejection.reason


def test_a_policy_can_be_loaded_again_and_again_in_one_guest(guest):
    given = policy("rr")
    made = compile_policy(given.source, name="rr", vmlinux_dir=guest.kernel.headers)
    hogs = GuestStep("run", ("adversary", "W1", "seconds=0.3"))
    round_ = (GuestStep("attach", (OBJECT,)), hogs, GuestStep("detach"))
    report = run(GuestJob({OBJECT: made.data}, round_ * 3), guest.machine)
    assert [event.ok for event in report.events] == [True] * 9
    assert [e.enable_seq for e in report.events if isinstance(e, Attached)] == [1, 2, 3]


def test_the_command_prints_the_fixed_shape_and_its_exit_status(guest):
    accepted = subprocess.run(
        [SCHEDCP, "verify", "bpf/library/fifo.bpf.c", "--json"], capture_output=True, text=True, check=False
    )
    printed = contract(accepted.stdout)
    assert accepted.returncode == 0 and printed["accepted"] is True and printed["rejection"] is None
    assert all(set(stage) >= {"name", "ok", "seconds"} for stage in printed["stages"])
    assert Path(printed["token"]).is_file()
    bad = sorted(PLANTED.glob("*_fails.bpf.c"))[0]
    rejected = subprocess.run([SCHEDCP, "verify", bad, "--json"], capture_output=True, text=True, check=False)
    printed = contract(rejected.stdout)
    assert rejected.returncode == 3 and printed["accepted"] is False and printed["token"] is None
    assert set(printed["rejection"]) >= {"stage", "reason", "evidence"}


def test_a_verdict_names_the_topologies_that_it_holds_for(guest):
    made = compile_policy(policy("percpu").source, name="percpu", vmlinux_dir=guest.kernel.headers)
    large = Topology(8, llcs=2, smt=2)
    verdict = verify_object(made.data, (), guest.machine, topologies=(large,)).verdict
    assert verdict.accepted, verdict.rejection
    assert [stage.topologies for stage in verdict.stages] == [(), (guest.machine.topology, large), ()]

# SPDX-License-Identifier: Apache-2.0
"""The adversarial suite in real guests: its steps, what it reports, and bugs that only some of its guests can see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bpf.build import compile_policy
from bpf.library import policy
from policy_lake.events import Attached
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.topology import Topology
from verifier_vm.judge.facts import read_facts
from verifier_vm.judge.gate import OBJECT, verify_object, verify_part
from verifier_vm.judge.part import Exercise, Part
from verifier_vm.judge.readings import read_run
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
PLANTED = Path(__file__).parent.parent / "policies"


def made(guest, name):
    path = PLANTED / f"{name}.bpf.c"
    source = path.read_text() if path.is_file() else policy(name).source
    return compile_policy(source, name=path.name, vmlinux_dir=guest.kernel.headers).data


def adversary(*args, label="policy:x", timeout_s=60):
    return GuestStep("run", ("adversary", *args), label, timeout_s=timeout_s)


def test_eevdf_is_what_the_limits_suppose(guest):
    steps = [adversary(w, "seconds=0.6", label=f"baseline:{w}") for w in ("W1", "W10", "W11", "W15")]
    hogs, sparse, full, yields = (read_run(event) for event in run(GuestJob({}, tuple(steps)), guest.machine).events)
    assert hogs["W1-hog"].work_ms > 0.95 * hogs.capacity_ms and hogs["W1-hog"].jain > 0.9
    assert sparse["W10-sparse"].delay_ms < 0.02 * sparse.wall_ms
    assert full["W11-hog"].work_ms > 0.95 * full.capacity_ms
    assert yields.figure("handovers") > 0.5 * yields.figure("yields") > 0


def test_a_workload_leaves_the_guest_as_it_was(guest):
    steps = (adversary("W9", "seconds=0.3"), adversary("W12", "seconds=0.2"), adversary("W12-shares", "seconds=0.2"))
    report = run(GuestJob({}, (*steps, adversary("W1", "seconds=0.1"))), guest.machine)
    assert [event.ok for event in report.events] == [True] * 4, report.events
    plugged = read_run(report.events[0])
    assert plugged.figure("cpus_online") == guest.machine.cpus and not plugged.figure("hotplug_errors")
    assert not any(event.err for event in report.events), [event.err for event in report.events]


def test_what_the_suite_does_not_know_is_told(guest):
    event = run(GuestJob({}, (adversary("W99"),)), guest.machine).events[0]
    assert (event.ok, event.exit) == (False, 2) and "no workload 'W99'" in event.err


def test_a_program_runs_beside_the_steps_between_start_and_stop(guest):
    steps = (
        GuestStep("start", ("adversary", "W1", "hogs=2", "seconds=60"), "load"),
        adversary("W1", "hogs=2", "seconds=0.5"),
        GuestStep("stop", (), "unload"),
        adversary("W1", "hogs=2", "seconds=0.5"),
    )
    events = run(GuestJob({}, steps), guest.machine).events
    assert [event.ok for event in events] == [True] * 4
    beside, alone = (read_run(events[index])["W1-hog"].run_ms for index in (1, 3))
    assert beside < 0.7 * alone


def test_the_loader_tells_callbacks_and_the_kernel_counts_events(guest):
    steps = (GuestStep("attach", (OBJECT,)), adversary("W1", "seconds=0.2"), GuestStep("detach"))
    attach, hogs, _ = run(GuestJob({OBJECT: made(guest, "rr")}, steps), guest.machine).events
    assert read_facts(attach).callbacks >= {"select_cpu", "enqueue", "cpu_online", "exit"}
    assert "yield" not in read_facts(attach).callbacks and read_facts(attach).flags & 1
    assert hogs.counters.before and hogs.counters.after


def test_the_last_words_of_a_run_that_the_policy_did_not_survive_are_kept(guest):
    steps = (GuestStep("attach", (OBJECT, "ops.timeout_ms=1000")), adversary("W1+W2+W5+W6+W8+W20", "seconds=5"))
    report = run(GuestJob({OBJECT: made(guest, "f13_queue_by_pid_fails")}, steps), guest.machine)
    died = report.events[1]
    assert not died.ok and not died.timed_out
    assert max(group["gap_ms"] for group in json.loads(died.out)["groups"].values()) > 500


@pytest.mark.parametrize(
    ("name", "exercise", "bug"),
    [
        ("f14_no_lag_limit_fails", Exercise("W7", "W7", 5.7, ("nap_ms=2800",)), "F14"),
        ("f15_no_enable_fails", Exercise("W8", "W8", 2.0, ("child_us=20000",), base_s=1.0), "F15"),
        ("f40_yield_ignored_fails", Exercise("W15", "W15", 0.05, base_s=0.05), "F40"),
    ],
)
def test_a_bug_that_the_source_shows_is_seen_at_work_too(guest, name, exercise, bug):
    part = Part("one", (exercise, Exercise("W1", "W1", 0.3, base_s=0.3)))
    rejection = verify_part(made(guest, name), (), guest.machine, part).verdict.rejection
    assert rejection is not None and rejection.bug == bug, rejection


def test_a_cpu_that_a_task_may_not_use_is_counted_where_a_mask_can_be_narrow(guest):
    part = Part("four", (Exercise("W5", "W5", 1.0, ("narrow_ms=10",)),), Topology(4))
    machine = replace(guest.machine, topology=part.topology)
    rejection = verify_part(made(guest, "f12_wrong_cpu_fails"), (), machine, part, check_all=True).verdict.rejection
    assert rejection is not None and (rejection.bug, rejection.place) == ("F12", "W5"), rejection
    assert verify_part(made(guest, "fifo"), (), machine, part).verdict.accepted


def test_who_needs_cgroups_may_ask_for_them(guest):
    assert verify_object(made(guest, "fifo"), (), guest.machine, cgroups=True).verdict.rejection.bug == "F41"


def test_one_cpu_is_a_guest_like_others(guest):
    part = Part("1 CPU", (Exercise("mix", "W1+W5+W6+W8+W9+W10", 1.0), Exercise("W4", "W4", 0.5, base_s=0.5)), reloads=1)
    result = verify_part(made(guest, "vtime"), (), replace(guest.machine, topology=Topology(1)), part)
    assert result.verdict.accepted, result.verdict.rejection
    assert [event.enable_seq for event in result.report.events if isinstance(event, Attached)] == [1, 2]

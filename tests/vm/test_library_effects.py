# SPDX-License-Identifier: Apache-2.0
"""What library policies are for, seen in a guest: each by the figure that its mechanism moves."""

from __future__ import annotations

import json

import pytest

from bpf.build import compile_policy
from bpf.library import policy
from policy_lake.guest import GuestJob, GuestStep
from verifier_vm.judge.gate import OBJECT, verify_object
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
SCHBENCH = (
    "schbench", "-m", "2", "-t", "4", "-s", "1000", "-n", "1", "-F", "256", "--runtime-ms", "300", "--seed", "7",
)  # fmt: skip
WAKEUP = (
    "wakeup", "--sleepers", "8", "--hogs-per-cpu", "2", "--wakeups", "40", "--think-us", "5000", "--work", "500",
    "--seed", "7",
)  # fmt: skip


@pytest.fixture
def made(guest):
    def compile_it(name):
        return compile_policy(policy(name).source, name=name, vmlinux_dir=guest.kernel.headers).data

    return compile_it


@pytest.fixture
def figures(guest, made):
    """What a program prints under a policy with those knobs."""

    def measure(program, name, *knobs):
        attach = GuestStep("attach", (OBJECT, *knobs))
        steps = (attach, GuestStep("run", program, "program"), GuestStep("detach"))
        report = run(GuestJob({OBJECT: made(name)}, steps), guest.machine)
        assert all(event.ok for event in report.events), report.events
        return json.loads(report.ran("program").out.splitlines()[-1])

    return measure


def test_admission_moves_the_waiting_to_before_a_request_is_begun(figures):
    fifo, held = figures(SCHBENCH, "fifo"), figures(SCHBENCH, "admission")
    open_door = figures(SCHBENCH, "admission", "hold_ns=0")
    assert held["request_p99_us"] < 0.85 * fifo["request_p99_us"]
    assert held["wakeup_p50_us"] > 5 * fifo["wakeup_p50_us"], "that is where it goes"
    assert open_door["rps"] > held["rps"], "nor does it come for nothing"


def test_cgroup_keeps_weights_and_quotas_where_that_is_asked_for(guest, made):
    verdict = verify_object(made("cgroup"), (), guest.machine, cgroups=True).verdict
    assert verdict.accepted, verdict.rejection
    assert not [finding for stage in verdict.stages for finding in stage.findings if finding.bug == "F41"]


def test_layers_put_off_what_a_rule_names(figures):
    rules = ("layer_comm=wakeup-h", "layer_put_off_ns=100000000", "layer_slice_ns=1000000")
    ruled, plain = figures(WAKEUP, "layers", *rules), figures(WAKEUP, "layers")
    elsewhere = figures(WAKEUP, "layers", "layer_comm=akeup-h", *rules[1:])
    assert ruled["p99_us"] < 0.4 * plain["p99_us"]
    assert elsewhere["p99_us"] > 0.8 * plain["p99_us"], "a rule is the beginning of a name"

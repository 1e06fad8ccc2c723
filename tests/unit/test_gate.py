# SPDX-License-Identifier: Apache-2.0
"""The gate's reading of a guest's events; the golden ones were recorded from the real kernel 7.3.4."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from policy_lake.model import LostVMError
from verifier_vm.console import (
    kernel_death,
    kernel_warnings,
    shorten_verifier_log,
    verifier_complaint,
    why_disabled,
)
from verifier_vm.gate import read_verdict, verdict_of_death

GOLDEN = Path(__file__).parent.parent / "golden"


def events(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def verdict(changed):
    return read_verdict(changed, b"object", kernel="7.3.4")


def test_a_policy_that_survived_is_accepted():
    given = verdict(events("accepted"))
    assert given.accepted and given.rejection is None and given.ops == "plain"
    assert [(s.name, s.ok) for s in given.stages] == [("kernel", True), ("survive", True), ("exit", True)]


def test_the_verifiers_own_words_are_the_reason_and_the_evidence():
    given = verdict(events("rejected_by_verifier"))
    assert (given.accepted, given.rejection.stage) == (False, "kernel")
    assert given.rejection.reason == (
        "the kernel's BPF verifier: R3 invalid mem access 'scalar' (at pf_enqueue @ fifo.bpf.c:13:65)"
    )
    assert "R3 is an integer scalar here" in given.rejection.evidence
    assert [(s.name, s.ok) for s in given.stages] == [("kernel", False)]


def test_a_stall_is_told_in_the_kernels_words_though_they_arrive_a_step_late():
    given = verdict(events("stalled"))
    assert given.rejection.stage == "survive"
    assert given.rejection.reason.startswith("runnable task stall: ")
    assert "failed to run for" in given.rejection.reason
    assert "disabled (runnable task stall)" in given.rejection.evidence


def changed(path, value, name="accepted"):
    made = copy.deepcopy(events(name))
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return made


REASONS = [
    ((1, "sched", "after", "ops"), "other", "survive", "state went to"),
    ((1, "sched", "after", "enable_seq"), 2, "survive", "state went to"),
    ((1, "attached"), 3, "survive", "state went to"),
    ((1, "kmsg"), ["WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1"], "survive", "the kernel warned"),
    ((1, "kmsg"), ["watchdog: BUG: soft lockup - CPU#1 stuck for 22s!"], "survive", "the kernel warned"),
    ((1, "kmsg"), ["rcu: INFO: rcu_preempt self-detected stall on CPU"], "survive", "the kernel warned"),
    ((0, "kmsg"), ["BUG: unable to handle page fault for address: 0"], "kernel", "the kernel warned"),
    ((2, "kmsg"), ["WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1"], "exit", "taken off"),
    ((2, "ok"), False, "exit", "could not be taken off"),
    ((2, "exit_record"), "exit\t1025\t0\tscx_bpf_error\tno context", "exit", "scx_bpf_error: no context"),
    (
        (1, "out"),
        '{"max_gap_ms":2500.0,"gap_of":"pinned","without_progress":0}',
        "survive",
        "a pinned made no progress",
    ),
    ((1, "out"), '{"max_gap_ms":10.0,"gap_of":"hog","without_progress":1}', "survive", "a hog made no progress"),
    ((1, "ok"), False, "survive", "failed with exit status"),
]


@pytest.mark.parametrize(("path", "value", "stage", "words"), REASONS)
def test_whatever_is_off_rejects_at_its_stage(path, value, stage, words):
    given = verdict(changed(path, value))
    assert not given.accepted
    assert (given.rejection.stage, words in given.rejection.reason) == (stage, True), given.rejection
    assert not given.stages[-1].ok


@pytest.mark.parametrize("out", ["", "nonsense", "{}", '{"max_gap_ms":1}'])
def test_a_report_that_cannot_be_read_is_no_verdict(out):
    with pytest.raises(LostVMError):
        verdict(changed((1, "out"), out))


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_too_few_events_are_no_verdict(kept):
    with pytest.raises(LostVMError):
        verdict(events("accepted")[:kept])


@pytest.mark.parametrize(
    ("phase", "more", "stage", "words"),
    [
        (
            "open",
            {"log": "loader: no struct_ops in the object: it is no sched_ext policy"},
            "object",
            "no sched_ext policy",
        ),
        ("crash", {"log": "", "loader_signal": 11}, "object", "crashed"),
        ("crash", {"log": "", "timed_out": True}, "object", "within its limit"),
        ("attached", {"exit_record": "exit\t1025\t0\tscx_bpf_error\tinit failed"}, "attach", "init failed"),
    ],
)
def test_what_fails_before_the_kernel_has_it(phase, more, stage, words):
    event = {"verb": "attach", "ok": False, "seconds": 0.1, "phase": phase, "ops": "", "kmsg": [], "log": "", **more}
    given = verdict([event])
    assert (given.rejection.stage, words in given.rejection.reason) == (stage, True), given.rejection


def test_a_kernel_that_died_rejects_and_a_silent_guest_does_not():
    console = (GOLDEN / "panic.console").read_text()
    assert kernel_death(console) == "Kernel panic - not syncing: sysrq triggered crash"
    assert verdict_of_death(LostVMError("gone", console), b"x").rejection.stage == "survive"
    with pytest.raises(LostVMError):
        verdict_of_death(LostVMError("gone", "[ 0.1] tsc: Unable to calibrate against PIT"), b"x")


def test_a_verifier_log_is_shortened_to_what_a_person_reads():
    log = (GOLDEN / "verifier_scalar.log").read_text()
    short = shorten_verifier_log(log)
    assert ">>>" in short and "2: R1=trusted_ptr_task_struct()" not in short
    assert verifier_complaint("libbpf: failed to open x: -22\nlibbpf: more") == "failed to open x: -22"
    assert verifier_complaint("") == "the kernel refused the object without saying why"


def test_ordinary_lines_are_no_warnings():
    calm = [
        'sched_ext: BPF scheduler "x" enabled',
        "sched_ext: plain: watchdog timeout 2000ms <= rescue overload threshold 4096ms",
        "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable",
        "hrtimer: interrupt took 1200 ns",
    ]
    assert kernel_warnings(calm) == () and why_disabled(calm) is None
    assert why_disabled(['sched_ext: BPF scheduler "x" disabled (unregistered from user space)']) is None

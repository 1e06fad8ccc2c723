# SPDX-License-Identifier: Apache-2.0
"""The gate's reading of a guest's events; the golden ones were recorded from the real kernel 7.3.4."""

from __future__ import annotations

import pytest
from gate_events import GOLDEN, changed, events, labelled, verdict

from policy_lake.model import Finding, LostVMError, Rejection, Stage, Verdict
from verifier_vm.judge.console import (
    kernel_death,
    kernel_warnings,
    shorten_verifier_log,
    verifier_complaint,
    why_disabled,
)
from verifier_vm.judge.stages import may_be_the_host, merged, verdict_of_death


def test_a_policy_that_survived_is_accepted():
    given = verdict(events("accepted"))
    assert given.accepted and given.rejection is None and given.ops == "percpu"
    assert [(s.name, s.ok) for s in given.stages] == [("kernel", True), ("survive", True), ("fair", True)]
    # What it leaves undone is said, and no more: it ignores nice levels, and like all others the weights of cgroups.
    assert {finding.bug for stage in given.stages for finding in stage.findings} == {"F16", "F41"}


def test_the_verifiers_own_words_are_the_reason_and_the_evidence():
    given = verdict(events("rejected_by_verifier"))
    assert (given.accepted, given.rejection.stage, given.rejection.bug) == (False, "kernel", "null")
    assert given.rejection.reason == (
        "the kernel's BPF verifier: R1 invalid mem access 'trusted_ptr_or_null_'"
        " (at null_dispatch @ null_fails.bpf.c:16:16)"
    )
    assert given.rejection.place == "null_fails.bpf.c:16" and "NULL" in given.rejection.advice
    assert "null_dispatch" in given.rejection.evidence and "has:" not in given.rejection.evidence
    assert [(s.name, s.ok) for s in given.stages] == [("kernel", False)]


def test_a_stall_is_told_in_the_kernels_words_though_they_arrive_a_step_late():
    given = verdict(events("stalled"))
    assert (given.rejection.stage, given.rejection.bug) == ("survive", "F13")
    assert given.rejection.reason.startswith("runnable task stall: W")
    assert "failed to run for" in given.rejection.reason
    assert "disabled (runnable task stall)" in given.rejection.evidence
    assert [stage.name for stage in given.stages] == ["kernel", "survive"]


REASONS = [
    ("policy:mix", ("sched", "after", "ops"), "other", "state went to"),
    ("policy:mix", ("sched", "after", "enable_seq"), 2, "state went to"),
    ("policy:W1", ("attached",), 3, "state went to"),
    ("policy:W7", ("kmsg",), ["WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1"], "the kernel warned"),
    ("policy:W7", ("kmsg",), ["watchdog: BUG: soft lockup - CPU#1 stuck for 22s!"], "the kernel warned"),
    ("policy:W7", ("kmsg",), ["rcu: INFO: rcu_preempt self-detected stall on CPU"], "the kernel warned"),
    ("policy:W3", ("timed_out",), True, "did not end in time"),
    ("policy:W3", ("ended",), False, "did not end in time"),
    ("detach", ("kmsg",), ["WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1"], "taken off"),
    ("detach", ("ok",), False, "could not be taken off"),
    ("detach", ("exit_record",), "exit\t1025\t0\tscx_bpf_error\tno context", "scx_bpf_error: no context"),
    ("unload", ("ok",), False, "the load beside it"),
]


@pytest.mark.parametrize(("label", "path", "value", "words"), REASONS)
def test_whatever_is_off_while_it_is_on_rejects_at_survive(label, path, value, words):
    given = verdict(changed(label, path, value))
    assert not given.accepted
    assert (given.rejection.stage, words in given.rejection.reason) == ("survive", True), given.rejection
    assert not given.stages[-1].ok and given.stages[-1].name == "survive"


def test_a_kernel_that_warns_while_loading_rejects_at_kernel():
    given = verdict(changed("attach", ("kmsg",), ["BUG: unable to handle page fault for address: 0"]))
    assert (given.rejection.stage, given.rejection.reason[:24]) == ("kernel", "the kernel warned while ")


def test_all_findings_are_read_when_asked_for():
    given = verdict(changed("detach", ("ok",), False), check_all=True)
    assert [(stage.name, stage.ok) for stage in given.stages] == [("kernel", True), ("survive", False), ("fair", True)]


@pytest.mark.parametrize("out", ["", "nonsense", "{}", '{"groups":{}}', '{"groups":{"a":{}},"figures":{}}', "[]"])
def test_a_report_that_cannot_be_read_is_no_verdict(out):
    with pytest.raises(LostVMError):
        verdict(changed("policy:W3", ("out",), out))


@pytest.mark.parametrize("kept", [0, 1, 2, 8, 16, 18, 20])
def test_too_few_events_are_no_verdict(kept):
    with pytest.raises(LostVMError):
        verdict(events("accepted")[:kept])


@pytest.mark.parametrize("label", ["base:W1", "base:W15"])
def test_a_comparison_that_failed_is_no_verdict(label):
    with pytest.raises(LostVMError):
        verdict(changed(label, ("ok",), False))


def test_measurements_after_the_suite_are_not_its_own():
    own = events("accepted")
    later = {**labelled(own, "base:W1"), "label": "policy-0", "ok": False, "out": "no JSON"}
    assert verdict([*own, later]).accepted


LOADING = [
    ("open", {"log": "has: init\nloader: no struct_ops in the object: it is no policy"}, "elf", "it is no policy"),
    ("crash", {"log": "", "loader_signal": 11}, "elf", "crashed"),
    ("crash", {"log": "", "timed_out": True}, "elf", "within its limit"),
    ("attached", {"exit_record": "exit\t1025\t0\tscx_bpf_error\tinit failed"}, "F29", "init failed"),
    ("attach", {"log": "loader: cannot attach: Argument list too long"}, "ops", "too long"),
]


@pytest.mark.parametrize(("phase", "more", "bug", "words"), LOADING)
def test_what_the_kernel_never_had_is_told_in_the_loaders_words(phase, more, bug, words):
    event = {"verb": "attach", "label": "attach", "ok": False, "seconds": 0.1, "phase": phase, "ops": "", "kmsg": []}
    given = verdict([{**event, "log": "", **more}])
    found = given.rejection
    assert (found.stage, found.bug, words in found.reason) == ("kernel", bug, True), found


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


def test_on_a_busy_host_what_is_a_matter_of_time_is_looked_at_again():
    def rejected(stage, reason):
        return Verdict(False, Rejection(stage, reason, ""), ())

    assert may_be_the_host(rejected("survive", "runnable task stall: x[1] failed to run for 2.0s"))
    assert may_be_the_host(rejected("survive", "a W1-hog made no progress for 2010 ms (limit 2000 ms)"))
    assert may_be_the_host(rejected("fair", "CPUs idled while hogs waited"))
    assert not may_be_the_host(rejected("survive", "runtime error: non-existent DSQ 0x1"))
    assert not may_be_the_host(rejected("kernel", "loading did not end within its limit"))
    assert not may_be_the_host(Verdict(True, None, ()))


def test_several_guests_make_one_verdict():
    note = Finding("F16", "note", "flat", "W4")
    no = Finding("F21", "reject", "idle", "W10", "kick")
    good = Verdict(True, None, (Stage("kernel", True, 1.0), Stage("fair", True, 2.0, (note,), "a")), "x", "d", "k")
    bad = Verdict(
        False, Rejection("fair", "idle", "b"), (Stage("kernel", True, 1.0), Stage("fair", False, 3.0, (note, no), "b"))
    )
    both = merged([good, bad])
    assert not both.accepted and both.rejection.reason == "idle"
    assert [(s.name, s.ok, s.seconds) for s in both.stages] == [("kernel", True, 2.0), ("fair", False, 5.0)]
    assert both.stages[1].findings == (note, no) and both.stages[1].evidence == "a\nb"
    assert merged([good, good]).accepted

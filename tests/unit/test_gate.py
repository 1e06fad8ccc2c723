# SPDX-License-Identifier: Apache-2.0
"""The gate's reading of a guest's events; the golden ones were recorded from the real kernel 7.3.4."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_events import GOLDEN, changed, events, labelled, verdict

from policy_lake.codes import Code
from policy_lake.errors import InfraError, LostVMError
from policy_lake.events import Attached, NotDone, SchedState
from policy_lake.exit_record import ExitRecord
from policy_lake.model import Finding, Rejection, Stage, Verdict
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
    assert given.rejection.code == Code.REFUSED_BY_VERIFIER
    for words in ("R1 invalid mem access 'trusted_ptr_or_null_'", "null_dispatch @ null_fails.bpf.c:16:16"):
        assert words in given.rejection.reason, "the kernel's own"
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
    ("policy:mix", "sched.after.ops", "other", Code.FELL_OFF),
    ("policy:mix", "sched.after.enable_seq", 2, Code.FELL_OFF),
    ("policy:W1", "sched.attached", 3, Code.FELL_OFF),
    ("policy:W7", "kmsg", ("WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1",), Code.KERNEL_WARNING),
    ("policy:W7", "kmsg", ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s!",), Code.LOCKUP),
    ("policy:W7", "kmsg", ("rcu: INFO: rcu_preempt self-detected stall on CPU",), Code.LOCKUP),
    ("policy:W3", "timed_out", True, Code.HUNG),
    ("policy:W3", "ended", False, Code.HUNG),
    ("detach", "kmsg", ("WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1",), Code.KERNEL_WARNING),
    ("detach", "ok", False, Code.NOT_DETACHED),
    ("detach", "exit_record", ExitRecord(1025, 0, "scx_bpf_error", "no context"), Code.EXIT_ERROR),
    ("detach", "exit_record", ExitRecord(1026, 0, "runnable task stall", "x"), Code.STALL),
    ("unload", "ok", False, Code.LOAD_BESIDE),
]


@pytest.mark.parametrize(("label", "path", "value", "code"), REASONS)
def test_whatever_is_off_while_it_is_on_rejects_at_survive(label, path, value, code):
    given = verdict(changed(label, path, value))
    assert not given.accepted and given.rejection.reason
    assert (given.rejection.stage, given.rejection.code) == ("survive", code), given.rejection
    assert not given.stages[-1].ok and given.stages[-1].name == "survive"


@pytest.mark.parametrize(
    ("label", "verb", "code"),
    [
        ("policy:W3", "run", Code.WORKLOAD_FAILED),
        ("load", "start", Code.LOAD_BESIDE),
        ("unload", "stop", Code.LOAD_BESIDE),
    ],
)
def test_a_step_that_the_guest_could_not_begin_under_the_policy_rejects(label, verb, code):
    made = [
        NotDone(label=label, ok=False, seconds=0.0, verb=verb, err="cannot start") if event.label == label else event
        for event in events("accepted")
    ]
    assert verdict(made).rejection.code == code


@pytest.mark.parametrize(("label", "verb"), [("attach", "attach"), ("detach-1", "detach"), ("attach-1", "attach")])
def test_an_attachment_that_the_guest_could_not_begin_is_no_verdict(label, verb):
    made = events("accepted")
    failed = NotDone(label=label, ok=False, seconds=0.0, verb=verb, err="cannot fork")
    with pytest.raises(InfraError, match=f"'{label}'.*cannot fork"):
        verdict([failed] if label == "attach" else [*made, failed])


def test_a_kernel_that_warns_while_loading_rejects_at_kernel():
    given = verdict(changed("attach", "kmsg", ("BUG: unable to handle page fault for address: 0",)))
    assert (given.rejection.stage, given.rejection.code) == ("kernel", Code.KERNEL_WARNING)


def test_all_findings_are_read_when_asked_for():
    given = verdict(changed("detach", "ok", False), check_all=True)
    assert [(stage.name, stage.ok) for stage in given.stages] == [("kernel", True), ("survive", False), ("fair", True)]


@pytest.mark.parametrize(
    "out", ["", "nonsense", "{}", "[" * 100_000, '{"groups":{}}', '{"groups":{"a":{}},"figures":{}}', "[]"]
)
def test_a_report_that_cannot_be_read_is_no_verdict(out):
    with pytest.raises(LostVMError):
        verdict(changed("policy:W3", "out", out))


@pytest.mark.parametrize("kept", [0, 1, 2, 8, 16, 18, 20])
def test_too_few_events_are_no_verdict(kept):
    with pytest.raises(LostVMError):
        verdict(events("accepted")[:kept])


@pytest.mark.parametrize("label", ["baseline:W1", "baseline:W15"])
def test_a_comparison_that_failed_is_no_verdict(label):
    with pytest.raises(LostVMError):
        verdict(changed(label, "ok", False))


def test_measurements_after_the_suite_are_not_its_own():
    own = events("accepted")
    later = replace(labelled(own, "baseline:W1"), label="policy-0", ok=False, out="no JSON")
    assert verdict([*own, later]).accepted


LOADING = [
    ("open", {"log": "has: init\nloader: no struct_ops in the object: it is no policy"}, "elf", Code.DAMAGED_OBJECT,
     "no struct_ops"),
    ("crash", {"loader_signal": 11}, "elf", Code.DAMAGED_OBJECT, "11"),
    ("crash", {"timed_out": True}, "elf", Code.LOAD_TIMEOUT, ""),
    ("load", {"log": "libbpf: infinite loop detected"}, "F36", Code.REFUSED_BY_VERIFIER, "infinite loop"),
    ("attached", {"exit_record": ExitRecord(1025, 0, "scx_bpf_error", "init failed")}, "F29", Code.REFUSED_ON_ATTACH,
     "init failed"),
    ("attach", {"log": "loader: cannot attach: Argument list too long"}, "ops", Code.REFUSED_ON_ATTACH, "too long"),
]  # fmt: skip


@pytest.mark.parametrize(("phase", "more", "bug", "code", "words"), LOADING)
def test_what_the_kernel_never_had_is_told_in_the_loaders_words(phase, more, bug, code, words):
    off = SchedState("disabled", "", 0)
    event = Attached(label="attach", ok=False, seconds=0.1, phase=phase, ops="", enable_seq=0, sched=off, **more)
    rejection = verdict([event]).rejection
    assert (rejection.stage, rejection.bug, rejection.code) == ("kernel", bug, code), rejection
    assert words in rejection.reason


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


HOST = (
    Code.STALL, Code.LOCKUP, Code.NO_PROGRESS, Code.HUNG, Code.NEVER_RAN, Code.SHARE, Code.IDLE_CPU, Code.OVERHEAD,
    Code.LATENCY, Code.YIELD, Code.NICE, Code.CGROUP_SHARE,
)  # fmt: skip


@pytest.mark.parametrize("code", Code)
def test_what_is_a_matter_of_time_may_be_the_hosts_doing_and_nothing_else(code):
    assert may_be_the_host(Verdict(False, Rejection("survive", "", "", code=code), ())) == (code in HOST)
    assert not may_be_the_host(Verdict(False, Rejection("kernel", "", "", code=code), ()))
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

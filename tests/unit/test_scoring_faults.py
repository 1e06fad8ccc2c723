# SPDX-License-Identifier: Apache-2.0
"""What is made of a score's events when something went wrong: a rejection, or an error."""

from dataclasses import replace

import pytest
from score_runs import OFF, PAIRS, changed, honest, out, place, read

from policy_lake.codes import Code
from policy_lake.errors import InfraError, InputError
from policy_lake.events import Detached, NotDone
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.model import Rejection
from policy_lake.scores import Score


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sched.after.state", "disabled"),
        ("sched.before.state", "enabling"),
        ("sched.after.ops", "fifo"),
        ("sched.before.ops", ""),
        ("sched.after.enable_seq", 9),
        ("sched.before.enable_seq", 0),
        ("sched.attached", 14),
    ],
)
def test_a_policy_that_was_not_the_scheduler_all_through_is_rejected(path, value):
    outcome_read = read(changed("policy-1", path, value))
    assert isinstance(outcome_read, Rejection)
    assert (outcome_read.stage, outcome_read.code) == ("score", Code.FELL_OFF)
    assert repr(value) in outcome_read.evidence


def test_the_rejection_stands_though_the_guest_stopped_there_and_carries_the_kernels_words():
    events = changed("policy-1", "sched.after.state", "disabled")
    at = place(events, "policy-1")
    events[at] = replace(events[at], ok=False, kmsg=("sched_ext: ljf: runnable task stall (batch-long[77])",))
    outcome_read = read(events[: at + 1])
    assert isinstance(outcome_read, Rejection) and "runnable task stall" in outcome_read.evidence
    record = ExitRecord(1026, 0, "runnable task stall")
    last = Detached(label="", ok=False, seconds=0.1, sched=OFF, exit_record=record)
    assert "exit kind 1026, code 0: runnable task stall" in read([*events[: at + 1], last]).evidence


@pytest.mark.parametrize(
    ("path", "value", "code", "shown"),
    [
        ("timed_out", True, Code.HUNG, ""),
        ("signal", 9, Code.WORKLOAD_FAILED, "9"),
        ("exit", 1, Code.WORKLOAD_FAILED, "1"),
        ("ended", False, Code.WORKLOAD_FAILED, ""),
    ],
)
def test_a_workload_that_fails_is_the_policys_fault_under_it_and_ours_under_the_baseline(path, value, code, shown):
    events = changed("policy-0", path, value)
    outcome_read = read(changed("policy-0", "err", "batch: job 3 is wrong\n", events))
    assert isinstance(outcome_read, Rejection)
    assert outcome_read.code == code and shown in outcome_read.reason
    assert "job 3 is wrong" in outcome_read.evidence
    for label in ("baseline-0", "warm-up"):
        if (label, path) == ("warm-up", "exit"):
            continue
        with pytest.raises(InfraError, match=f"step '{label}'.*{shown}"):
            read(changed(label, path, value))


def test_a_program_that_ends_itself_before_anything_is_measured_was_asked_for_what_it_does_not_do():
    events = changed("warm-up", "err", "batch: --jobs must be from 2 on, not '0'\n", changed("warm-up", "exit", 2))
    with pytest.raises(InputError, match="workload 'batch' exited with 2 at once: batch: --jobs must be from 2 on"):
        read(events)


def test_a_policy_that_does_not_attach_again_is_rejected_with_the_log():
    events = changed("attach-2", "phase", "load", changed("attach-2", "ok", False))
    events = changed("attach-2", "log", "R1 invalid mem access", events)
    outcome_read = read(events[: place(events, "attach-2") + 1])
    assert (outcome_read.code, outcome_read.evidence) == (Code.REFUSED_ON_ATTACH, "R1 invalid mem access")


def test_a_policy_that_ends_by_itself_is_rejected():
    outcome_read = read(changed("detach-0", "exit_record", ExitRecord(1025, 3, "scx_bpf_error", "bad dsq")))
    assert (
        isinstance(outcome_read, Rejection)
        and outcome_read.code == Code.EXIT_ERROR
        and "bad dsq" in outcome_read.evidence
    )
    assert read(changed("detach-0", "ok", False)).code == Code.NOT_DETACHED


@pytest.mark.parametrize("record", [ExitRecord(), ExitRecord(ExitKind.NONE), ExitRecord(ExitKind.UNREG)])
def test_a_policy_without_an_exit_record_of_ours_is_scored(record):
    assert isinstance(read(changed("detach-0", "exit_record", record)), Score)


def test_a_step_that_the_guest_could_not_begin_is_no_score():
    events = honest()
    for label, verb in (("warm-up", "run"), ("policy-0", "run"), ("attach-0", "attach"), ("detach-0", "detach")):
        failed = NotDone(label=label, ok=False, seconds=0.0, verb=verb, err="cannot fork")
        with pytest.raises(InfraError, match=f"step '{label}'.*cannot fork"):
            read([failed if event.label == label else event for event in events])


@pytest.mark.parametrize(
    ("label", "path", "value"),
    [
        ("attach-0", "ops", ""),
        ("policy-0", "ok", False),
        ("baseline-1", "sched.before.state", "enabled"),
        ("baseline-1", "sched.after.state", "disabling"),
        ("baseline-1", "sched.after.enable_seq", 7),
        ("warm-up", "sched.after.state", "enabled"),
        ("policy-2", "label", "policy-1"),
        ("detach-2", "label", ""),
    ],
)
def test_a_report_that_proves_nothing_is_an_error(label, path, value):
    with pytest.raises(InfraError):
        read(changed(label, path, value))


def test_no_sample_is_no_proof_and_another_kind_of_event_no_run():
    with pytest.raises(InfraError, match="samples"):
        read(changed("policy-0", "sched.samples", 0, changed("policy-0", "sched.attached", 0)))
    events = honest()
    events[place(events, "policy-2")] = replace(events[place(events, "attach-2")], label="policy-2")
    with pytest.raises(InfraError, match="step 'policy-2'"):
        read(events)


@pytest.mark.parametrize("length", range(1 + 4 * PAIRS))
def test_a_report_cut_short_is_no_score(length):
    with pytest.raises(InfraError, match="ends before step"):
        read(honest()[:length])


@pytest.mark.parametrize("label", ["baseline-1", "policy-1"])
@pytest.mark.parametrize(
    "text",
    ["", "no json", "[1]", "{}", '{"makespan_ms": null}', '{"makespan_ms": NaN, "bound_ms": 1, "mean_end_ms": 1}',
     out(0), out(-3), out(float("inf")), '{"makespan_ms": 5, "bound_ms": 0, "mean_end_ms": 1}',
     '{"makespan_ms": 5, "bound_ms": 1}', '{"makespan_ms": true}', '{"makespan_ms": 1' + "0" * 400 + "}"],
)  # fmt: skip
def test_output_without_its_metrics_names_the_workload_and_the_step(label, text):
    with pytest.raises(InputError, match=f"workload 'batch', step '{label}'"):
        read(changed(label, "out", text))

# SPDX-License-Identifier: Apache-2.0
"""Steps of a score, and what is made of the guest's events: a score only with proof, a rejection, or an error."""

import json
from dataclasses import replace

import gate_events
import pytest
from score_cases import provenance

from benchmarks.measurement import measure
from benchmarks.rounds import Rounds
from benchmarks.scoring import Circumstances, Contender, pair_seed, read_score, score_steps
from benchmarks.workloads import workload
from policy_lake.codes import Code
from policy_lake.errors import InfraError, InputError
from policy_lake.events import Attached, Detached, ExitKind, ExitRecord, NotDone, Ran, SchedState, Watch
from policy_lake.model import Candidate, Rejection, from_json, to_json
from policy_lake.scores import MeasurementPlan, Score

BATCH = workload("batch")
PAIRS = 5
ROUNDS = Rounds(PAIRS)
TAKES_MS = {"warm": 2000.0, "baseline": 2000.0, "policy": 1600.0, "control": 1800.0}
OFF = SchedState("disabled", "", 0)


def out(makespan):
    return json.dumps({"makespan_ms": makespan, "mean_end_ms": makespan / 2, "bound_ms": makespan * 0.9, "ok": True})


def event_of(step, seq):
    """What an honest guest reports for one step of a score; `seq` is the enable_seq so far."""
    base = {"label": step.label, "ok": True, "seconds": 1.5}
    under = seq > 0 and step.label.startswith(("policy", "control", "attach"))
    sched = SchedState("enabled", "ljf", seq) if under else replace(OFF, enable_seq=seq)
    if step.verb == "attach":
        return Attached(**base, phase="attached", ops="ljf", enable_seq=seq, sched=sched)
    if step.verb == "detach":
        return Detached(**base, sched=sched, exit_record=ExitRecord(64, 0, "unregistered from user space"))
    text = "hello\n" + out(TAKES_MS[step.label.partition("-")[0]]) + "\n"
    return Ran(
        **base, exit=0, signal=0, timed_out=False, ended=True, err="", out=text, dropped=0,
        sched=Watch(sched, sched, 15, 15),
    )  # fmt: skip


def steps_of(described=BATCH, rounds=ROUNDS, seed=1, arguments=()):
    contenders = {"policy": Contender("p.bpf.o", arguments), "control": Contender("c.bpf.o")}
    return score_steps(described, rounds, seed=seed, accel="tcg", **contenders)


def honest(described=BATCH, rounds=ROUNDS):
    events, seq = [], 0
    for step in steps_of(described, rounds):
        seq += step.verb == "attach"
        events.append(event_of(step, seq))
    return events


def read(events, described=BATCH, rounds=ROUNDS, *, policy="ljf", candidate="", run_id="", seed=1, **changes):
    measured = measure(described, events, rounds)
    if isinstance(measured, Rejection):
        return measured
    tried = Candidate(candidate, run_id, 1, policy, "", {"slice_ns": 5}, "", "")
    of = provenance(plan=MeasurementPlan(PAIRS, 0, seed))
    where = {"clock": "wall", "kernel": "7.3.4", "accel": "tcg", "topology": "2 CPUs"}
    return read_score(described, measured, Circumstances(tried, of, **(where | changes)))


def place(events, label):
    return next(index for index, event in enumerate(events) if event.label == label)


def changed(label, path, value, given=None):
    """The honest events with one field of the event `label` set to `value`."""
    return gate_events.changed(label, path, value, honest() if given is None else given)


def test_steps_warm_up_then_take_turns_with_one_seed_a_pair():
    steps = steps_of(seed=7, arguments=("slice_ns=5", "long=a,b"))
    order = ["warm-up", "baseline-0", "policy-0", "policy-1", "baseline-1", "baseline-2", "policy-2"]
    order += ["policy-3", "baseline-3", "baseline-4", "policy-4"]
    runs = [step for step in steps if step.verb == "run"]
    assert [step.label for step in runs] == order
    seeds = {step.label: step.args[step.args.index("--seed") + 1] for step in runs}
    assert all(seeds[f"baseline-{pair}"] == seeds[f"policy-{pair}"] == str(pair_seed(7, pair)) for pair in range(5))
    assert len(set(seeds.values())) == 5 and pair_seed(7, 99) < pair_seed(8, 0)
    for index, step in enumerate(steps):
        around = (steps[index - 1].verb, steps[(index + 1) % len(steps)].verb)
        assert (around == ("attach", "detach")) == step.label.startswith("policy")
        if step.verb == "attach":
            assert step.args == ("p.bpf.o", "slice_ns=5", "long=a,b")
        if step.verb == "run":
            assert step.timeout_s == BATCH.timeout_s


@pytest.mark.parametrize("pairs", [-1, 0, 101])
def test_too_few_or_too_many_pairs(pairs):
    with pytest.raises(InputError, match="pairs in a guest"):
        Rounds(pairs)


def test_an_a_a_run_attaches_nothing_and_a_baseline_is_asked_of_both_sides():
    steps = score_steps(BATCH, Rounds(PAIRS, attached=False), seed=1, accel="tcg", policy=None)
    assert {step.verb for step in steps} == {"run"} and len(steps) == 1 + 2 * PAIRS
    events = [event_of(step, 0) for step in steps]
    score = read(events, rounds=Rounds(PAIRS, attached=False), policy="eevdf")
    assert [(pair.baseline, pair.policy) for pair in score.pairs] == [(2000.0, 1600.0)] * PAIRS
    events = changed("policy-1", "sched.before.state", "enabled", events)
    with pytest.raises(InfraError, match="no baseline"):
        read(events, rounds=Rounds(PAIRS, attached=False))


def test_a_control_takes_turns_and_is_compared_in_the_same_rounds():
    rounds = Rounds(PAIRS, control=True)
    runs = [step.label for step in steps_of(rounds=rounds) if step.verb == "run"]
    assert runs[1:7] == ["baseline-0", "policy-0", "control-0", "policy-1", "control-1", "baseline-1"]
    score = read(honest(rounds=rounds), rounds=rounds, control="vtime")
    assert (score.control.policy, score.control.median, score.control.outcome) == ("vtime", 1800.0, "win")
    assert score.control.ratio.median == pytest.approx(1800 / 1600)
    assert read(honest()).control is None


def test_a_control_that_fails_says_nothing_of_the_policy():
    rounds = Rounds(PAIRS, control=True)
    events = changed("control-1", "exit", 1, honest(rounds=rounds))
    with pytest.raises(InfraError, match="the control failed"):
        read(events, rounds=rounds)


def test_later_rounds_have_seeds_of_their_own():
    first, later = (steps_of(rounds=Rounds(2, first=first)) for first in (0, 2))
    assert not {step.args for step in first if step.verb == "run"} & {step.args for step in later if step.verb == "run"}


def test_the_anytime_valid_interval_decides_and_not_the_narrower_one():
    noisy = honest()
    for pair, takes in enumerate((1500.0, 1900.0, 1700.0, 1650.0, 1850.0)):
        noisy = changed(f"policy-{pair}", "out", out(takes), noisy)
    score = read(noisy)
    assert score.ratio.ci95[0] > 1 > score.anytime95[0] and score.detectable > 1.05
    assert (score.outcome, score.doubt) == ("inconclusive", "interval")


def test_what_equal_runs_differ_by_is_no_win():
    assert (read(honest()).outcome, read(honest()).doubt) == ("win", "")
    assert read(honest(), floor=1.24).outcome == "win"
    assert (read(honest(), floor=1.26).outcome, read(honest(), floor=1.26).doubt) == ("inconclusive", "floor")


def test_guards_have_ratios_of_their_own():
    assert read(honest()).ratios["mean_end_ms"].median == pytest.approx(1.25)


def test_an_honest_report_gives_a_score():
    score = read(honest(), run_id="r1", candidate="c1", confirms="s0")
    assert isinstance(score, Score)
    assert [(pair.baseline, pair.policy, pair.seed) for pair in score.pairs] == [
        (2000.0, 1600.0, pair_seed(1, pair)) for pair in range(PAIRS)
    ]
    assert score.ratio.median == pytest.approx(1.25)
    assert score.bound == pytest.approx(2000 / (0.9 * 1600))  # of the two sides' bounds, the one that neither beat
    assert (score.outcome, score.attached, score.baseline, score.metric) == ("win", True, "eevdf", "makespan_ms")
    assert score.also == {
        "baseline_bound_ms": 1800, "policy_bound_ms": 1440, "baseline_mean_end_ms": 1000, "policy_mean_end_ms": 800,
    }  # fmt: skip
    assert from_json(Score, to_json(score)) == score


def test_no_ratio_is_above_its_bound_where_no_run_beat_its_own():
    """Seeds whose work differs: of the medians alone, 1500 / 1000, arithmetic would seem to be beaten by 1.6."""
    events = honest()
    for pair, (baseline, policy) in enumerate([(1500, 900), (1000, 1000), (1760, 1100), (1600, 1000), (1700, 1000)]):
        for label, takes in ((f"baseline-{pair}", baseline), (f"policy-{pair}", policy)):
            report = {"makespan_ms": takes, "mean_end_ms": takes, "bound_ms": policy, "ok": True}
            events = changed(label, "out", json.dumps(report), events)
    score = read(events)
    assert score.ratio.median == pytest.approx(1.6) == score.bound


def test_the_id_is_that_of_the_measurement():
    assert read(honest()).id == read(honest()).id != read(honest(), candidate="another").id
    assert read(honest()).id != read(changed("policy-1", "out", out(1599.0))).id


def test_steps_before_the_warm_up_and_events_after_the_end_do_not_disturb():
    attach, _, detach = honest()[2:5]
    before = [replace(attach, label="verify"), replace(detach, label="")]
    assert read([*before, *honest(), replace(detach, label="")]) == read(honest())


def test_a_metric_of_which_more_is_better():
    faster = replace(BATCH, direction="higher", bound="")
    score = read(honest(faster), faster)
    assert score.ratio.median == pytest.approx(0.8)
    assert (score.outcome, score.bound) == ("loss", None)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sched.after.state", "disabled", "after the run sched_ext was 'disabled'"),
        ("sched.before.state", "enabling", "before the run sched_ext was 'enabling'"),
        ("sched.after.ops", "fifo", "after the run 'fifo' was attached, not 'ljf'"),
        ("sched.before.ops", "", "before the run '' was attached"),
        ("sched.after.enable_seq", 9, "enable_seq was 9"),
        ("sched.before.enable_seq", 0, "enable_seq was 0"),
        ("sched.attached", 14, "attached in only 14 of 15 samples"),
    ],
)
def test_a_policy_that_was_not_the_scheduler_all_through_is_rejected(path, value, words):
    outcome_read = read(changed("policy-1", path, value))
    assert isinstance(outcome_read, Rejection)
    assert (outcome_read.stage, outcome_read.code) == ("score", Code.FELL_OFF) and "pair 1" in outcome_read.reason
    assert words in outcome_read.evidence


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
    ("path", "value", "code", "words"),
    [
        ("timed_out", True, Code.HUNG, "did not end within"),
        ("signal", 9, Code.WORKLOAD_FAILED, "was ended by signal 9"),
        ("exit", 1, Code.WORKLOAD_FAILED, "exited with 1"),
        ("ended", False, Code.WORKLOAD_FAILED, "left processes that would not die"),
    ],
)
def test_a_workload_that_fails_is_the_policys_fault_under_it_and_ours_under_the_baseline(path, value, code, words):
    events = changed("policy-0", path, value)
    outcome_read = read(changed("policy-0", "err", "batch: job 3 is wrong\n", events))
    assert isinstance(outcome_read, Rejection)
    assert outcome_read.code == code and words in outcome_read.reason
    assert "job 3 is wrong" in outcome_read.evidence
    for label in ("baseline-0", "warm-up"):
        if (label, path) == ("warm-up", "exit"):
            continue
        with pytest.raises(InfraError, match=f"step '{label}'.*{words}.*under the baseline"):
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

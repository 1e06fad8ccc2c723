# SPDX-License-Identifier: Apache-2.0
"""The steps of a score, and the events that an honest guest, or one that is not, reports of them."""

import json
from dataclasses import replace

import gate_events
from score_cases import provenance

from benchmarks.measurement import measure
from benchmarks.rounds import Rounds
from benchmarks.scoring import Circumstances, Contender, read_score, score_steps
from benchmarks.workloads import workload
from policy_lake.events import Attached, Detached, Ran, SchedState, Watch
from policy_lake.exit_record import ExitRecord
from policy_lake.model import Candidate, Rejection
from policy_lake.scores import MeasurementPlan

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

# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for the project's records, and plain ones for tests that need a certain one."""

from __future__ import annotations

from hypothesis import strategies as st

from policy_lake.measurement import Measurement, RunInputs
from policy_lake.model import Candidate, Knob, Lesson, Policy, PolicyPlan, Rejection, Stage, Verdict
from policy_lake.profile import CommandProfile, WorkloadProfile
from policy_lake.records import Regression, Rejected, Run
from policy_lake.scores import MeasurementPlan, Pair, Provenance, Ratio, Score
from policy_lake.tuned import NoSummary, RunError, TunedBaseline, TunedBest, TunedCandidate, TunedIteration, TuneResult

# No lone surrogates: JSON cannot carry them, and the lake refuses them (test_journal.py).
texts = st.text(st.characters(codec="utf-8"), max_size=40)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(min_value=0, max_value=2**53)
knob_value = st.one_of(st.integers(), numbers, texts, st.booleans())
knob_values = st.dictionaries(texts, knob_value, max_size=4)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), numbers, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def tuples(items: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(items, max_size=3).map(tuple)


knobs = st.builds(
    Knob,
    name=ids,
    kind=st.sampled_from(["int", "bool", "names", "ints"]),
    default=texts,
    doc=texts,
    low=st.none() | st.integers(),
    high=st.none() | st.integers(),
    unit=texts,
    count=counts,
)
policies = st.builds(
    Policy,
    id=ids,
    title=texts,
    summary=texts,
    good_for=texts,
    weak_at=texts,
    source=texts,
    knobs=tuples(knobs),
    workloads=tuples(ids),
    origin=st.sampled_from(["library", "user", "composed"]),
    mechanisms=tuples(st.tuples(texts, texts)),
)
command_profiles = st.builds(
    CommandProfile,
    comm=texts,
    tasks=counts,
    cpu_ms=numbers,
    cpu_ms_max_task=numbers,
    wait_ms=numbers,
    sleep_ms=numbers,
    wakeups=counts,
    switches=counts,
    burst_us_p50=numbers,
    burst_us_p99=numbers,
    wait_us_p50=numbers,
    wait_us_p99=numbers,
)
profiles = st.builds(
    WorkloadProfile,
    id=ids,
    workload=ids,
    cpus=counts,
    wall_s=numbers,
    cpu_s=numbers,
    parallelism=numbers,
    wakeups_per_s=numbers,
    commands=tuples(command_profiles),
    goal=texts,
    text=texts,
)
plans = st.builds(PolicyPlan, policy=ids, knob_values=knob_values, reason=texts, planner=texts)
candidates = st.builds(
    Candidate,
    id=ids,
    run_id=texts,
    iteration=counts,
    policy=ids,
    source=texts,
    knob_values=knob_values,
    reason=texts,
    planner=texts,
)
rejections = st.builds(Rejection, stage=texts, reason=texts, evidence=texts)
stages = st.builds(Stage, name=ids, ok=st.booleans(), seconds=numbers)
verdicts = st.builds(Verdict, accepted=st.just(False), rejection=rejections, stages=tuples(stages)) | st.builds(
    Verdict, accepted=st.just(True), rejection=st.none(), stages=tuples(stages), ops=texts, kernel=texts
)
ratios = st.builds(Ratio, median=numbers, ci95=st.tuples(numbers, numbers))
provenances = st.builds(
    Provenance, kernel_sha256=texts, image_sha256=texts, qemu=texts, clock=texts, cpus=counts, llcs=counts, smt=counts,
    nodes=counts, memory_mib=counts, workload_file=texts, workload_sha256=texts, object_sha256=texts,
    arguments=st.lists(texts, max_size=3).map(tuple),
    plan=st.builds(MeasurementPlan, pairs=counts, most_pairs=counts, seed=counts),
    numbers=st.dictionaries(texts, counts, max_size=3),
)  # fmt: skip
measurements = st.builds(
    Measurement, id=ids, workload=ids, policy=texts, metrics=st.dictionaries(texts, numbers, max_size=3),
    inputs=st.builds(
        RunInputs, snapshot=texts, clock=texts, program=st.lists(texts, max_size=3).map(tuple),
        metrics=st.lists(texts, max_size=3).map(tuple), work_seed=counts, guest_seed=counts, kernel_sha256=texts,
        image_sha256=texts, qemu=texts, cpus=counts, llcs=counts, smt=counts, nodes=counts, memory_mib=counts,
        workload_sha256=texts, object_sha256=texts, arguments=st.lists(texts, max_size=3).map(tuple),
    ),
    rejection=st.none() | st.builds(Rejection, stage=texts, reason=texts, evidence=texts),
    kernel=texts, accel=texts, fingerprint=texts, switch_hash=texts, virtual_s=numbers,
)  # fmt: skip
scores = st.builds(
    Score,
    id=ids,
    workload=ids,
    policy=ids,
    baseline=texts,
    knob_values=knob_values,
    metric=texts,
    unit=texts,
    clock=st.sampled_from(["wall", "virtual"]),
    cpus=counts,
    pairs=tuples(st.builds(Pair, baseline=numbers, policy=numbers, seed=st.integers())),
    ratio=ratios,
    bound=st.none() | numbers,
    attached=st.booleans(),
    outcome=st.sampled_from(["win", "loss", "inconclusive"]),
    run_id=texts,
    candidate=texts,
    kernel=texts,
    accel=texts,
    provenance=st.none() | provenances,
    also=st.dictionaries(texts, numbers, max_size=3),
)
lessons = st.builds(Lesson, id=ids, run_id=texts, workload=texts, policy=texts, text=texts)
ratios = st.builds(Ratio, median=numbers, ci95=st.tuples(numbers, numbers))
outcomes = st.sampled_from(["win", "loss", "inconclusive"])
tuned = st.builds(
    TuneResult,
    iterations=tuples(
        st.builds(
            TunedIteration,
            candidates=tuples(st.builds(
                TunedCandidate, knob_values=knob_values, ratio=st.none() | ratios, outcome=st.none() | outcomes
            )),
        )
    ),
    best=st.none() | st.builds(
        TunedBest, knob_values=knob_values, ratio=ratios, outcome=outcomes, bound=st.none() | numbers,
        baseline=st.builds(TunedBaseline, median=numbers),
    ),
    seconds=st.dictionaries(texts, numbers, max_size=3),
    warnings=tuples(texts),
)  # fmt: skip
summaries = st.one_of(tuned, st.builds(RunError, error=texts), st.just(NoSummary()))
runs = st.builds(
    Run,
    id=ids,
    workload=ids,
    status=st.sampled_from(["running", "done", "failed", "cancelled", "killed"]),
    started=texts,
    ended=texts,
    best=texts,
    summary=summaries,
)
rejecteds = st.builds(Rejected, candidate=candidates, rejection=rejections, workload=texts)

regressions = st.builds(Regression, id=ids, policy=texts, situation=texts, bug=texts, reason=texts)
records = st.one_of(
    policies, profiles, candidates, scores, rejecteds, lessons, runs, measurements, regressions
)  # fmt: skip


def policy(id: str, good_for: str = "tests", **fields) -> Policy:
    """A policy with only what a test cares for."""
    return Policy(id, f"Policy {id}", "A policy for tests.", good_for, "much else", "/* BPF C */", **fields)


def candidate(id: str, run: str = "run-1", **fields) -> Candidate:
    """A candidate of `run`."""
    return Candidate(id, run, 1, "ljf", "/* BPF C */", {"slice_us": 500}, "long jobs dominate", "embedded", **fields)


def score(id: str, run: str = "run-1", *, low: float = 1.1, outcome: str = "win", **fields) -> Score:
    """A score of a policy whose interval starts at `low`."""
    pairs = (Pair(10.0, 10.0 / low, 1),)
    ratio = Ratio(low + 0.1, (low, low + 0.2))
    kept = {"workload": "batch", "policy": "ljf", "attached": True, "cpus": 2, "run_id": run, **fields}
    fixed = {"baseline": "eevdf", "knob_values": {"slice_us": 500}, "metric": "makespan", "unit": "s", "clock": "wall"}
    return Score(id=id, pairs=pairs, ratio=ratio, bound=None, outcome=outcome, **fixed, **kept)

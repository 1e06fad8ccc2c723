# SPDX-License-Identifier: Apache-2.0
"""Many trials over one pool: what is shared, what is known, what a failure costs, and in which order results come."""

from __future__ import annotations

from dataclasses import replace

import pytest
from score_cases import PROVENANCE
from trial_cases import POLICY, Slots, spec

from policy_lake.errors import InfraError
from policy_lake.measurement import Measurement, RunInputs
from tasks.fleet.fan_out import Failure
from tasks.trial import drive as module
from tasks.trial.drive import MemoryStore, drive
from tasks.trial.spec import RunWork, VerifyWork
from tasks.trial.work import Done

OF = {name: getattr(PROVENANCE, name) for name in ("kernel_sha256", "image_sha256", "qemu", "cpus", "llcs", "smt")}
INPUTS = RunInputs(
    snapshot="s", clock="c", program=(), metrics=(), work_seed=1, guest_seed=1, nodes=1, memory_mib=512,
    workload_sha256="w", **OF,
)  # fmt: skip


def key(work) -> str:
    if not isinstance(work, RunWork):
        return ""
    return f"{work.policy.name if work.policy else 'eevdf'} {work.work_seed} {work.guest_seed}"


@pytest.fixture(autouse=True)
def keyed(monkeypatch):
    monkeypatch.setattr(module, "_key", key)


@pytest.fixture
def of(tmp_path):
    return spec(tmp_path)


def measured(work) -> Measurement:
    return Measurement(key(work), "batch", "", INPUTS, {"seed": float(work.work_seed)})


def run(of, seed, policy=None):
    return RunWork(of.workload, of.shape, of.settings, policy, seed, seed)


def compute(function, work):
    return Done(measured(work), (1.0, 2.0))


def asking(*batches):
    """A trial that asks for these batches, and returns all results."""
    results = []
    for batch in batches:
        results += yield batch
    return results


def seeds(outcome):
    return [result.metrics["seed"] for result in outcome.value]


def test_a_run_that_two_trials_want_is_computed_once(of):
    slots, store = Slots(compute), MemoryStore()
    shared = [run(of, seed) for seed in (1, 2)]
    trials = [asking([run(of, 1, POLICY), *shared]), asking([*shared, run(of, 1, replace(POLICY, name="rr"))])]
    outcomes = {outcome.index: outcome for outcome in drive(trials, slots, store)}
    assert len(slots.submitted) == 4 and len({key(work) for work in slots.submitted}) == 4
    assert seeds(outcomes[0]) == [1, 1, 2] and seeds(outcomes[1]) == [1, 2, 1]
    assert set(store.measurements(["eevdf 1 1", "eevdf 2 2", "ljf 1 1", "rr 1 1"])) == {
        "eevdf 1 1", "eevdf 2 2", "ljf 1 1", "rr 1 1",
    }  # fmt: skip


def test_what_the_store_holds_is_not_computed(of):
    store = MemoryStore()
    known = replace(measured(run(of, 1)), metrics={"seed": 99.0})
    store.put(known)
    slots = Slots(compute)
    (outcome,) = drive([asking([run(of, 1), run(of, 2)])], slots, store)
    assert [key(work) for work in slots.submitted] == ["eevdf 2 2"] and seeds(outcome) == [99, 2]


def test_a_recomputation_takes_nothing_from_the_store_and_leaves_it_as_it_is(of):
    store, slots = MemoryStore(), Slots(compute)
    store.put(replace(measured(run(of, 1)), metrics={"seed": 99.0}))
    (outcome,) = drive([asking([run(of, 1)], [run(of, 1), run(of, 2)])], slots, store, recompute=True)
    assert seeds(outcome) == [1, 1, 2] and len(slots.submitted) == 2  # once in this drive is enough
    assert store.measurements(["eevdf 1 1"])["eevdf 1 1"].metrics == {"seed": 99.0}
    assert store.measurements(["eevdf 2 2"]) == {}


def test_results_come_in_the_order_asked_for_and_one_run_may_be_asked_for_twice(of):
    (outcome,) = drive([asking([run(of, seed) for seed in (3, 1, 3, 2)])], Slots(compute), MemoryStore())
    assert seeds(outcome) == [3, 1, 3, 2]


def test_a_trial_whose_runs_are_all_known_ends_without_a_slot(of):
    store, slots = MemoryStore(), Slots(compute)
    list(drive([asking([run(of, 1)])], slots, store))
    (outcome,) = drive([asking([run(of, 1)], [run(of, 1)])], slots, store)
    assert seeds(outcome) == [1, 1] and len(slots.submitted) == 1


def test_a_failure_ends_the_trials_that_wait_for_it_and_no_other(of):
    def fail(function, work):
        return Failure("infra", "no room") if work.work_seed == 2 else compute(function, work)

    trials = [asking([run(of, 1), run(of, 2)]), asking([run(of, 2)]), asking([run(of, 1)], [run(of, 3)])]
    outcomes = {outcome.index: outcome for outcome in drive(trials, Slots(fail), MemoryStore())}
    assert outcomes[0].failure == outcomes[1].failure == Failure("infra", "no room")
    assert outcomes[2].failure is None and seeds(outcomes[2]) == [1, 3]


def test_a_worker_with_another_kernel_is_a_failure_and_its_run_is_not_kept(of):
    store = MemoryStore()

    def elsewhere(function, work):
        return Done(replace(measured(work), id="another"), (1.0, 2.0))

    (outcome,) = drive([asking([run(of, 1)])], Slots(elsewhere), store)
    assert outcome.failure is not None and outcome.failure.kind == "infra" and "another" in outcome.failure.message
    assert store.measurements(["another", "eevdf 1 1"]) == {}


def test_work_that_is_no_run_is_done_each_time(of):
    slots, spans = Slots(lambda function, work: Done(work, (1.0, 3.0))), []
    trials = [asking([VerifyWork(of)]), asking([VerifyWork(of)])]
    assert len(list(drive(trials, slots, MemoryStore(), on_span=spans.append))) == 2
    assert len(slots.submitted) == 2 and spans == [(1.0, 3.0)] * 2


def test_slots_that_end_with_work_out_are_an_error(of):
    class Gone(Slots):
        def __iter__(self):
            return iter(())

    with pytest.raises(InfraError, match="still out"):
        list(drive([asking([run(of, 1)])], Gone(compute), MemoryStore()))


def test_a_bug_in_a_trial_is_raised(of):
    def buggy():
        yield [run(of, 1)]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(drive([buggy()], Slots(compute), MemoryStore()))


def test_the_store_is_asked_once_for_what_has_a_name_and_is_not_known(of):
    asked = []

    class Asked(MemoryStore):
        def measurements(self, ids):
            asked.append(list(ids))
            return super().measurements(ids)

    def do(function, work):
        return compute(function, work) if isinstance(work, RunWork) else Done(work, (1.0, 2.0))

    list(drive([asking([VerifyWork(of)], [run(of, 1), run(of, 1), VerifyWork(of)], [run(of, 1)])], Slots(do), Asked()))
    assert asked == [["eevdf 1 1"]]

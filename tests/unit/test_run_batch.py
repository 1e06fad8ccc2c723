# SPDX-License-Identifier: Apache-2.0
"""An iteration's candidates: which are tried, what becomes of each, and what is kept of it where."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from fake_vm import FakeVM
from flow_cases import candidate
from trial_cases import BATCH, POLICY, Slots, guest_in, spec, use_compiler, use_guest, use_vm

from policy_lake.embed import embedder
from policy_lake.errors import InfraError
from policy_lake.lake import Lake
from policy_lake.model import Rejection, Verdict
from policy_lake.records import Regression
from tasks.fleet.fan_out import Failure
from tasks.run import batch as module
from tasks.run.batch import Batch, Evidence, batch_deadline_s, candidates_of, read_evidence, run_batch
from tasks.trial.spec import RunWork, VerifyWork

FIRST, SECOND, LATER = (replace(candidate(f"ljf-{n}"), iteration=n // 2 + 1) for n in range(3))


@pytest.fixture
def guest(tmp_path, monkeypatch):
    made = guest_in(tmp_path)
    use_guest(monkeypatch, made)
    monkeypatch.setattr(module, "prepare_guest", lambda settings, shape: made)
    use_compiler(monkeypatch)
    return made


@pytest.fixture
def scope(tmp_path, guest):
    given = spec(tmp_path)
    lake = Lake(tmp_path / "lake", embedder=embedder("hash:8"))
    for planned in (FIRST, SECOND, LATER):
        lake.put(planned)
    run = SimpleNamespace(workload=BATCH, settings=given.settings, shape=given.shape, pairs=5, seed=3)
    return SimpleNamespace(
        run_id=FIRST.run_id, run=run, settings=given.settings, lake=lake, workload=BATCH, shape=given.shape
    )


@pytest.fixture
def attempt(scope, monkeypatch):
    """Runs the first iteration; what came of it, the work that was asked for, and how often `on_trial` was called."""

    def run(scenario="good policy", lost=()):
        use_vm(monkeypatch, FakeVM(scenario))

        def do(function, work):
            if isinstance(work, VerifyWork) and work.spec.candidate.id in lost:
                return Failure("infra", "the disk is full")
            return function(work)

        slots, calls = Slots(do), []
        return run_batch(scope, 1, slots, on_trial=lambda: calls.append(1)), slots.submitted, len(calls)

    return run


def verified(works):
    return [work.spec.candidate.id for work in works if isinstance(work, VerifyWork)]


def test_the_iterations_candidates_are_tried_and_their_scores_kept(scope, attempt):
    assert candidates_of(scope, 1) == [FIRST, SECOND] and candidates_of(scope, 2) == [LATER]
    done, works, calls = attempt()
    assert verified(works) == [FIRST.id, SECOND.id] and calls == 2
    assert done.failures == {} and len(done.spans) == len(works)
    assert {score.candidate for score in scope.lake.scores()} == {FIRST.id, SECOND.id}
    sha = read_evidence(scope, FIRST.id).verdict.object_sha256
    assert (scope.settings.object_dir / f"{sha}.bpf.o").read_bytes() == POLICY.data
    evidence = read_evidence(scope, SECOND.id)
    assert isinstance(evidence, Evidence) and evidence.verdict.accepted
    assert (evidence.arguments, evidence.btf_sha256) == (POLICY.arguments, "btf")


def test_what_is_left_is_told(attempt, monkeypatch):
    told = []
    monkeypatch.setattr(module, "doing", lambda words, *numbers: told.append(numbers[:2]))
    attempt()
    assert told[0] == (2, 2) and set(told) <= {(2, 2), (1, 2), (0, 2)}


def test_the_plan_is_the_runs(scope, attempt):
    verify = attempt()[1][0].spec
    assert (verify.plan.pairs, verify.plan.seed, verify.workload) == (5, 3, BATCH) and verify.plan.most_pairs >= 5
    assert (verify.shape, verify.settings) == (scope.shape, scope.settings)


def test_eevdfs_runs_are_shared_and_asked_for_at_once_in_virtual_time_alone(guest, scope, attempt, monkeypatch):
    works = attempt()[1]
    base = [work for work in works if isinstance(work, RunWork) and work.policy is None]
    assert len(base) == 10 and len({(work.work_seed, work.guest_seed) for work in base}) == 10
    (shared,) = module._shared_runs(works[0].spec)
    assert sorted(map(repr, shared)) == sorted(map(repr, base))
    wall = replace(guest, machine=replace(guest.machine, clock=None))
    monkeypatch.setattr(module, "prepare_guest", lambda settings, shape: wall)
    assert list(module._shared_runs(works[0].spec)) == []


def test_a_repeat_tries_only_what_is_left(scope, attempt):
    assert attempt(lost=[SECOND.id])[0].failures == {SECOND.id: "infra: the disk is full"}
    assert [score.candidate for score in scope.lake.scores()] == [FIRST.id]
    done, works, calls = attempt()
    assert verified(works) == [SECOND.id] and calls == 1 and done.failures == {}
    assert attempt() == (Batch({}, ()), [], 0)


def test_a_rejection_is_kept_and_settles_a_candidate(scope, attempt):
    done, _, calls = attempt("stall at both limits")
    assert done.failures == {} and calls == 2 and scope.lake.scores() == []
    kept = scope.lake.rejections(BATCH.id, scope.run_id)
    assert {one.candidate.id for one in kept} == {FIRST.id, SECOND.id}
    assert {one.rejection.stage for one in kept} == {"survive"}
    assert {one.kernel for one in kept} == {"7.3.4"}
    assert attempt() == (Batch({}, ()), [], 0)


def test_a_rejection_that_no_guest_made_is_of_the_run_s_kernel(scope):
    for said, kept in (("", "7.3.4"), ("7.3.9", "7.3.9")):
        verdict = Verdict(False, Rejection("object", "no", ""), (), kernel=said)
        module.keep(scope, SimpleNamespace(candidate=FIRST, verdict=verdict, score=None))
        (known,) = scope.lake.rejections(BATCH.id, scope.run_id)
        assert known.kernel == kept


def test_an_iteration_of_which_nothing_could_be_tried_is_our_failure(scope, attempt):
    with pytest.raises(InfraError, match="none of 2 candidates could be tried; the first: infra: the disk is full"):
        attempt(lost=[FIRST.id, SECOND.id])


@pytest.mark.parametrize(("trials", "slots", "rounds"), [(1, 2, 1), (2, 2, 1), (3, 2, 2), (4, 1, 4), (3, 0, 3)])
def test_a_batch_has_time_for_each_round_through_the_slots(scope, trials, slots, rounds):
    each_s = scope.settings.trial_deadline_s + scope.settings.build_deadline_s
    assert batch_deadline_s(scope.settings, trials, slots) == rounds * each_s


@pytest.mark.parametrize("damage", [None, b"{", b"[]", b"\xff"])
def test_evidence_that_is_gone_or_damaged_is_our_failure(scope, damage):
    path = scope.settings.run_dir / scope.run_id / "ljf-9.json"
    path.parent.mkdir(parents=True)
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(InfraError, match="the verdict cannot be read"):
        read_evidence(scope, "ljf-9")


def test_candidates_are_told_what_others_failed_in(scope, attempt):
    known = Regression("r1", "ops", "W6 seconds=1", "F13", "a task waits")
    scope.lake.put(known)
    _, works, _ = attempt()
    assert {work.spec.regressions for work in works if isinstance(work, VerifyWork)} == {(known,)}

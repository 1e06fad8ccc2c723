# SPDX-License-Identifier: Apache-2.0
"""One trial from candidate to verdict and score, on guests by scenario: each decision, and each way it can go wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_scenarios import FIGURES, Scenario
from fake_vm import FakeVM
from trial_cases import BATCH, POLICY, Slots, guest_in, spec, use_compiler, use_guest, use_vm

from benchmarks.workloads import job_files
from bpf.build import PolicyObject
from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.errors import InfraError
from policy_lake.model import Candidate, Finding
from policy_lake.scores import MeasurementPlan
from tasks.fleet.fan_out import Failure
from tasks.trial import drive as driver
from tasks.trial import work as worker
from tasks.trial.drive import MemoryStore, drive
from tasks.trial.spec import Loadable, PairsWork, Rounds, RunWork, VerifyWork
from tasks.trial.static import Checked
from tasks.trial.trial import FLOOR_SEEDS, _by_rounds, equal_runs, trial
from tasks.trial.work import measure_rounds
from verifier_vm.verdict import stage_of


@pytest.fixture
def guest(tmp_path, monkeypatch):
    made = guest_in(tmp_path)
    use_guest(monkeypatch, made)
    use_compiler(monkeypatch)
    return made


@pytest.fixture
def try_on(guest, tmp_path, monkeypatch):
    """Runs a trial against a scenario; the trial, the guests' jobs, and the work that was asked for."""

    def attempt(scenario, **changes):
        vm = use_vm(monkeypatch, FakeVM(scenario))
        slots = Slots(lambda function, work: function(work))
        (outcome,) = drive([trial(spec(tmp_path, **changes))], slots, MemoryStore())
        assert outcome.value is not None, outcome.failure
        return outcome.value, vm, slots.submitted

    return attempt


@pytest.mark.parametrize(("needs", "bug"), [("", ""), ("cgroups", "F41"), ("nice", "F16")])
def test_what_the_hosts_need_is_asked_of_the_guests_stages_too(try_on, tmp_path, needs, bug):
    result, _, _ = try_on("good policy", settings=spec(tmp_path).settings.model_copy(update={"require": needs}))
    rejection = result.verdict.rejection
    assert (rejection.bug if rejection else "", result.score is None) == (bug, bool(bug))


def test_what_the_guest_told_of_coverage_is_the_trials(try_on):
    for scenario in ("good policy", "guard rail broken", "stall at both limits"):
        assert try_on(scenario)[0].verdict.coverage == Coverage("the fake guest has no code")


def policies(**by_seed):
    """Figures of the policy only."""
    return {**FIGURES, "policy": {**FIGURES["policy"], **by_seed}}


def runs(works, policy):
    return [work for work in works if isinstance(work, RunWork) and (work.policy is not None) == policy]


def test_what_was_checked_already_is_not_built_again_and_the_score_names_its_files(try_on, monkeypatch):
    checked = Checked((stage_of("object", 0.1),), PolicyObject(b"of files", "sha", 0.1, True), ("limit=3",))
    monkeypatch.setattr(worker, "check_parts", lambda *_, **__: pytest.fail("built again"))
    result, _, _ = try_on("good policy", checked=checked, files=("mine.bpf.o",))
    assert (result.object_data, result.arguments) == (b"of files", ("limit=3",)) and result.verdict.accepted
    assert result.score.provenance.files == ("mine.bpf.o",) and result.score.provenance.arguments == ("limit=3",)
    refused = replace(checked, stages=(stage_of("object", 0.1, [Finding("F03", "reject", "a queue")]),))
    result, vm, _ = try_on("good policy", checked=refused)
    assert result.verdict.rejection.bug == "F03" and vm.jobs == []


def test_a_good_policy_is_verified_then_measured_on_the_baselines_seeds(try_on):
    result, _, works = try_on("good policy")
    assert result.verdict.accepted and [stage.name for stage in result.verdict.stages][-1] == "score"
    assert isinstance(works[0], VerifyWork)
    mine, base = runs(works, True), runs(works, False)
    assert [run.work_seed for run in mine] == [100, 101, 102, 103] == [run.work_seed for run in base[:4]]
    assert all(run.guest_seed == run.work_seed for run in (*mine, *base[:4]))
    assert [run.guest_seed for run in base[4:]] == [seed + FLOOR_SEEDS for seed in (100, 101, 102, 103)]
    score = result.score
    assert (score.outcome, score.doubt, score.ratio.median) == ("win", "", pytest.approx(1.25))
    assert [pair.seed for pair in score.pairs] == [100, 101, 102, 103] and score.attached
    assert score.floor == pytest.approx(1.0) and len(score.measurements) == 8
    assert score.provenance.arguments == POLICY.arguments and score.provenance.plan == MeasurementPlan(4, 0, 1)
    assert result.object_data == POLICY.data and result.arguments == POLICY.arguments and result.btf_sha256 == "btf"


@pytest.mark.parametrize(
    ("scenario", "code"),
    [("stall at both limits", Code.STALL), ("refused by the BPF verifier", Code.REFUSED_BY_VERIFIER),
     ("ends by itself", Code.EXIT_ERROR), ("kernel dies saying why", Code.KERNEL_DEATH)],
)  # fmt: skip
def test_what_the_guest_rejects_is_not_measured(try_on, scenario, code):
    result, _, works = try_on(scenario)
    assert result.verdict.rejection.code == code and result.score is None
    assert [type(work) for work in works] == [VerifyWork]


def test_no_guest_is_started_after_a_static_rejection(try_on, monkeypatch):
    use_compiler(monkeypatch, rejects=True)
    result, vm, works = try_on("good policy")
    assert result.verdict.rejection.stage == "object" and result.score is None
    assert vm.jobs == [] and len(works) == 1


@pytest.mark.parametrize(
    ("scenario", "code"),
    [(Scenario(falls_at="policy-0"), Code.FELL_OFF), (Scenario(fails_at="policy-0"), Code.WORKLOAD_FAILED),
     (Scenario(hangs_at="policy-0"), Code.HUNG), (Scenario(refused_at="attach-0"), Code.REFUSED_ON_ATTACH)],
)  # fmt: skip
def test_a_policy_that_fails_while_it_is_measured_is_rejected(try_on, scenario, code):
    result, _, works = try_on(scenario)
    assert len(runs(works, True)) == 1
    assert result.verdict.rejection.stage == "score" and not result.verdict.accepted
    assert result.score is None
    assert result.verdict.stages[-1].seconds < 60
    assert result.verdict.rejection.code == code


def test_a_baseline_that_fails_says_nothing_of_the_policy(guest, tmp_path, monkeypatch):
    use_vm(monkeypatch, FakeVM(Scenario(fails_at="baseline-0")))

    def do(function, work):
        try:
            return function(work)
        except InfraError as error:
            return Failure("infra", str(error))

    (outcome,) = drive([trial(spec(tmp_path))], Slots(do), MemoryStore())
    assert outcome.value is None and "under the baseline" in outcome.failure.message


def test_what_a_guard_rail_rejects_keeps_its_figures_and_says_what_it_breaks(try_on):
    result, _, _ = try_on("guard rail broken")
    assert not result.verdict.accepted and result.score.ratio.median > 1
    (metric,) = result.score.over
    guard = next(guard for guard in BATCH.guards if guard.metric == metric)
    also = result.score.also
    times = also[f"policy_{metric}"] / also[f"baseline_{metric}"] / guard.limit
    assert result.score.over == {metric: pytest.approx(times)} and times > 1
    assert try_on("good policy")[0].score.over == {}
    assert result.verdict.rejection.stage == "score" and result.verdict.rejection.bug == "guard"


@pytest.mark.parametrize(
    ("scenario", "outcome", "doubt"),
    [("good policy", "win", ""), ("slower policy", "loss", ""), ("equal policy", "inconclusive", "interval")],
)
def test_the_outcome_is_that_of_the_figures(try_on, scenario, outcome, doubt):
    result, _, _ = try_on(scenario)
    assert (result.score.outcome, result.score.doubt) == (outcome, doubt)


class Noisy(FakeVM):
    """Its policy is better by a factor that depends on the seed; EEVDF differs from one guest's seed to another."""

    def __init__(self, factors, floor=1.0):
        super().__init__("good policy")
        self.factors, self.floor = factors, floor

    def __call__(self, job, machine, **options):
        factor = self.factors[job.seed % 100 % len(self.factors)]
        figures = {**FIGURES["policy"], "makespan_ms": 2000.0 / factor}
        base = {**FIGURES["baseline"], "makespan_ms": 2000.0 * (self.floor if job.seed > FLOOR_SEEDS else 1)}
        self.scenario = Scenario(figures={"policy": figures, "baseline": base})
        return super().__call__(job, machine, **options)


@pytest.fixture
def noisy(guest, tmp_path, monkeypatch):
    def attempt(factors, floor=1.0, **plan):
        use_vm(monkeypatch, Noisy(factors, floor))
        slots = Slots(lambda function, work: function(work))
        given = spec(tmp_path, plan=MeasurementPlan(**{"pairs": 4, "most_pairs": 12, "seed": 1} | plan))
        (outcome,) = drive([trial(given)], slots, MemoryStore())
        return outcome.value.score, len(runs(slots.submitted, True))

    return attempt


def test_more_is_measured_only_while_it_looks_better_and_is_not_sure(noisy):
    assert noisy([1.3, 1.31, 1.3, 1.31])[1] == 4  # sure
    assert noisy([0.9, 0.7, 0.8, 0.9])[1] == 4  # looks worse
    assert noisy([1.01, 0.99, 1.0, 1.01])[1] == 4  # not worth having
    score, count = noisy([1.6, 0.9, 1.5, 0.95])
    assert count == 12 and (score.outcome, score.doubt) == ("inconclusive", "interval") and len(score.pairs) == 12
    assert noisy([1.6, 0.9, 1.5, 0.95], most_pairs=0)[1] == 4
    assert noisy([1.6, 0.9, 1.5, 0.95], most_pairs=6)[1] == 6
    assert noisy([1.6, 0.9, 1.5, 0.95], most_pairs=5)[1] == 5


def test_what_equal_runs_differ_by_is_no_win(noisy):
    assert noisy([1.1], 1.05)[0].outcome == "win"
    score, _ = noisy([1.1], 1.15)
    assert (score.outcome, score.doubt, score.floor) == ("inconclusive", "floor", pytest.approx(1.15))


def test_a_control_is_measured_on_the_same_seeds(try_on):
    control = Candidate("rr-1", "", 1, "rr", "", {}, "", "")
    result, _, works = try_on("good policy", control=control)
    mine = [work for work in runs(works, True) if work.policy.name == "rr"]
    assert [work.work_seed for work in mine] == [100, 101, 102, 103]
    assert result.score.control.policy == "rr" and result.score.provenance.control == "rr-1"


def test_a_known_verdict_suffices_for_a_score_and_never_for_a_token(try_on):
    def suites(vm):
        return [job for job in vm.jobs if any(step.label == "policy:mix" for step in job.steps)]

    assert len(suites(try_on("good policy")[1])) == 1  # remembered
    assert suites(try_on("good policy", known_suffices=True)[1]) == []
    assert len(suites(try_on("good policy")[1])) == 1
    rejected = try_on("stall at both limits", known_suffices=False)[0]
    assert not rejected.verdict.accepted


def test_by_the_wall_clock_rounds_are_interleaved_and_the_floor_is_the_lakes(guest, tmp_path, monkeypatch):
    wall = replace(guest, machine=replace(guest.machine, clock=None, snapshots=None))
    use_guest(monkeypatch, wall)
    use_vm(monkeypatch, FakeVM("good policy"))
    slots = Slots(lambda function, work: function(work))
    (outcome,) = drive([trial(spec(tmp_path, floor=1.3))], slots, MemoryStore())
    (_, rounds) = slots.submitted
    assert isinstance(rounds, PairsWork) and (rounds.first, rounds.count) == (0, 4)
    score = outcome.value.score
    assert (score.clock, score.outcome, score.doubt, score.floor) == ("wall", "inconclusive", "floor", 1.3)
    assert score.measurements == () and score.provenance.clock == ""


@pytest.mark.parametrize(
    ("policy", "control", "files"),
    [(POLICY, None, {"policy.bpf.o": b"object"}), (None, None, {}),
     (POLICY, Loadable(b"control", (), "rr"), {"policy.bpf.o": b"object", "control.bpf.o": b"control"})],
)  # fmt: skip
def test_rounds_hold_what_is_to_be_attached_and_no_more(guest, tmp_path, monkeypatch, policy, control, files):
    vm, given = use_vm(monkeypatch, FakeVM("good policy")), spec(tmp_path)
    done = measure_rounds(PairsWork(BATCH, given.shape, given.settings, policy, control, 100, 2, 3))
    (job,) = vm.jobs
    assert job.files == {**dict(job_files(BATCH)), **files} and job.seed == 102
    attached = {step.args[0] for step in job.steps if step.verb == "attach"}
    assert attached == set(files) and done.kernel == "7.3.4"


def test_equal_runs_are_the_first_rounds_work_of_eevdf_in_guests_of_two_seeds(guest, tmp_path, monkeypatch):
    use_vm(monkeypatch, Noisy([1.0], floor=1.15))
    slots = Slots(lambda function, work: function(work))
    (outcome,) = drive([equal_runs(spec(tmp_path))], slots, MemoryStore())
    middle, verdict = outcome.value
    assert middle.median == pytest.approx(1 / 1.15) and verdict == "loss"
    seeds = [(work.work_seed, work.guest_seed) for work in slots.submitted]
    rounds = [100, 101, 102, 103]
    assert seeds == [(seed, seed) for seed in rounds] + [(seed, seed + FLOOR_SEEDS) for seed in rounds]


@pytest.mark.parametrize(("most", "more"), [(5, 1), (6, 2), (7, 3), (12, 4)])
def test_by_the_wall_clock_no_more_rounds_are_asked_for_than_at_first_nor_than_may_be(tmp_path, most, more):
    given = spec(tmp_path, plan=MeasurementPlan(4, most, 1))
    steps = _by_rounds(given, POLICY, None)
    (first,) = next(steps)
    policy = [{**FIGURES["policy"], "makespan_ms": 2000 / by} for by in (1.6, 0.9, 1.5, 0.95)]
    rounds = Rounds({"baseline": [FIGURES["baseline"]] * 4, "policy": policy}, "7.3.4", "tcg")
    (second,) = steps.send((rounds,))
    assert (first.first, first.count, second.first, second.count) == (0, 4, 4, more)


def test_the_driver_tells_runs_apart_by_all_that_they_are_a_function_of(guest, tmp_path):
    given = spec(tmp_path)
    base = RunWork(BATCH, given.shape, given.settings, POLICY, 1, 1)
    others = [
        replace(base, policy=None), replace(base, work_seed=2), replace(base, guest_seed=2),
        replace(base, policy=replace(POLICY, data=b"another")), replace(base, policy=replace(POLICY, arguments=())),
        replace(base, workload=replace(BATCH, asked={"jobs": 9})), replace(base, workload=replace(BATCH, tier="smoke")),
        replace(base, workload=replace(BATCH, guards=())),
    ]  # fmt: skip
    keys = [driver._key(work) for work in (base, *others)]
    assert len(set(keys)) == len(keys) and driver._key(base) == keys[0]

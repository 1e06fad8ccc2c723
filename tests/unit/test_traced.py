# SPDX-License-Identifier: Apache-2.0
"""Traced runs: which steps they are, that they are kept under their inputs, and what a damaged file costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_vm import FakeVM
from trial_cases import BATCH, POLICY, guest_in, spec, use_guest, use_vm

from policy_lake.errors import InfraError
from tasks.trial import traced
from tasks.trial.spec import Loadable
from tasks.trial.traced import trace_runs

EVENTS = (Path(__file__).parent.parent / "golden" / "timeline.txt").read_text()


class Tracing(FakeVM):
    """Runs say what guest/timeline.c would; `ok` is whether they end well."""

    ok = True
    events = EVENTS

    def __call__(self, job, machine, **options):
        report = super().__call__(job, machine, **options)
        says = {"out": self.events, "ok": self.ok, "err": "" if self.ok else "first\nno trace buffer\n"}
        events = [replace(event, **says) if hasattr(event, "out") else event for event in report.events]
        return replace(report, events=tuple(events))


@pytest.fixture
def guest(tmp_path, monkeypatch):
    made = guest_in(tmp_path)
    use_guest(monkeypatch, made)
    return made


@pytest.fixture
def trace(tmp_path):
    given = spec(tmp_path)

    def run(policy=POLICY, seed=3, settings=given.settings):
        return trace_runs(BATCH, policy, given.shape, settings, seed=seed)

    return run


def kept(tmp_path):
    return sorted((tmp_path / "cache" / "timelines").glob("*.z"))


def test_both_runs_start_where_measured_ones_do_and_have_the_first_pairs_seed(guest, trace, monkeypatch):
    vm = use_vm(monkeypatch, Tracing("good policy"))
    timelines = trace()
    assert list(timelines) == ["eevdf", "ljf"] and timelines["eevdf"].wall_us == timelines["ljf"].wall_us == 2500
    by_length = dict(zip([len(before) for before in vm.warm_ups], vm.jobs, strict=True))
    assert sorted(by_length) == [1, 2]  # warm-up; warm-up and attachment
    for job in by_length.values():
        program = job.steps[0].args
        assert program[0] == "timeline" and program[1] == "batch"
        assert (program[program.index("--seed") + 1], job.seed) == ("300", 300)


def test_the_librarys_eevdf_does_not_take_the_place_of_the_kernels(guest, trace, monkeypatch):
    use_vm(monkeypatch, Tracing("good policy"))
    assert list(trace(replace(POLICY, name="eevdf"))) == ["eevdf", "eevdf (sched_ext)"]


def test_runs_that_were_traced_are_not_made_again(guest, trace, tmp_path, monkeypatch):
    vm = use_vm(monkeypatch, Tracing("good policy"))
    first = trace()
    assert len(kept(tmp_path)) == 2 and trace() == first and len(vm.jobs) == 2


def test_another_policy_has_a_run_of_its_own_and_another_seed_two(guest, trace, monkeypatch):
    vm = use_vm(monkeypatch, Tracing("good policy"))
    trace()
    trace(Loadable(POLICY.data, ("slice_ns=6",), "ljf"))
    assert len(vm.jobs) == 3
    trace(seed=4)
    assert len(vm.jobs) == 5


@pytest.mark.parametrize("damage", [b"", b"junk", "half"])
def test_a_damaged_file_is_made_anew(guest, trace, tmp_path, monkeypatch, damage):
    vm = use_vm(monkeypatch, Tracing("good policy"))
    first = trace()
    for path in kept(tmp_path):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    assert trace() == first and len(vm.jobs) == 4


def test_a_file_that_unpacks_to_too_much_is_not_read(guest, trace, tmp_path, monkeypatch):
    vm = use_vm(monkeypatch, Tracing("good policy"))
    trace()
    monkeypatch.setattr(traced, "LARGEST", len(EVENTS) - 1)
    trace()
    assert len(vm.jobs) == 4


def test_the_oldest_go(guest, trace, tmp_path, monkeypatch):
    use_vm(monkeypatch, Tracing("good policy"))
    monkeypatch.setattr(traced, "KEPT", 3)
    for seed in range(1, 5):
        trace(seed=seed)
    assert len(kept(tmp_path)) == 3


def test_by_the_wall_clock_nothing_is_kept(guest, trace, tmp_path, monkeypatch):
    use_guest(monkeypatch, replace(guest, machine=replace(guest.machine, clock=None, snapshots=None)))
    vm = use_vm(monkeypatch, Tracing("good policy"))
    assert trace() and trace() and len(vm.jobs) == 4 and not kept(tmp_path)
    assert [step.verb for step in max(vm.jobs, key=lambda job: len(job.steps)).steps] == [
        "run", "attach", "run", "detach",
    ]  # fmt: skip


def test_a_run_that_does_not_end_well_is_an_error_that_says_why_and_is_not_kept(guest, trace, tmp_path, monkeypatch):
    vm = Tracing("good policy")
    vm.ok = False
    use_vm(monkeypatch, vm)
    with pytest.raises(InfraError, match=r"a traced run of batch did not end well: no trace buffer"):
        trace()
    assert not kept(tmp_path)


def test_of_its_last_line_200_characters_are_told(guest, trace, monkeypatch):
    class Silent(Tracing):
        def __call__(self, job, machine, **options):
            report = super().__call__(job, machine, **options)
            says = {"out": self.events, "ok": False, "err": ""}
            made = [replace(event, **says) if hasattr(event, "out") else event for event in report.events]
            return replace(report, events=tuple(made))

    for said, told in (("one\ntwo\nthree" + "x" * 300, "three" + "x" * 195), ("", "it said nothing")):
        vm = Silent("good policy")
        vm.events = said
        use_vm(monkeypatch, vm)
        with pytest.raises(InfraError) as error:
            trace()
        assert str(error.value) == f"a traced run of batch did not end well: {told}"


def test_a_run_that_takes_too_long_is_told_as_that(guest, trace, monkeypatch):
    class Slow(Tracing):
        def __call__(self, job, machine, **options):
            report = super().__call__(job, machine, **options)
            late = {"ok": False, "timed_out": True, "seconds": 60.0}
            made = [replace(event, **late) if hasattr(event, "out") else event for event in report.events]
            return replace(report, events=tuple(made))

    use_vm(monkeypatch, Slow("good policy"))
    with pytest.raises(InfraError, match=r"did not end well: it did not end within 60 s$"):
        trace()


def test_a_file_that_another_process_removed_is_no_failure(guest, trace, tmp_path, monkeypatch):
    use_vm(monkeypatch, Tracing("good policy"))
    trace()
    monkeypatch.setattr(traced, "KEPT", 1)
    unlink = Path.unlink

    def gone_before(path, **how):
        if path.suffix == ".z":
            unlink(path, missing_ok=True)  # both runs clear away
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", gone_before)
    trace(seed=4)
    assert len(kept(tmp_path)) == 1


def test_so_much_is_kept_and_so_much_of_a_file_is_read():
    assert 16 <= traced.KEPT <= 1024 and 1 << 24 <= traced.LARGEST <= 1 << 28


def test_events_that_are_not_whole_name_the_run_and_are_not_kept(guest, trace, tmp_path, monkeypatch):
    vm = Tracing("good policy")
    vm.events = "S 1 2\nE 0 0 0\n"
    use_vm(monkeypatch, vm)
    with pytest.raises(InfraError, match="eevdf: line 1 of the timeline"):
        trace()
    assert not kept(tmp_path)

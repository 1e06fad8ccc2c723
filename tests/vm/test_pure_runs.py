# SPDX-License-Identifier: Apache-2.0
"""A measured run is a function of its inputs: the same digits on a busy host, from new snapshots, for another user."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bpf.library import policy
from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.scores import MeasurementPlan
from tasks.host.guest import prepare_guest, shape_for
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.plan import candidate_of
from tasks.trial.build import loadable
from tasks.trial.local import run_here
from tasks.trial.run import measure_run, run_inputs, warm_ups
from tasks.trial.spec import RunWork, TrialSpec
from tasks.trial.trial import trial
from verifier_vm.machine.snapshot import snapshot_key

pytestmark = [pytest.mark.vm, pytest.mark.timeout(400)]
WORKLOADS = ("batch", "schbench")


@pytest.fixture(scope="module")
def settings(guest):
    return Settings(tier="smoke")


def works(settings, name):
    """One run under EEVDF and one under a policy."""
    workload = find_workload(name, settings)
    shape = shape_for(settings, workload)
    fifo = loadable(candidate_of(policy("fifo"), {"slice_ns": 5_000_000}), prepare_guest(settings, shape))
    return [RunWork(workload, shape, settings, under, 11, 12) for under in (None, fifo)]


@pytest.fixture(scope="module")
def first(settings):
    return {name: [measure_run(work) for work in works(settings, name)] for name in WORKLOADS}


@contextmanager
def busy_host():
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(command) for _ in range(4)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_run_on_a_busy_host_is_the_same_to_the_last_switch(settings, first, name):
    with busy_host():
        assert [measure_run(work) for work in works(settings, name)] == first[name]
    assert first[name][0].metrics != first[name][1].metrics and all(run.fingerprint for run in first[name])


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_run_from_snapshots_taken_anew_is_the_same(settings, first, name, tmp_path, monkeypatch):
    made = prepare_guest(settings, works(settings, name)[0].shape)
    elsewhere = replace(made, machine=replace(made.machine, snapshots=tmp_path / "snapshots"))
    monkeypatch.setattr("tasks.trial.run.prepare_guest", lambda *_: elsewhere)
    assert [measure_run(work) for work in works(settings, name)] == first[name]
    assert len(list((tmp_path / "snapshots").glob("*/snapshot.json"))) == 3  # booted, warm, with the policy attached


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_run_for_another_user_with_files_of_its_own_is_the_same(settings, first, name, tmp_path):
    made = prepare_guest(settings, works(settings, name)[0].shape)
    cache = tmp_path / "cache"
    shutil.copytree(
        settings.cache_dir,
        cache,
        ignore=shutil.ignore_patterns("snapshots", "pch*", "verdicts", "upstream", "kernel-source", "apt-*"),
    )
    theirs = settings.model_copy(update={"cache_dir": cache, "data_dir": tmp_path / "data"})
    assert prepare_guest(theirs, works(theirs, name)[0].shape).machine.kernel != made.machine.kernel
    assert [measure_run(work) for work in works(theirs, name)] == first[name]


def test_another_seed_of_work_or_guest_is_another_run(settings, first):
    base = works(settings, "batch")[1]
    others = [replace(base, work_seed=99), replace(base, guest_seed=99)]
    runs = [first["batch"][1], *(measure_run(work) for work in others)]
    assert len({run.switch_hash for run in runs}) == len({run.id for run in runs}) == 3


def test_a_score_is_the_same_in_every_data_directory_and_shares_the_baselines_runs(settings, tmp_path):
    workload = find_workload("batch", settings)
    shape = shape_for(settings, workload)
    plan = MeasurementPlan(4, 0, 3)
    scores = []
    for number in range(3):
        spec = TrialSpec(candidate_of(policy("fifo"), {}), workload, shape, settings, plan, known_suffices=True)
        lake = Lake(tmp_path / f"lake{number}", embedder=embedder("hash:8"))
        scores.append(run_here(trial(spec), spec, lake).score)
        known = lake.measurements(scores[-1].measurements)
        assert len(known) == 8 and {run.policy for run in known.values()} == {"fifo", ""}
    assert scores[0] == scores[1] == scores[2]
    vtime = TrialSpec(candidate_of(policy("vtime"), {}), workload, shape, settings, plan, known_suffices=True)
    other = run_here(trial(vtime), vtime, lake).score
    assert set(other.measurements) & set(scores[0].measurements) == set(scores[0].measurements[4:])


def test_a_policy_that_cannot_attach_is_a_rejection_and_leaves_no_snapshot(settings, first):
    base = works(settings, "batch")[1]
    broken = replace(base, policy=replace(base.policy, data=base.policy.data[:-4000] + bytes(4000)))
    measurement = measure_run(broken)
    assert measurement.metrics == {} and measurement.rejection is not None and measurement.rejection.stage == "score"
    guest = prepare_guest(settings, broken.shape)
    assert run_inputs(broken, guest).snapshot != run_inputs(base, guest).snapshot

    assert not (guest.machine.snapshots / snapshot_key(guest.machine, warm_ups(broken, guest))).exists()
